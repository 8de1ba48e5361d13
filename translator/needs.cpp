// What is still to come: bytes that every accepting path reads, and state that some path reads.
#include <algorithm>

#include "translator/pass.h"

namespace tamis::translator {
namespace {

class Needs : Pass {
  public:
    using Pass::Pass;

    // What every accepting path from here reads.  A check for that much refuses no packet that
    // reading byte by byte would accept.
    void run() {
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            Insn const& insn = insns_[pc];
            Facts& f = facts_[pc];
            if (kind_of(insn) == Kind::ret) {
                bool const rejects = cbpf::find(insn.code)->reads != cbpf::A && insn.k == 0;
                f.needed = f.needed_x = rejects ? Facts::never : 0;
                continue;
            }
            f.needed = f.needed_x = Facts::never;
            for_each_next(pc, [&](std::size_t next) {
                f.needed = std::min(f.needed, facts_[next].needed);
                f.needed_x = std::min(f.needed_x, facts_[next].needed_x);
            });
            if (may_return_a(insn, hook_)) f.needed = f.needed_x = 0;
            if (f.needed == Facts::never) continue;
            f.needed = std::max(f.needed, from_start(insn, f.needed_x));
            if ((writes(insn) & state_x) != 0) f.needed_x = 0;
            if (is_constant_load(insn) && end_of(insn) <= max_reach)
                f.needed = std::max(f.needed, static_cast<std::uint32_t>(end_of(insn)));
            if (keeps_pointer(insn, f))
                f.needed_x = std::max(f.needed_x, static_cast<std::uint32_t>(end_of(insn)));
        }
    }

  private:
    // What is needed behind X is needed from the packet's start on: X is no less than 0, or known.
    static std::uint32_t from_start(Insn const& insn, std::uint32_t needed_x) {
        bool const known = kind_of(insn) == Kind::load_imm && (writes(insn) & state_x) != 0;
        bool const adds = known && needed_x != 0 && insn.k <= max_reach - needed_x;
        return adds ? insn.k + needed_x : needed_x;
    }
};

class Live : Pass {
  public:
    using Pass::Pass;

    void run() {
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            if (!accepts(pc)) continue;
            Insn const& insn = insns_[pc];
            Facts& f = facts_[pc];
            for_each_next(pc, [&](std::size_t next) { f.live_out |= facts_[next].live; });
            std::uint32_t const written = writes(insn);
            bool const dead = written != 0 && (written & f.live_out) == 0;
            // Reading for nobody is no reading; where a load lies and what is divided by still
            // counts.
            bool const ends =
                is_packet_load(insn) || divides_by_x(insn) || may_return_a(insn, hook_);
            f.live = (f.live_out & ~written) | (dead && !ends ? 0 : needs(pc));
        }
    }

  private:
    static bool divides_by_x(Insn const& insn) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        return op.kind == Kind::alu && (op.reads & cbpf::X) != 0 &&
               (op.alu() == cbpf::Alu::div || op.alu() == cbpf::Alu::mod);
    }
};

}  // namespace

void find_needs(Subject const& subject, Knowledge& known) { Needs(subject, known).run(); }

void find_live(Subject const& subject, Knowledge& known) { Live(subject, known).run(); }

}  // namespace tamis::translator
