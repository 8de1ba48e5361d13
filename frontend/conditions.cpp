#include "frontend/conditions.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tamis::frontend {
namespace {

using Ref = Conditions::Ref;
using Kind = Conditions::Kind;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};

constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

// What is too deep by far stays so.
constexpr std::uint16_t deeper(std::uint16_t depth) {
    return depth == 0xffff ? depth : static_cast<std::uint16_t>(depth + 1);
}

std::uint32_t mix(std::uint32_t hash, std::uint32_t value) {
    std::uint64_t const product = (hash ^ value) * std::uint64_t{0x9e3779b97f4a7c15};
    return static_cast<std::uint32_t>(product >> 29);
}

}  // namespace

// ------------------------------------------------------------------------------ terms, each once

Conditions::Conditions(std::size_t expected, std::size_t work, std::size_t searched)
    : table_(64, all_ones), work_(work), searched_(searched) {
    // Growing step by step takes longer than what is done with ordinary filters, and half as much
    // memory again as a long list.
    keys_.reserve(16);
    terms_.reserve(64 + expected);
    operands_.reserve(64 + 2 * expected);
    intervals_.reserve(64 + expected);
    terms_.resize(2);  // never and always
    terms_[always].key = terms_[never].key = all_ones;
}

std::uint32_t Conditions::key(Key const& key) {
    // There are few, and the last ones come again.
    for (std::size_t i = keys_.size(); i-- > 0;) {
        if (keys_[i] == key) return u32(i);
        if (keys_.size() - i > 64 && !spend(1)) break;
    }
    keys_.push_back(key);
    return u32(keys_.size() - 1);
}

bool Conditions::equal(Term const& one, Term const& other) const {
    if (one.kind != other.kind || one.key != other.key ||
        one.end - one.begin != other.end - other.begin)
        return false;
    if (one.kind == Kind::test)
        return std::equal(intervals_.begin() + one.begin, intervals_.begin() + one.end,
                          intervals_.begin() + other.begin);
    return std::equal(operands_.begin() + one.begin, operands_.begin() + one.end,
                      operands_.begin() + other.begin);
}

std::uint32_t Conditions::hash_of(Term const& term) const {
    std::uint32_t hash = mix(static_cast<std::uint32_t>(term.kind), term.key);
    if (term.kind == Kind::test) {
        for (std::uint32_t i = term.begin; i < term.end; ++i)
            hash = mix(mix(hash, intervals_[i].low), intervals_[i].high);
    } else {
        for (std::uint32_t i = term.begin; i < term.end; ++i) hash = mix(hash, operands_[i]);
    }
    return hash;
}

void Conditions::fill_table() {
    for (std::size_t i = 2; i < terms_.size(); ++i) {
        std::size_t at = hash_of(terms_[i]) & (table_.size() - 1);
        while (table_[at] != all_ones) at = (at + 1) & (table_.size() - 1);
        table_[at] = u32(i);
    }
}

// Operands stand before what they are operands of, so one pass down finds all, and one up moves
// them.
void Conditions::keep(std::span<Ref> wanted) {
    List<Ref> place(terms_.size(), never);
    for (Ref const ref : wanted) place[ref] = always;  // to be kept
    for (std::size_t i = terms_.size(); i-- > 2;) {
        if (place[i] == never || terms_[i].kind == Kind::test) continue;
        for (std::uint32_t o = terms_[i].begin; o < terms_[i].end; ++o)
            place[operands_[o]] = always;
    }
    place[never] = never;
    place[always] = always;
    std::uint32_t next = 2, operands = 0, intervals = 0;
    for (std::size_t i = 2; i < terms_.size(); ++i) {
        if (place[i] == never) continue;
        Term term = terms_[i];
        std::uint32_t const begin = term.kind == Kind::test ? intervals : operands;
        for (std::uint32_t p = term.begin; p < term.end; ++p) {
            if (term.kind == Kind::test)
                intervals_[intervals++] = intervals_[p];
            else
                operands_[operands++] = place[operands_[p]];
        }
        term.end = begin + (term.end - term.begin);
        term.begin = begin;
        place[i] = next;
        terms_[next++] = term;
    }
    terms_.resize(next);
    operands_.resize(operands);
    intervals_.resize(intervals);
    std::fill(table_.begin(), table_.end(), all_ones);
    fill_table();
    for (Ref& ref : wanted) ref = place[ref];
}

