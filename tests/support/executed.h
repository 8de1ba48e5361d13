// How many instructions programs execute: the same number on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::test {

// Executed instructions per packet, on the average.  LD_ABS and LD_IND, which the verifier replaces
// by a call, count as much as the call's work written out.  An error is the interpreter's.
Result<double> executed_per_packet(ebpf::Program const& program, HookRow const& hook,
                                   std::span<std::vector<std::uint8_t> const> packets);

}  // namespace tamis::test
