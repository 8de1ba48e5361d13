// The text behind each instruction, as line information shows it: beside listings of a loaded
// program and in the verifier's log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/diagnostic.h"
#include "bpf/ebpf.h"

namespace tamis::backend {

// From instruction `insn` on, up to the next record's, the code stands for this text.
struct LineInfo {
    std::uint32_t insn = 0;
    std::string file, text;
    std::uint32_t line = 1, column = 0;  // from 1; column 0: the line as a whole
    bool operator==(LineInfo const&) const = default;
};

// The longest text of a record, in bytes: the verifier repeats it at every step.
inline constexpr std::size_t max_line_text = 120;

// Records for the whole program, strictly rising and at least one per function, at its first
// instruction.  `declarations[f]` stands for what is in functions[f] and in no text: the entry
// code, counters, actions.  Spans point into `source`; null leaves the declarations only.
std::vector<LineInfo> line_info(ebpf::Program const& program, Source const* source,
                                std::vector<std::string> const& declarations);

}  // namespace tamis::backend
