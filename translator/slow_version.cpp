// What the slow version is made of.
//
// It is entered where the fast one cannot go on, and what was tested on the way there is known in
// it: behind "if no tag lies beside the packet" a load may fail, and when the same is asked again
// further down, there is one answer.  The other way is no code that could ever run.
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "translator/pass.h"

namespace tamis::translator {
namespace {

class SlowVersion : Pass {
  public:
    using Pass::Pass;

    void run() {
        std::vector<std::optional<State>> fast(insns_.size()), slow(insns_.size());
        fast[0] = State{};
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            Facts& f = facts_[pc];
            f.slow_way.reset();
            if (f.fast && fast[pc]) {
                if (f.enters_slow) arrive(slow[pc], *fast[pc]);
                go_on(pc, *fast[pc], std::nullopt, fast);
            }
            f.slow = slow[pc].has_value();
            if (!f.slow) continue;
            f.slow_way = decided(pc, *slow[pc]);
            go_on(pc, *slow[pc], f.slow_way, slow);
        }
    }

  private:
    // Metadata, or bytes at a constant offset: the opcode and k of a load of A that gets the same
    // value whenever it is executed.
    using Place = std::pair<std::uint16_t, std::uint32_t>;
    struct Value {
        std::optional<std::uint32_t> is;
        std::set<std::uint32_t> is_not;
        bool cannot_be(std::uint32_t k) const { return is ? *is != k : is_not.contains(k); }
        bool operator==(Value const&) const = default;
    };
    struct State {
        std::optional<Place> in_a;
        std::map<Place, Value> values;
    };
    // Of what is known, as much is kept as a filter of ordinary size needs.
    static constexpr std::size_t most_places = 8, most_values = 8;

    // Which way a branch goes, where that is known.
    std::optional<bool> decided(std::size_t pc, State const& state) const {
        if (!is_equality(pc) || !state.in_a) return std::nullopt;
        auto const known = state.values.find(*state.in_a);
        if (known == state.values.end()) return std::nullopt;
        std::uint32_t const k = insns_[pc].k;
        if (known->second.is == k) return true;
        if (known->second.cannot_be(k)) return false;
        return std::nullopt;
    }

    bool is_equality(std::size_t pc) const {
        cbpf::Op const& op = *cbpf::find(insns_[pc].code);
        return op.kind == Kind::branch && op.cond() == cbpf::Cond::eq && op.reads == cbpf::A;
    }

    void go_on(std::size_t pc, State const& before, std::optional<bool> way,
               std::vector<std::optional<State>>& states) const {
        State after = before;
        if ((writes(insns_[pc]) & state_a) != 0) after.in_a = place_of(insns_[pc]);
        for_each_next(pc, [&](std::size_t next) {
            if (!accepts(next)) return;
            if (!is_equality(pc)) return arrive(states[next], after);
            auto const [taken, fallen] = cbpf::targets(insns_[pc], pc, Kind::branch);
            if (taken != fallen && way && *way != (next == taken)) return;
            State there = after;
            if (taken != fallen) learn(there, insns_[pc].k, next == taken);
            arrive(states[next], there);
        });
    }

    static std::optional<Place> place_of(Insn const& insn) {
        if (kind_of(insn) != Kind::load_abs) return std::nullopt;
        cbpf::Ancillary const* const anc = cbpf::find_ancillary(insn.k);
        if (anc && (anc->number == Anc::alu_xor_x || anc->number == Anc::random ||
                    anc->number == Anc::cpu))
            return std::nullopt;
        return Place{insn.code, insn.k};
    }

    static void learn(State& state, std::uint32_t k, bool equal) {
        if (!state.in_a) return;
        if (!state.values.contains(*state.in_a) && state.values.size() == most_places) return;
        Value& value = state.values[*state.in_a];
        if (equal)
            value = {k, {}};
        else if (!value.is && value.is_not.size() < most_values)
            value.is_not.insert(k);
    }

    // Where ways meet, what all of them know.
    static void arrive(std::optional<State>& there, State const& state) {
        if (!there) {
            there = state;
            return;
        }
        if (there->in_a != state.in_a) there->in_a.reset();
        std::map<Place, Value> shared;
        for (auto const& [place, value] : there->values) {
            auto const other = state.values.find(place);
            if (other == state.values.end()) continue;
            Value const both = meet(value, other->second);
            if (both.is || !both.is_not.empty()) shared.emplace(place, both);
        }
        there->values = std::move(shared);
    }

    static Value meet(Value const& a, Value const& b) {
        if (a == b) return a;
        Value both;
        for (Value const* one : {&a, &b})
            for (std::uint32_t const k : one->is_not)
                if (a.cannot_be(k) && b.cannot_be(k)) both.is_not.insert(k);
        return both;
    }
};

}  // namespace

void find_slow(Subject const& subject, Knowledge& known) { SlowVersion(subject, known).run(); }

}  // namespace tamis::translator
