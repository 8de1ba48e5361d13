// An eBPF program run on a packet that is not known.  Registers have types as in the kernel's
// verifier; what has no meaning in this model is refused with a reason, never guessed.
#pragma once

#include <string>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "verify/packet_model.h"

namespace tamis::verify {

// Something that has to be true whenever the instruction is executed.
struct Obligation {
    std::uint32_t insn;
    Term broken;  // it is executed, and that is not true
    std::string what;
};

// Code that is entered by a jump or behind one.
struct Block {
    std::uint32_t insn;  // its first
    Term reached;
};

// A look-up in a map that found an entry, and what had become of the entry when the program ended.
struct MapAccess {
    std::uint32_t insn, map;
    Term made;  // the look-up was executed
    Term key;   // 32 bits
    struct Field {
        std::int32_t offset;
        Term before, after;  // 64 bits
    };
    std::vector<Field> fields;  // those that were written
};

struct ExtendedRun {
    Term result;      // r0 at the end, 64 bits
    Term redirected;  // the interface that bpf_redirect was told, 32 bits; 0: it was not called
    std::vector<Obligation> obligations;
    std::vector<Block> blocks;
    std::vector<MapAccess> maps;
};

// Whose code it is.  Of other people's, maps hold anything and may change at any time, context
// fields that we never read are numbers, and helpers that only return a number return any.
enum class Code : std::uint8_t { ours, foreign };

// Instructions are taken in topological order and states are merged where paths meet; a loop is
// refused, and so is an unknown helper or a register that holds different kinds of things on two
// paths and is used.  Errors name the instruction.
Result<ExtendedRun> run_symbolically(ebpf::Program const& program, HookRow const& hook,
                                     Terms& terms, PacketModel& packet, Code code = Code::ours);

}  // namespace tamis::verify
