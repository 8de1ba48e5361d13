// What the passes over a classic program share.
#pragma once

#include "translator/facts.h"

namespace tamis::translator {

// A pass: what it asks for, and what earlier passes found out.
class Pass {
  public:
    Pass(Subject const& subject, Knowledge& known)
        : subject_(subject),
          insns_(subject.program.insns),
          hook_(subject.hook),
          shape_(subject.shape),
          known_(known),
          facts_(known.facts) {}

  protected:
    using Anc = cbpf::Anc;
    using Insn = cbpf::Insn;
    using Kind = cbpf::Kind;

    static Kind kind_of(Insn const& insn) { return cbpf::find(insn.code)->kind; }
    static std::uint32_t size_of(Insn const& insn) { return cbpf::find(insn.code)->arg; }
    // The end of a load's bytes, counted from where its offset counts from.
    static std::uint64_t end_of(Insn const& insn) { return std::uint64_t{insn.k} + size_of(insn); }
    static bool is_packet_load(Insn const& insn) { return reads_packet(insn); }
    static bool is_constant_load(Insn const& insn) {
        return is_packet_load(insn) && kind_of(insn) != Kind::load_ind;
    }

    // The instructions that may come next.
    template <class Visit>
    void for_each_next(std::size_t pc, Visit const& visit) const {
        Insn const& insn = insns_[pc];
        Kind const kind = kind_of(insn);
        if (kind == Kind::ret || (is_constant_load(insn) && always_fails(hook_, shape_, insn)))
            return;
        auto const [taken, fallen] = cbpf::targets(insn, pc, kind);
        visit(taken);
        if (fallen != taken) visit(fallen);
    }

    // Some path from here accepts.
    bool accepts(std::size_t pc) const { return facts_[pc].needed != Facts::never; }

    // What an instruction reads of the state as it is kept.
    std::uint32_t needs(std::size_t pc) const {
        bool const known = copies_a(insns_[pc]) && facts_[pc].constant;
        return reads(insns_[pc], hook_) & ~(known ? state_a : 0);
    }

    Subject const& subject_;
    std::vector<Insn> const& insns_;
    HookRow const& hook_;
    Shape const& shape_;
    Knowledge& known_;
    std::vector<Facts>& facts_;
};

}  // namespace tamis::translator
