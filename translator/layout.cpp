// Classic jumps lead forward only, so what two alternatives have in common stands behind both, and
// the first one ends with a jump over the second: in `tcp port 80` all of IPv4 does.  A jump that
// is taken costs more than its instruction.  So the second alternative is put aside, where it is no
// longer than it was: the first one falls through instead, and the second one jumps back.  Nobody
// knows which is taken more often, but what a filter's writer and the front end ask for first is
// the better guess.
//
// Where counters follow, a jump is nothing beside their calls, and aside would be far away: longer
// machine code, and more that the verifier walks through twice.
#include "translator/layout.h"

#include <algorithm>
#include <utility>

namespace tamis::translator {
namespace {

class Layouter {
  public:
    Layouter(Plan const& plan, bool slow) : plan_(plan), slow_(slow), index_(plan.size(), none) {
        for (std::size_t pc = 0; pc < plan.size(); ++pc) {
            if (!plan.emitted(pc, slow)) continue;
            index_[pc] = order_.size();
            order_.push_back(pc);
        }
    }

    CodeLayout run() {
        CodeLayout out;
        append(out.straight, 0, order_.size());
        // What is put aside may have something to put aside in its turn.
        for (std::size_t i = 0; i < aside_.size(); ++i)
            append(out.aside, aside_[i].first, aside_[i].second);
        return out;
    }

  private:
    static constexpr std::size_t none = ~std::size_t{0};

    void append(std::vector<std::size_t>& part, std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end;) {
            part.push_back(order_[i]);
            std::size_t const next = plan_.around.needs_context ? i + 1 : follower(i, end);
            if (next > i + 1) aside_.emplace_back(i + 1, next);
            i = next;
        }
    }

    // What stands best behind an instruction, before that end: the nearest one that it leads to, or
    // nothing.
    std::size_t follower(std::size_t i, std::size_t end) const {
        cbpf::Insn const& insn = plan_.insns[order_[i]];
        cbpf::Kind const kind = cbpf::find(insn.code)->kind;
        if (kind == cbpf::Kind::ret) return end;
        auto const [taken, fallen] = cbpf::targets(insn, order_[i], kind);
        return std::min({end, index(taken), index(fallen)});
    }

    std::size_t index(std::size_t pc) const { return index_[plan_.landing(pc, slow_)]; }

    Plan const& plan_;
    bool slow_;
    std::vector<std::size_t> order_;
    std::vector<std::size_t> index_;  // in the order, by instruction
    std::vector<std::pair<std::size_t, std::size_t>> aside_;
};

}  // namespace

CodeLayout lay_out(Plan const& plan, bool slow) { return Layouter(plan, slow).run(); }

}  // namespace tamis::translator
