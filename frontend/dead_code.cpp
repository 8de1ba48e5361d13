#include "frontend/dead_code.h"

#include <cstddef>
#include <cstdint>

#include "frontend/list.h"

namespace tamis::frontend {
namespace {

using cbpf::Insn;
using cbpf::Kind;

// Registers and words of memory, a bit for each.
using State = std::uint32_t;

State state(std::uint8_t regs, std::uint32_t word) {
    State const registers = regs & (cbpf::A | cbpf::X);
    return (regs & cbpf::M) != 0 ? registers | State{0x100} << word : registers;
}

// Whether all that it does is to write.
bool only_writes(Insn const& insn, cbpf::Op const& op) {
    switch (op.kind) {
        case Kind::load_imm:
        case Kind::load_mem:
        case Kind::load_len:
        case Kind::store:
        case Kind::neg:
        case Kind::copy:
            return true;
        case Kind::alu: {
            bool const divides = op.alu() == cbpf::Alu::div || op.alu() == cbpf::Alu::mod;
            return !divides || ((op.reads & cbpf::X) == 0 && insn.k != 0);
        }
        case Kind::load_abs:
        case Kind::load_ind:
        case Kind::load_msh:
        case Kind::jump:
        case Kind::branch:
        case Kind::ret:
            return false;
    }
    return false;
}

// From the end on: what is read of the state before each instruction; nothing for those to go.
List<bool> dead(std::vector<Insn> const& insns) {
    List<State> read(insns.size() + 1);
    List<bool> dead(insns.size());
    for (std::size_t pc = insns.size(); pc-- > 0;) {
        Insn const& insn = insns[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        cbpf::Targets const to = cbpf::targets(insn, pc, op.kind);
        State const after = read[to.taken] | read[to.fallen];
        State const writes = state(op.writes, insn.k);
        dead[pc] = only_writes(insn, op) && (writes & after) == 0;
        read[pc] = dead[pc] ? after : (after & ~writes) | state(op.reads, insn.k);
        // Some metadata hang on registers.
        if (op.kind == Kind::load_abs && cbpf::find_ancillary(insn.k) != nullptr)
            read[pc] |= state(cbpf::A | cbpf::X, 0);
        if (op.kind == Kind::ret) read[pc] = state(op.reads, 0);
    }
    return dead;
}

}  // namespace

void drop_dead_code(cbpf::Program& program) {
    std::vector<Insn>& insns = program.insns;
    List<bool> const drop = dead(insns);
    List<std::size_t> place(insns.size() + 1);  // of what stays, or comes next
    for (std::size_t pc = 0; pc < insns.size(); ++pc)
        place[pc + 1] = place[pc] + (drop[pc] ? 0 : 1);
    if (place.back() == insns.size()) return;
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        if (drop[pc]) continue;
        Insn insn = insns[pc];
        Kind const kind = cbpf::find(insn.code)->kind;
        cbpf::Targets const to = cbpf::targets(insn, pc, kind);
        auto const distance = [&](std::size_t target) { return place[target] - place[pc] - 1; };
        if (kind == Kind::jump) insn.k = static_cast<std::uint32_t>(distance(to.taken));
        if (kind == Kind::branch) {
            insn.jt = static_cast<std::uint8_t>(distance(to.taken));
            insn.jf = static_cast<std::uint8_t>(distance(to.fallen));
        }
        insns[place[pc]] = insn;
        program.origin[place[pc]] = program.origin[pc];
    }
    insns.resize(place.back());
    program.origin.resize(place.back());
}

}  // namespace tamis::frontend