Ref Conditions::intern(Term term, Ref const* operands, std::size_t count, Interval const* set) {
    if (term.kind == Kind::test) {
        term.begin = u32(intervals_.size());
        intervals_.insert(intervals_.end(), set, set + count);
        term.end = u32(intervals_.size());
    } else {
        term.begin = u32(operands_.size());
        operands_.insert(operands_.end(), operands, operands + count);
        term.end = u32(operands_.size());
    }
    std::uint32_t const hash = hash_of(term);
    if (3 * terms_.size() > 2 * table_.size()) {
        table_.assign(2 * table_.size(), all_ones);
        fill_table();
    }
    std::size_t at = hash & (table_.size() - 1);
    for (; table_[at] != all_ones; at = (at + 1) & (table_.size() - 1)) {
        if (!equal(terms_[table_[at]], term)) continue;
        if (term.kind == Kind::test)
            intervals_.resize(term.begin);
        else
            operands_.resize(term.begin);
        return table_[at];
    }
    table_[at] = u32(terms_.size());
    terms_.push_back(term);
    return table_[at];
}

Ref Conditions::test(std::uint32_t key, std::span<Interval const> set, Span span) {
    Key const& tested = keys_[key];
    if (set.empty()) return never;  // perhaps unknown: that accepts nothing either
    bool const full = set.front().low == 0 && set.front().high >= tested.max;
    if (full && tested.reach == 0) return always;
    Term term;
    term.key = key;
    term.support = 1U << (key % 32);
    term.reach = tested.reach;
    term.span = span;
    term.divides = tested.divides;
    return intern(term, nullptr, set.size(), set.data());
}

Span Conditions::span(Ref ref) const {
    while (terms_[ref].kind != Kind::test) ref = operands_[terms_[ref].begin];
    return terms_[ref].span;
}

// ------------------------------------------------------------------------------------- and, or

class Conditions::Joining {
  public:
    Joining(Conditions& conditions, Kind kind) : c_(conditions), kind_(kind) {}

    // False when this decides the whole.
    bool add(Ref ref);
    Ref finish();

  private:
    static constexpr std::uint32_t none = all_ones;
    using Refs = Few<Ref, 8>;
    struct Member {
        Ref ref;
        std::uint32_t next;  // of the same group, or none
    };
    // Operands that begin with the same key.
    struct Group {
        std::uint32_t key;
        Ref only;                   // as long as it is the only one; otherwise `never`, and
        std::uint32_t first, last;  // these are the members
        std::uint32_t needs;        // packets that are shorter do not end the evaluation here
        bool divides;
    };

    Term const& term(Ref ref) const { return c_.terms_[ref]; }
    // Packets that are shorter do not end the evaluation with this operand.
    std::uint32_t needs(Ref ref) const {
        Needs const needs = c_.needs_of(term(ref));
        return kind_ == Kind::any ? needs.if_true : needs.if_false;
    }
    bool add_bit_test(Ref ref);
    bool is_bit_test(Ref ref) const;
    bool may_move(Ref ref, std::size_t group) const;
    void put(Ref ref);
    void put_into(Group& group, Ref ref);
    Ref finish(Group const& group);
    Ref united(Refs const& tests);
    void factor(Refs& others);

    Conditions& c_;
    Kind kind_;
    Few<Group, 8> groups_;
    Few<Member, 8> members_;  // of all groups
    Refs tests_, others_;     // of the group that is finished
    bool divides_ = false;    // an operand does
    bool decided_ = false;    // by an operand that does not make those before it superfluous
};

bool Conditions::Joining::add(Ref ref) {
    if (decided_) return true;
    if (ref == absorbing(kind_)) {
        decided_ = divides_;
        return divides_;
    }
    if (ref == neutral(kind_) || !c_.spend(1)) return true;
    if (term(ref).kind == kind_ && !term(ref).same_key) {
        auto const [begin, end] = c_.range(ref);
        for (std::uint32_t i = begin; i < end; ++i)
            if (!add(c_.operands_[i])) return false;
    } else {
        divides_ = divides_ || term(ref).divides;
        put(ref);
    }
    return true;
}

// `f & m != 0` among alternatives, `f & m = 0` among conditions: such masks can be joined.
bool Conditions::Joining::is_bit_test(Ref ref) const {
    Term const& t = term(ref);
    if (t.kind != Kind::test || c_.keys_[t.key].mask == all_ones || t.end - t.begin != 1)
        return false;
    Interval const set = c_.intervals_[t.begin];
    return kind_ == Kind::any ? set.low == 1 && set.high == c_.keys_[t.key].max
                              : set == Interval{0, 0};
}

