// An interpreter for the eBPF that tamis emits, with every memory access checked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "runtime/packet.h"

namespace tamis::runtime {

// Contents of a program's maps as they begin: per array, max_entries * value_size bytes (one CPU);
// nothing for other maps, which are empty, and for arrays of more than 64 MiB, with which no
// program is run.
using MapMemory = std::vector<std::vector<std::uint8_t>>;
MapMemory map_memory(ebpf::Program const& program);

// What the entry function returns (r0).  Anything that the verifier would refuse at run time's
// doorstep is an error that names the instruction: access outside packet, stack, context or map
// value; an uninitialised register; an unknown helper; more than 4 million steps.  `executed`, one
// number for each instruction, counts how often each ran.
Result<std::uint64_t> run(ebpf::Program const& program, HookRow const& hook, Packet const& packet,
                          MapMemory& maps, std::span<std::uint64_t> executed = {});

}  // namespace tamis::runtime
