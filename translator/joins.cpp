// Two words that follow each other in the packet, each compared with a number, are compared at
// once.
//
// The constant of a 64-bit comparison has 32 bits and a sign; a larger one would be loaded before
// (two slots, one instruction more for every packet that differs in its first word).  So words are
// joined where the constant fits: the zeros of IPv6 addresses are most of them.  Six bytes of a MAC
// address would have to be shifted out of eight as well: `ether host` took as many slots, and seven
// instructions instead of four for a packet of somebody else.
#include <optional>

#include "bpf/bytes.h"
#include "translator/pass.h"

namespace tamis::translator {
namespace {

class Joins : Pass {
  public:
    using Pass::Pass;

    void run() {
        count_ways();
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!is_test(pc) || facts_[pc].joined == Joined::second) continue;
            std::size_t const next = past_jumps(targets(pc).taken);
            auto const constant = is_test(next) ? joined_constant(pc, next) : std::nullopt;
            if (!constant || !fits(pc, next)) continue;
            facts_[pc].joined = facts_[pc + 1].joined = Joined::first;
            facts_[pc + 1].joined_constant = *constant;
            facts_[next].joined = facts_[next + 1].joined = Joined::second;
        }
    }

  private:
    // How many instructions lead to each.
    void count_ways() {
        ways_.resize(insns_.size());
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (facts_[pc].fast) for_each_next(pc, [&](std::size_t next) { ++ways_[next]; });
    }

    // A word of the packet, and whether it is a number, by which both are one way.
    bool is_test(std::size_t pc) const {
        if (!facts_[pc].fast || !is_constant_load(insns_[pc]) || size_of(insns_[pc]) != 4)
            return false;
        cbpf::Op const& op = *cbpf::find(insns_[pc + 1].code);
        return op.kind == Kind::branch && op.cond() == cbpf::Cond::eq &&
               (op.reads & cbpf::X) == 0 && facts_[pc].raw && ways_[pc + 1] == 1 &&
               (facts_[pc + 1].live_out & state_a) == 0;
    }

    cbpf::Targets targets(std::size_t pc) const {
        return cbpf::targets(insns_[pc + 1], pc + 1, Kind::branch);
    }

    std::size_t past_jumps(std::size_t pc) const {
        while (kind_of(insns_[pc]) == Kind::jump)
            pc = cbpf::targets(insns_[pc], pc, Kind::jump).taken;
        return pc;
    }

    // As the eight bytes are read, if it is a constant of a comparison.
    std::optional<std::int32_t> joined_constant(std::size_t first, std::size_t second) const {
        auto const low = static_cast<std::int32_t>(reversed(insns_[first + 1].k, 4));
        auto const high = static_cast<std::int32_t>(reversed(insns_[second + 1].k, 4));
        return high == (low < 0 ? -1 : 0) ? std::optional(low) : std::nullopt;
    }

    // The second one follows, in the packet and on every way, goes to the same place when it
    // differs, and lies within what is checked for the first.
    bool fits(std::size_t first, std::size_t second) const {
        return insns_[second].k == insns_[first].k + 4 && ways_[second] == 1 &&
               past_jumps(targets(first).fallen) == past_jumps(targets(second).fallen) &&
               facts_[first].after.bytes >= end_of(insns_[second]);
    }

    std::vector<unsigned> ways_;
};

}  // namespace

void find_joins(Subject const& subject, Knowledge& known) { Joins(subject, known).run(); }

}  // namespace tamis::translator