bool Conditions::Joining::add_bit_test(Ref ref) {
    if (!is_bit_test(ref)) return false;
    Key const& tested = c_.keys_[term(ref).key];
    std::size_t const end = groups_.size() > c_.searched_ ? groups_.size() - c_.searched_ : 0;
    for (std::size_t i = groups_.size(); i-- > end;) {
        Group& group = groups_[i];
        if (group.divides) break;
        if (group.only == never || !is_bit_test(group.only)) continue;
        Key both = c_.keys_[group.key];
        if (both.field != tested.field) continue;
        both.mask |= tested.mask;
        both.max = both.mask;
        std::uint32_t const widest = all_ones >> (32 - 8 * both.field.size);
        if (both.mask == widest) both.mask = all_ones;
        group.key = c_.key(both);
        Interval const set = kind_ == Kind::any ? Interval{1, both.max} : Interval{0, 0};
        Span const span = tamis::join(term(group.only).span, term(ref).span);
        group.only = c_.test(group.key, std::array{set}, span);
        return true;
    }
    return false;
}

// Whether an operand may be evaluated where a group stands, before the groups behind it: either it
// reads nothing that was not read there, or what comes first now would not have been left out.
bool Conditions::Joining::may_move(Ref ref, std::size_t group) const {
    std::uint32_t known = all_ones;
    for (std::size_t i = group + 1; i < groups_.size(); ++i)
        known = std::min(known, groups_[i].needs);
    return term(ref).reach <= std::max(known, c_.keys_[groups_[group].key].needs);
}

void Conditions::Joining::put_into(Group& group, Ref ref) {
    Term const& operand = term(ref);
    if (operand.kind == kind_ && operand.same_key) {  // a group by itself so far
        auto const [begin, end] = c_.range(ref);
        for (std::uint32_t i = begin; i < end; ++i) put_into(group, c_.operands_[i]);
        c_.spend(end - begin);
        return;
    }
    group.needs = std::min(group.needs, needs(ref));
    group.divides = group.divides || operand.divides;
    (group.first == none ? group.first : members_[group.last].next) = u32(members_.size());
    group.last = u32(members_.size());
    members_.push_back({ref, none});
}

void Conditions::Joining::put(Ref ref) {
    if (add_bit_test(ref)) return;
    Term const& operand = term(ref);
    bool const tests_only = c_.searched_ == 0;
    std::size_t const searched = std::max<std::size_t>(c_.searched_, 1);
    std::size_t const end = groups_.size() > searched ? groups_.size() - searched : 0;
    for (std::size_t i = groups_.size(); i-- > end;) {
        Group& group = groups_[i];
        if (group.divides) break;
        if (group.key != operand.key) continue;
        bool const test = group.only == never || term(group.only).kind == Kind::test;
        if (tests_only && (operand.kind != Kind::test || !test)) break;
        bool const moves = i + 1 < groups_.size();
        if (operand.kind != Kind::test && moves && (operand.divides || !may_move(ref, i))) break;
        if (group.only == ref) return;
        if (group.only != never) put_into(group, std::exchange(group.only, never));
        put_into(group, ref);
        return;
    }
    groups_.push_back({operand.key, ref, none, none, needs(ref), operand.divides});
}

Ref Conditions::Joining::united(Refs const& tests) {
    if (tests.size() == 1) return tests[0];
    std::uint32_t const key = term(tests[0]).key;
    std::uint32_t const max = c_.keys_[key].max;
    Intervals set;
    Span span = term(tests[0]).span;
    for (Ref const ref : tests) {
        span = tamis::join(span, term(ref).span);
        if (kind_ == Kind::any) {
            auto const own = c_.set_of(ref);
            set.insert(set.end(), own.begin(), own.end());
        } else {
            auto const rest = complement(c_.set_of(ref), max);
            set.insert(set.end(), rest.begin(), rest.end());
        }
    }
    c_.spend(set.size());
    set.shrink(unite(set));
    return c_.test(key, kind_ == Kind::any ? set : complement(set, max), span);
}

Ref Conditions::made(Kind kind, std::span<Ref const> operands, bool same_key) {
    if (operands.size() == 1) return operands[0];
    Term made;
    made.kind = kind;
    made.same_key = same_key;
    made.key = terms_[operands[0]].key;
    bool const any = kind == Kind::any;
    made.needs = any ? Needs{all_ones, 0} : Needs{0, all_ones};
    for (Ref const ref : operands) {
        Term const& t = terms_[ref];
        made.support |= t.support;
        made.divides = made.divides || t.divides;
        made.reach = std::max(made.reach, t.reach);
        auto const [if_true, if_false] = needs_of(t);
        made.needs = any ? Needs{std::min(made.needs.if_true, if_true),
                                 std::max(made.needs.if_false, if_false)}
                         : Needs{std::max(made.needs.if_true, if_true),
                                 std::min(made.needs.if_false, if_false)};
        made.depth = std::max(made.depth, deeper(t.depth));
    }
    return intern(made, operands.data(), operands.size(), nullptr);
}

