// The register contract of both loadable forms.
#pragma once

#include "bpf/ebpf.h"

namespace tamis::translator {

using ebpf::Reg;

// A and X hold 32-bit values, zero-extended.  r1-r5 are scratch; a call or a kernel load clobbers
// them.
inline constexpr Reg A = Reg::r0;
inline constexpr Reg X = Reg::r7;
inline constexpr Reg context = Reg::r6;   // the hook's context, from entry to exit
inline constexpr Reg data = Reg::r8;      // direct form: the packet's first byte
inline constexpr Reg data_end = Reg::r9;  // direct form: the byte after its last
inline constexpr Reg frame = Reg::r10;

// M[k] lives at frame + cell(k), where the kernel's own translation puts it.
constexpr std::int32_t cell(std::uint32_t k) { return -4 * static_cast<std::int32_t>(k) - 4; }
// Below the 16 cells: a word to load into, and one to keep A in across a call.
inline constexpr std::int32_t bounce = cell(16), saved_a = cell(17);
// Where the counters' key goes when the filter has ended and its cells are free.
inline constexpr std::int32_t counter_key = cell(0);

}  // namespace tamis::translator
