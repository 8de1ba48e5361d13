// Classic programs as text: what tcpdump and tc print.  cbpf_read.cpp goes the other way.
#include "bpf/cbpf_text.h"

#include <iterator>

#include <fmt/core.h>
#include <fmt/format.h>

namespace tamis::cbpf {
namespace {

// Where libpcap 1.10.3's bpf_image does not print what the opcode table says.
struct Quirk {
    std::uint16_t code;
    std::string_view name, operands;
};
constexpr Quirk quirks[] = {
    {0x16, "ret", ""},        // without its operand
    {0x81, "unimp", "0x81"},  // unknown there, although bpf_filter carries it out
};

std::int32_t as_signed(std::uint32_t k) { return static_cast<std::int32_t>(k); }

std::string number(Op const& op, Insn const& insn, std::size_t index) {
    if (op.kind == Kind::load_abs)
        if (Ancillary const* const ancillary = find_ancillary(insn.k))
            return std::string(ancillary->name);
    if (op.kind == Kind::jump)
        return fmt::to_string(as_signed(static_cast<std::uint32_t>(index) + 1 + insn.k));
    return fmt::to_string(as_signed(insn.k));
}

// The pattern with k in place of $k or $x; of a branch, only what stands before the targets.
std::string operands(Op const& op, Insn const& insn, std::size_t index) {
    std::string_view const pattern = op.operands.substr(0, op.operands.find(','));
    std::size_t const at = pattern.find('$');
    if (at == std::string_view::npos) return std::string(pattern);
    return fmt::format(
        "{}{}{}", pattern.substr(0, at),
        pattern[at + 1] == 'x' ? fmt::format("{:#x}", insn.k) : number(op, insn, index),
        pattern.substr(at + 2));
}

std::string line(std::size_t index, std::string_view name, std::string_view operands) {
    return fmt::format("({:03}) {:<8} {}", index, name, operands);
}

std::string branch_line(Insn const& insn, std::size_t index, std::string_view name,
                        std::string_view operands) {
    Targets const to = targets(insn, index, Kind::branch);
    return line(index, name, fmt::format("{:<16} jt {}\tjf {}", operands, to.taken, to.fallen));
}

// libpcap goes by the bits of an opcode that it does not know: the class of jumps, but not a `ja`.
bool resembles_branch(std::uint16_t code) { return (code & 0x07) == 0x05 && (code & 0xf0) != 0; }

using EachForm = fmt::format_string<std::uint16_t const&, std::uint8_t const&, std::uint8_t const&,
                                    std::uint32_t const&>;

// Every instruction in `form`, which takes code, jt, jf and k.
std::string each(Program const& program, EachForm form) {
    fmt::memory_buffer out;
    for (Insn const& insn : program.insns)
        fmt::format_to(std::back_inserter(out), form, insn.code, insn.jt, insn.jf, insn.k);
    return fmt::to_string(out);
}

}  // namespace

std::string disassemble(Insn const& insn, std::size_t index) {
    for (Quirk const& quirk : quirks)
        if (quirk.code == insn.code) return line(index, quirk.name, quirk.operands);
    Op const* const op = find(insn.code);
    bool const is_branch = op ? op->kind == Kind::branch : resembles_branch(insn.code);
    std::string_view const name = op ? op->name : "unimp";
    std::string const text = op ? operands(*op, insn, index) : fmt::format("{:#x}", insn.code);
    return is_branch ? branch_line(insn, index, name, text) : line(index, name, text);
}

std::string listing(Program const& program) {
    std::string out;
    for (std::size_t i = 0; i < program.insns.size(); ++i)
        out += disassemble(program.insns[i], i) + '\n';
    return out;
}

std::string c_initialisers(Program const& program) {
    return each(program, "{{ {:#x}, {}, {}, 0x{:08x} }},\n");
}

std::string decimal(Program const& program) {
    return fmt::format("{}\n", program.insns.size()) + each(program, "{} {} {} {}\n");
}

std::string bytecode(Program const& program) {
    return fmt::to_string(program.insns.size()) + each(program, ",{} {} {} {}");
}

}  // namespace tamis::cbpf
