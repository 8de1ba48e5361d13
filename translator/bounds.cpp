// What values can be: whether an instruction is reached, upper bounds, and constants.
#include <algorithm>
#include <optional>

#include "translator/pass.h"

namespace tamis::translator {
namespace {

class Bounds : Pass {
  public:
    using Pass::Pass;

    // Reachability, and upper bounds of A and X.  The verifier must come to the same bounds by
    // itself, or it refuses the pointer data + X; so they are no better than the oldest kernel's
    // (kernel/bpf/verifier.c: a byte swap, a division and a word on the stack are anything).
    void run() {
        facts_[0].reached = true;
        facts_[0].most_a = facts_[0].most_x = facts_[0].most_cell = 0;
        known_.kept_cell = find_kept_cell();
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached) continue;
            Most const after = bounds_after(pc);
            for_each_next(pc, [&](std::size_t next) {
                Facts& f = facts_[next];
                f.most_a = f.reached ? std::max(f.most_a, after.a) : after.a;
                f.most_x = f.reached ? std::max(f.most_x, after.x) : after.x;
                f.most_cell = f.reached ? std::max(f.most_cell, after.cell) : after.cell;
                f.reached = true;
            });
        }
    }

  private:
    // The first cell that is read, where registers are ours.
    std::optional<std::uint32_t> find_kept_cell() const {
        std::optional<std::uint32_t> first;
        if (!has_context(hook_)) return first;
        for (Insn const& insn : insns_)
            if (kind_of(insn) == Kind::load_mem) first = std::min(first.value_or(insn.k), insn.k);
        return first;
    }

    struct Most {
        std::uint32_t a, x, cell;
    };
    Most bounds_after(std::size_t pc) const {
        Insn const& insn = insns_[pc];
        std::uint32_t const a = facts_[pc].most_a, x = facts_[pc].most_x,
                            cell = facts_[pc].most_cell;
        cbpf::Op const& op = *cbpf::find(insn.code);
        bool const to_x = (op.writes & cbpf::X) != 0;
        auto const set = [&](std::uint32_t most) {
            return to_x ? Most{a, most, cell} : Most{most, x, cell};
        };
        switch (op.kind) {
            case Kind::load_imm:
                return set(insn.k);
            case Kind::load_abs:
            case Kind::load_ind:
                return set(op.arg == 1 && is_packet_load(insn) ? 0xff : Facts::any);
            case Kind::load_mem:
                return set(known_.kept_cell == insn.k ? cell : Facts::any);
            case Kind::load_len:
                return set(Facts::any);
            case Kind::load_msh:
                return set(60);
            case Kind::alu:
                return set(bound_of(op.alu(), a, (op.reads & cbpf::X) != 0, x, insn.k));
            case Kind::neg:
                return set(Facts::any);
            case Kind::copy:
                return set(to_x ? a : x);
            case Kind::store:
                if (known_.kept_cell == insn.k) return {a, x, copies_a(insn) ? a : x};
                break;
            case Kind::jump:
            case Kind::branch:
            case Kind::ret:
                break;
        }
        return {a, x, cell};
    }

    static std::uint32_t bound_of(cbpf::Alu op, std::uint32_t a, bool with_x, std::uint32_t x,
                                  std::uint32_t k) {
        auto const within = [](std::uint64_t most) {
            return most <= Facts::any ? static_cast<std::uint32_t>(most) : Facts::any;
        };
        if (op == cbpf::Alu::add) return within(std::uint64_t{a} + (with_x ? x : k));
        if (with_x) return Facts::any;
        if (op == cbpf::Alu::and_) return std::min(a, k);
        if (op == cbpf::Alu::rsh) return a >> k;
        if (op == cbpf::Alu::lsh) return within(std::uint64_t{a} << k);
        return Facts::any;
    }
};

class Constants : Pass {
  public:
    using Pass::Pass;

    // A that is a constant is copied as one, and often nobody reads A itself any more.
    void run() {
        std::vector<bool> seen(insns_.size());
        facts_[0].constant = 0;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached) continue;
            Insn const& insn = insns_[pc];
            std::optional<std::uint32_t> after = facts_[pc].constant;
            if ((writes(insn) & state_a) != 0) {
                after = std::nullopt;
                if (kind_of(insn) == Kind::load_imm) after = insn.k;
            }
            for_each_next(pc, [&](std::size_t next) {
                std::optional<std::uint32_t>& there = facts_[next].constant;
                if (!seen[next] || there == after)
                    there = after;
                else
                    there = std::nullopt;
                seen[next] = true;
            });
        }
    }
};

}  // namespace

void find_bounds(Subject const& subject, Knowledge& known) { Bounds(subject, known).run(); }

void find_constants(Subject const& subject, Knowledge& known) { Constants(subject, known).run(); }

}  // namespace tamis::translator
