// eBPF as text, in the words of the 6.18 verifier log and bpftool's listing.
#pragma once

#include <string>

#include "bpf/ebpf.h"

namespace tamis::ebpf {

// One instruction as the kernel's print_bpf_insn writes it after `(code) `, for example `r0 = *(u16
// *)(r8 +12)`, `if r0 != 0x800 goto pc+7`, `w0 = be16 w0`...  insns[0] is the instruction; a 64-bit
// load reads insns[1] too.  `program`, if not null, is the program that the instruction is a part
// of: it gives maps and local functions their names, where numbers are printed otherwise.  What has
// no words is printed as its fields.
std::string disassemble(std::span<Insn const> insns, Program const* program = nullptr);

// The whole program: `  12: (15) if r0 == 0x800 goto pc+3` per instruction, a heading per function
// when there are several.
std::string listing(Program const& program);

}  // namespace tamis::ebpf
