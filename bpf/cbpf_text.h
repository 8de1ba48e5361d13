// Classic programs as text: the listings people know from tcpdump, bpf_asm source, and the one-line
// form of tc.
#pragma once

#include <string>
#include <string_view>

#include "bpf/cbpf.h"
#include "bpf/result.h"

namespace tamis::cbpf {

// `tcpdump -d`: one numbered line per instruction, byte for byte as libpcap 1.10.3's bpf_image
// prints it, trailing blanks included.
std::string listing(Program const& program);
// One such line without its newline; jump targets are absolute, so the instruction's own index is
// needed.
std::string disassemble(Insn const& insn, std::size_t index);
// `tcpdump -dd`: C initialisers.
std::string c_initialisers(Program const& program);
// `tcpdump -ddd`: the number of instructions, then `code jt jf k` per line, all decimal.
std::string decimal(Program const& program);
// The one-line form that `tc ... bytecode` and xt_bpf take: `N,code jt jf k,code jt jf k,...`.
std::string bytecode(Program const& program);

// Reads any of: -ddd output, -d output, the bytecode line, or bpf_asm source (labels, comments,
// `#`-constants, both jump forms).  Spans of diagnostics and of Program::origin point into `text`.
// The result is well formed but not yet checked: see check().
Result<Program> read(std::string_view text);

}  // namespace tamis::cbpf
