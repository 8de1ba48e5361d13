// A reflection for people to read: two listings beside each other.
#pragma once

#include <string>
#include <string_view>

#include "bpf/cbpf.h"
#include "verify/mirror.h"

namespace tamis::verify {

// Our kernel form, in symbols, beside the kernel's own instructions, in numbers; above each group
// its classic instruction and, where there is one, the filter text that it came from.  Lines that
// differ begin with '!'.  For a program that both sides have.
std::string side_by_side(cbpf::Program const& program, std::string_view filter,
                         Reflection const& reflection, translator::Layout const& symbols);

// One of the kernel's own instructions in words; calls by their function's name.
std::string kernel_text(ebpf::Insn const& insn, translator::Layout const& symbols);

}  // namespace tamis::verify
