// The classic interpreter: slow, obvious, and the judge of everything faster.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "bpf/cbpf.h"
#include "runtime/packet.h"

namespace tamis::runtime {

// The two run-time rules.  libpcap's bpf_filter: X + k must not wrap, shifts by 32 and more give 0,
// offsets from 0x80000000 up are outside the packet.  The kernel: X + k wraps, shift counts are
// masked to 5 bits, such offsets are ancillary or relative to a header (sk_run_filter's heirs,
// net/core/filter.c).
enum class Rules : std::uint8_t { libpcap, kernel };

// How often each opcode was executed, by code.
using ExecutionCounts = std::array<std::uint64_t, 256>;

// The verdict: bytes to keep, 0 for no match.  `program` must have passed cbpf::check.
std::uint32_t run(std::span<cbpf::Insn const> program, Packet const& packet, Rules rules,
                  ExecutionCounts* counts = nullptr);

}  // namespace tamis::runtime
