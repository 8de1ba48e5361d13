// The kernel's judgement of a classic program, in its order: every instruction for itself, then the
// last one, then the memory cells.  bpf_check_classic in net/core/filter.c is the source of each
// rule.
#include "bpf/cbpf_check.h"

#include <optional>
#include <string>

#include <fmt/core.h>

namespace tamis::cbpf {
namespace {

using Fault = std::optional<std::string>;

// How many instructions lie between pc and the end of the program.
std::size_t room(std::span<Insn const> insns, std::size_t pc) { return insns.size() - pc - 1; }

Fault jump_fault(std::span<Insn const> insns, std::size_t pc, std::size_t skip) {
    if (skip < room(insns, pc)) return std::nullopt;
    return fmt::format("jumps to instruction {}, past the last one, {}", pc + 1 + skip,
                       insns.size() - 1);
}

bool divides(Op const& op) {
    return op.kind == Kind::alu && (op.alu() == Alu::div || op.alu() == Alu::mod);
}

Fault insn_fault(std::span<Insn const> insns, std::size_t pc) {
    Insn const& insn = insns[pc];
    Op const* const op = find(insn.code);
    if (!op) return fmt::format("opcode 0x{:x} is not one of classic BPF's 49", insn.code);
    if (insn.k > op->k_max)
        return fmt::format("'{}' takes a number up to {} here, not {}", op->name, op->k_max,
                           insn.k);
    if (divides(*op) && !(op->reads & X) && insn.k == 0)
        return fmt::format("'{}' by the constant 0", op->name);
    if (op->kind == Kind::load_abs && insn.k >= ancillary_base && !find_ancillary(insn.k))
        return fmt::format("offset 0x{:x} is neither in the packet nor an ancillary value", insn.k);
    if (op->kind == Kind::jump) return jump_fault(insns, pc, insn.k);
    if (op->kind == Kind::branch) {
        Fault const taken = jump_fault(insns, pc, insn.jt);
        return taken ? taken : jump_fault(insns, pc, insn.jf);
    }
    return std::nullopt;
}

// A cell may be read only where every way there has written it.  One pass is enough because jumps
// only go forward.  Code that nothing reaches counts as having written all cells; a `ret` does not
// end the way (the kernel does neither better).
std::optional<Refusal> memory_refusal(std::span<Insn const> insns) {
    constexpr std::uint16_t all = 0xffff;
    static_assert(memory_words == 16);
    std::vector<std::uint16_t> at_entry(insns.size(), all);
    std::uint16_t written = 0;
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        Op const& op = *find(insns[pc].code);
        written &= at_entry[pc];
        if (op.kind == Kind::store) {
            written = static_cast<std::uint16_t>(written | 1u << insns[pc].k);
        } else if (op.kind == Kind::load_mem) {
            if (!(written >> insns[pc].k & 1))
                return Refusal{pc, fmt::format("M[{}] is read where it may not have been written",
                                               insns[pc].k)};
        } else if (op.kind == Kind::jump || op.kind == Kind::branch) {
            Targets const to = targets(insns[pc], pc, op.kind);
            at_entry[to.taken] &= written;
            at_entry[to.fallen] &= written;
            written = all;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<Refusal> refusal(std::span<Insn const> insns, std::size_t max_insns) {
    if (insns.empty()) return Refusal{0, "a program needs at least one instruction"};
    if (insns.size() > max_insns)
        return Refusal{insns.size(),
                       fmt::format("{} instructions, at most {}", insns.size(), max_insns)};
    for (std::size_t pc = 0; pc < insns.size(); ++pc)
        if (Fault fault = insn_fault(insns, pc)) return Refusal{pc, std::move(*fault)};
    if (find(insns.back().code)->kind != Kind::ret)
        return Refusal{insns.size() - 1, "the last instruction is not a 'ret'"};
    return memory_refusal(insns);
}

std::size_t longest_path(std::span<Insn const> insns) {
    std::vector<std::uint32_t> longest(insns.size(), 1);
    for (std::size_t pc = insns.size(); pc-- > 0;) {
        Kind const kind = find(insns[pc].code)->kind;
        if (kind == Kind::ret) continue;
        Targets const to = targets(insns[pc], pc, kind);
        bool const forward =
            std::min(to.taken, to.fallen) > pc && std::max(to.taken, to.fallen) < insns.size();
        if (forward) longest[pc] += std::max(longest[to.taken], longest[to.fallen]);
    }
    return longest.empty() ? 0 : longest.front();
}

Result<void> check(Program const& program, std::size_t max_insns) {
    auto const found = refusal(program.insns, max_insns);
    if (!found) return {};
    if (found->index >= program.insns.size()) return fail({found->rule, std::nullopt, {}});
    std::optional<Span> span;
    if (found->index < program.origin.size()) span = program.origin[found->index];
    return fail({fmt::format("instruction {}: {}", found->index, found->rule), span, {}});
}

}  // namespace tamis::cbpf
