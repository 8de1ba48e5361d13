// A filter as one condition of its fields: conjunctions and disjunctions of "this field's value is
// in this set", without negations, equal ones existing once.
//
// A field behind the end of the packet makes its test unknown, so what is rewritten here obeys
// Kleene's three-valued logic: "x or not x" is not true before x was read.  The order of operands
// is the order in which fields are read.  It may change only where no packet that the written order
// accepts can end before a field that is read earlier now.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "bpf/diagnostic.h"
#include "frontend/few.h"
#include "frontend/intervals.h"
#include "frontend/key.h"
#include "frontend/list.h"

namespace tamis::frontend {

class Conditions {
  public:
    using Ref = std::uint32_t;
    static constexpr Ref never = 0, always = 1;
    enum class Kind : std::uint8_t { test, all, any };
    // What decides a conjunction or disjunction, and what says nothing there.
    static constexpr Ref absorbing(Kind kind) { return kind == Kind::all ? never : always; }
    static constexpr Ref neutral(Kind kind) { return kind == Kind::all ? always : never; }

    // A range of values, and what is left of a condition when the field has one of them.
    struct Piece {
        std::uint32_t low, high;
        Ref rest;
        bool operator==(Piece const&) const = default;
    };
    using Pieces = Few<Piece, 8>;

    // About as many conditions as `expected`; `work` bounds the time.  Operands join one of as many
    // that stand before them as `searched`, where that is 0 tests of one key the one right before
    // them.
    Conditions(std::size_t expected, std::size_t work, std::size_t searched);

    std::uint32_t key(Key const& key);
    // `set` is in order, without overlaps.
    Ref test(std::uint32_t key, std::span<Interval const> set, Span span);
    Ref join(Kind kind, std::span<Ref const> operands);

    // Forgets all but these conditions and what they consist of; they become other numbers.
    void keep(std::span<Ref> wanted);

    // The key that is read first, and where in the text that was asked.
    std::uint32_t first(Ref ref) const { return terms_[ref].key; }
    Span span(Ref ref) const;
    // What is left for each value of a key: neighbours differ, and all values are covered.  Where
    // `deep`, later tests of the key are decided, too, so that what is left may differ for each
    // value; otherwise only the operands that begin with the key are.
    Pieces split(Ref ref, std::uint32_t key, bool deep);
    // Of a condition of which one thing is left for all values of a key: whether that holds of
    // packets, too, that do not have it.  What was true for each value does not: "x or not x".
    bool is_idle(Ref ref, std::uint32_t key, bool deep);
    std::size_t size() const { return terms_.size(); }
    // How much there is to keep.
    std::size_t volume() const { return terms_.size() + operands_.size() + intervals_.size(); }
    unsigned depth(Ref ref) const { return terms_[ref].depth; }

    List<Key> const& keys() const { return keys_; }
    // Some conditions have too many cases.  Then the results are worthless.
    bool exhausted() const { return work_ == 0; }
    void allow(std::size_t work) { work_ = work; }

  private:
    // Packets that are shorter leave it unknown or the opposite.
    struct Needs {
        std::uint32_t if_true, if_false;
    };
    // There are many in long lists: small ones take less memory.
    struct Term {
        Kind kind = Kind::test;
        bool same_key : 1 = false;  // all operands begin with this key
        bool divides : 1 = false;
        std::uint16_t depth = 0;
        std::uint32_t key = 0;
        std::uint32_t begin = 0, end = 0;  // operands or intervals
        std::uint32_t support = 0;         // a bit for each key, or for several
        std::uint32_t reach = 0;           // as in Key
        union {
            Span span{};  // of a test
            Needs needs;  // of others
        };
    };
    class Joining;

    Ref intern(Term term, Ref const* operands, std::size_t count, Interval const* set);
    bool equal(Term const& one, Term const& other) const;
    std::uint32_t hash_of(Term const& term) const;
    void fill_table();
    // Of the operands or intervals.
    std::pair<std::uint32_t, std::uint32_t> range(Ref ref) const {
        return {terms_[ref].begin, terms_[ref].end};
    }
    std::span<Interval const> set_of(Ref ref) const {
        return std::span(intervals_)
            .subspan(terms_[ref].begin, terms_[ref].end - terms_[ref].begin);
    }
    Needs needs_of(Term const& term) const {
        if (term.kind != Kind::test) return term.needs;
        std::uint32_t const needs = term.key < keys_.size() ? keys_[term.key].needs : 0;
        return {needs, needs};
    }
    bool spend(std::size_t amount) {
        work_ = work_ > amount ? work_ - amount : 0;
        return work_ > 0;
    }
    // False: the condition has nothing to do with the key.
    bool may_ask(Ref ref, std::uint32_t key) const {
        Term const& term = terms_[ref];
        return term.kind == Kind::test ? term.key == key : (term.support >> (key % 32) & 1) != 0;
    }
    void split_test(Ref ref, Pieces& pieces) const;
    void split_join(Ref ref, std::uint32_t key, bool deep, Pieces& pieces);
    void split_first(Ref ref, std::uint32_t key, Pieces& pieces);
    Ref made(Kind kind, std::span<Ref const> operands, bool same_key);

    List<Key> keys_;
    List<Term> terms_;
    List<Ref> operands_;
    List<Interval> intervals_;
    List<Ref> table_;
    std::size_t work_, searched_;
};

}  // namespace tamis::frontend
