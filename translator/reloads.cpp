#include "translator/reloads.h"

#include <optional>

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;

constexpr Insn to_the_next{0x05, 0, 0, 0};  // ja 0

// The cell that X equals behind an instruction, if it does so before.
std::optional<std::uint32_t> cell_behind(Insn const& insn, std::optional<std::uint32_t> cell) {
    cbpf::Op const& op = *cbpf::find(insn.code);
    if (op.kind == Kind::store)
        return op.reads == cbpf::X ? insn.k : cell == insn.k ? std::nullopt : cell;
    if ((op.writes & cbpf::X) == 0) return cell;
    return op.kind == Kind::load_mem ? std::optional(insn.k) : std::nullopt;
}

}  // namespace

void drop_reloads(cbpf::Program& program) {
    std::vector<Insn>& insns = program.insns;
    std::vector<std::optional<std::uint32_t>> before(insns.size());
    std::vector<bool> reached(insns.size());
    auto const arrive = [&](std::size_t pc, std::optional<std::uint32_t> cell) {
        before[pc] = !reached[pc] || before[pc] == cell ? cell : std::nullopt;
        reached[pc] = true;
    };
    arrive(0, std::nullopt);
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        if (!reached[pc]) continue;
        cbpf::Op const& op = *cbpf::find(insns[pc].code);
        if (op.kind == Kind::ret) continue;
        auto const cell = cell_behind(insns[pc], before[pc]);
        auto const [taken, fallen] = cbpf::targets(insns[pc], pc, op.kind);
        arrive(taken, cell);
        arrive(fallen, cell);
        bool const again =
            op.kind == Kind::load_mem && (op.writes & cbpf::X) != 0 && before[pc] == insns[pc].k;
        if (again) insns[pc] = to_the_next;
    }
}

}  // namespace tamis::translator
