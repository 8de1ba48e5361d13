#include "verify/mirror_text.h"

#include <algorithm>

#include <fmt/core.h>

#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"

namespace tamis::verify {
namespace {

constexpr std::size_t left_width = 40, most_text = 60;

// The words that an instruction stands for, on one line.
std::string words(cbpf::Program const& program, std::string_view filter, std::size_t classic) {
    if (classic >= program.origin.size()) return "";
    Span const span = program.origin[classic];
    if (span.begin >= span.end || span.end > filter.size()) return "";
    std::string text = escape(filter.substr(span.begin, span.end - span.begin));
    if (text.size() > most_text) text = text.substr(0, most_text - 3) + "...";
    return text;
}

std::string heading(cbpf::Program const& program, std::string_view filter, std::uint32_t classic) {
    if (classic == ebpf::Origin::none) return "(prologue)";
    std::string text = cbpf::disassemble(program.insns[classic], classic);
    std::replace(text.begin(), text.end(), '\t', ' ');
    std::string const from = words(program, filter, classic);
    return from.empty() ? text : fmt::format("{:<48} {}", text, from);
}

std::string without_blanks(std::string text) {
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

}  // namespace

std::string kernel_text(ebpf::Insn const& insn, translator::Layout const& symbols) {
    if (insn.code == 0x85)
        for (translator::SymbolRow const& row : translator::symbols())
            if (row.kind == translator::SymbolKind::function && symbols[row.symbol] == insn.imm)
                return fmt::format("call {}", row.name);
    return ebpf::disassemble({&insn, 1});
}

std::string side_by_side(cbpf::Program const& program, std::string_view filter,
                         Reflection const& reflection, translator::Layout const& symbols) {
    translator::KernelProgram const& ours = *reflection.ours;
    std::vector<ebpf::Insn> const& theirs = reflection.kernels.insns;
    std::string out = fmt::format("       {:<{}} {}\n", "tamis", left_width, "kernel");
    for (std::size_t i = 0; i < std::max(ours.insns.size(), theirs.size()); ++i) {
        bool const mine = i < ours.insns.size(), its = i < theirs.size();
        if (mine && (i == 0 || ours.origin[i].classic != ours.origin[i - 1].classic))
            out += without_blanks(heading(program, filter, ours.origin[i].classic)) + '\n';
        bool const same = mine && its && reflection.bound[i] == theirs[i];
        out += without_blanks(fmt::format("{} {:>4} {:<{}} {}", same ? ' ' : '!', i,
                                          mine ? translator::disassemble(ours, i) : "", left_width,
                                          its ? kernel_text(theirs[i], symbols) : "")) +
               '\n';
    }
    return out;
}

}  // namespace tamis::verify
