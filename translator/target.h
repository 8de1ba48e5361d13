// The register contract of the socket form, and the stack of both forms.
#pragma once

#include "bpf/ebpf.h"

namespace tamis::translator {

using ebpf::Reg;

// A and X hold 32-bit values, zero-extended.  r1-r5 are scratch; a call or a kernel load clobbers
// them.
inline constexpr Reg A = Reg::r0;
inline constexpr Reg X = Reg::r7;
inline constexpr Reg context = Reg::r6;  // the hook's context, from entry to exit
inline constexpr Reg frame = Reg::r10;

// M[k] lives at frame + cell(k), where the kernel's own translation puts it.
constexpr std::int32_t cell(std::uint32_t k) { return -4 * static_cast<std::int32_t>(k) - 4; }
// Below the 16 cells: what a call loads bytes into, the index of the counter, the length of a
// packet where only a call tells it, a dynptr (16 bytes, aligned to 8), and the VLAN tag that a
// call told at XDP: two half words, and a word that is 1 where there was one.
inline constexpr std::int32_t bounce = cell(16), counter_key = cell(17), saved_length = cell(18),
                              dynptr = -96, tag_protocol = -98, tag_control = -100,
                              tag_present = -104;

}  // namespace tamis::translator