// `t and a or t and b` is `t and (a or b)`, if what stands between excludes t; likewise with the
// roles of `and` and `or` exchanged.
void Conditions::Joining::factor(Refs& others) {
    constexpr std::size_t searched_tests = 32;
    struct Factored {
        Ref test;
        Refs rests;
    };
    Kind const inner = kind_ == Kind::any ? Kind::all : Kind::any;
    Refs tests;
    for (Ref const ref : others) {
        Term const& whole = term(ref);
        Ref const test = whole.kind == inner ? c_.operands_[whole.begin] : ref;
        if (whole.kind != inner || whole.divides || term(test).kind != Kind::test) return;
        if (std::find(tests.begin(), tests.end(), test) == tests.end()) tests.push_back(test);
        if (tests.size() > searched_tests) return;
    }
    if (tests.size() == others.size()) return;
    List<Factored> factored;
    for (Ref const test : tests) factored.push_back({test, {}});
    for (Ref const ref : others)
        std::find_if(factored.begin(), factored.end(), [&](Factored const& f) {
            return f.test == c_.operands_[term(ref).begin];
        })->rests.push_back(ref);
    // Whatever order: with sets that have nothing in common, one of these at most is left.
    Intervals sets;
    for (Factored const& f : factored) {
        auto const own = c_.set_of(f.test);
        Intervals set(own.begin(), own.end());
        if (inner == Kind::any) set = complement(own, c_.keys_[term(f.test).key].max);
        sets.insert(sets.end(), set.begin(), set.end());
    }
    std::sort(sets.begin(), sets.end());
    for (std::size_t i = 1; i < sets.size(); ++i)
        if (sets[i].low <= sets[i - 1].high) return;
    others.clear();
    for (Factored const& f : factored) {
        Refs rests, operands;
        if (f.rests.size() == 1) {
            others.push_back(f.rests[0]);
            continue;
        }
        for (Ref const ref : f.rests) {
            Term const whole = term(ref);
            operands.assign(c_.operands_.begin() + whole.begin + 1,
                            c_.operands_.begin() + whole.end);
            rests.push_back(operands.size() == 1 ? operands[0] : c_.made(inner, operands, false));
        }
        others.push_back(c_.join(inner, std::array{f.test, c_.join(kind_, rests)}));
    }
}

// What a group becomes; the neutral element where nothing is left of it.
Ref Conditions::Joining::finish(Group const& group) {
    if (group.only != never) return group.only;
    tests_.clear();
    others_.clear();
    for (std::uint32_t m = group.first; m != none; m = members_[m].next) {
        Ref const ref = members_[m].ref;
        if (term(ref).kind == Kind::test) {
            tests_.push_back(ref);
            continue;
        }
        auto const last =
            std::prev(others_.end(), std::min<std::ptrdiff_t>(8, std::ssize(others_)));
        if (std::find(last, others_.end(), ref) == others_.end()) others_.push_back(ref);
    }
    Ref const test = tests_.empty() ? neutral(kind_) : united(tests_);
    if (test == absorbing(kind_)) return test;
    if (others_.size() > 1) factor(others_);
    if (test != neutral(kind_)) others_.insert(others_.begin(), test);
    return others_.empty() ? neutral(kind_) : c_.made(kind_, others_, true);
}

Ref Conditions::Joining::finish() {
    Refs whole;
    whole.reserve(groups_.size() + 1);
    bool divided = false;  // by what stands before
    for (Group const& group : groups_) {
        Ref const ref = finish(group);
        if (ref == absorbing(kind_) && !divided) return ref;
        divided = divided || group.divides;
        if (ref != neutral(kind_)) whole.push_back(ref);
        decided_ = decided_ || ref == absorbing(kind_);
        if (ref == absorbing(kind_)) break;
    }
    if (decided_ && (whole.empty() || whole.back() != absorbing(kind_)))
        whole.push_back(absorbing(kind_));
    if (whole.empty()) return neutral(kind_);
    return c_.made(kind_, whole, false);
}

Ref Conditions::join(Kind kind, std::span<Ref const> operands) {
    if (operands.size() == 1) return operands[0];
    if (operands.empty()) return neutral(kind);
    Joining joining(*this, kind);
    for (Ref const ref : operands)
        if (!joining.add(ref)) return absorbing(kind);
    return joining.finish();
}

}  // namespace tamis::frontend
