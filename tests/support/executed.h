// How many instructions programs execute: the same numbers on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "runtime/packet.h"

namespace tamis::test {

// Executed instructions per packet, on the average, counted in three ways.  They differ for LD_ABS
// and LD_IND only, which no kernel executes as they are.
struct Executed {
    double emitted = 0;  // such a load is one instruction
    // What the verifier makes of it (bpf_gen_ld_abs), the call being one instruction: the program
    // as the kernel dumps it.
    double loaded = 0;
    // And the work behind the call, as the kernel writes the same out where it converts a classic
    // program itself.
    double with_calls = 0;
};

// An error is the interpreter's.
Result<Executed> executed_per_packet(ebpf::Program const& program, HookRow const& hook,
                                     std::span<std::vector<std::uint8_t> const> packets);

// Instructions that the verifier puts in the place of a load, and how many of them a load that
// succeeds executes.
struct Replaced {
    unsigned length, executed;
};
Replaced replaced(ebpf::Insn const& load);

// A frame as a hook's programs see it: where the outer VLAN tag lies in metadata, `shortened` is
// the frame without it.
runtime::Packet seen_at(HookRow const& hook, std::vector<std::uint8_t> const& frame,
                        std::vector<std::uint8_t>& shortened);

}  // namespace tamis::test
