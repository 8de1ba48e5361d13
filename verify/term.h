// Terms over bit vectors and truth values: what a program computes, as a function of the packet.
//
// A term is built once and shared (equal terms are the same term), and it is simplified as it is
// built, so that a program and its translation mostly compute literally the same terms before any
// solver looks at them.  Terms can be evaluated, printed as SMT-LIB 2 and given to a Solver.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tamis::verify {

enum class Op : std::uint8_t {
    constant,  // value
    variable,  // named; value is its number
    byte,      // of the packet, at a
    // On truth values (width 0) and bit vectors alike.
    not_,
    and_,
    or_,
    xor_,
    ite,  // a ? b : c
    // Comparisons: truth values.
    eq,
    ult,
    slt,
    // Bit vectors only.
    add,
    sub,
    mul,
    udiv,  // by zero: all ones, as in SMT-LIB
    urem,  // by zero: the dividend
    sdiv,
    srem,
    shl,  // from the width on: 0, or the sign
    lshr,
    ashr,
    concat,   // a above b
    extract,  // `width` bits of a from bit `value` on
    zext,
    sext,
};

// A term of one Terms; meaningless in another.
struct Term {
    std::uint32_t id = 0;
    bool operator==(Term const&) const = default;
};

// Values for what a term leaves open.
struct Valuation {
    std::vector<std::uint64_t> variables;              // by number; 0 beyond the end
    std::function<std::uint8_t(std::uint32_t)> bytes;  // of the packet, by offset
};

class Terms {
  public:
    struct Node {
        Op op;
        std::uint8_t width;  // 0: a truth value; else 1 to 64 bits
        Term a, b, c;
        std::uint64_t value;
        bool operator==(Node const&) const = default;
    };

    // A set of values.
    struct Interval {
        std::uint64_t low, high;
    };
    using Values = std::vector<Interval>;

    // Without simplification only operations on constants are carried out.
    explicit Terms(bool simplify = true);

    Term truth(bool value) const { return value ? yes_ : no_; }
    Term constant(std::uint64_t value, unsigned width);
    // The variable of that name, made on first use.
    Term variable(std::string_view name, unsigned width);
    Term byte(Term offset);  // 8 bits; offset has 32

    Term not_(Term a);
    Term and_(Term a, Term b);
    Term or_(Term a, Term b);
    Term xor_(Term a, Term b);
    Term ite(Term condition, Term yes, Term no);
    // Where two ways meet that are never both taken: a where `one` is true, b where `other` is, and
    // anything where neither.
    Term join(Term one, Term a, Term other, Term b);
    Term eq(Term a, Term b);
    Term ult(Term a, Term b);
    Term ule(Term a, Term b) { return not_(ult(b, a)); }
    Term slt(Term a, Term b);
    Term add(Term a, Term b);
    Term sub(Term a, Term b);
    Term binary(Op op, Term a, Term b);  // any of mul to ashr
    Term concat(Term high, Term low);
    Term extract(Term a, unsigned low, unsigned width);
    Term zext(Term a, unsigned width);  // the same term where it has that width
    Term sext(Term a, unsigned width);
    Term low(Term a, unsigned width) { return extract(a, 0, width); }

    Node const& operator[](Term term) const { return nodes_[term.id]; }
    unsigned width(Term term) const { return nodes_[term.id].width; }
    bool is_constant(Term term) const { return nodes_[term.id].op == Op::constant; }
    bool is(Term term, std::uint64_t value) const;  // that constant
    // No value of the term is larger.
    std::uint64_t upper(Term term) const { return upper_[term.id]; }
    std::string const& name(Term variable) const { return names_[nodes_[variable.id].value]; }
    std::span<Term const> variables() const { return variables_; }
    std::size_t size() const { return nodes_.size(); }

    // The terms that `roots` are made of, operands first, each once.
    std::vector<Term> parts(std::span<Term const> roots) const;

  private:
    Term make(Node const& node);
    Term make(Op op, unsigned width, Term a, Term b = {}, Term c = {}, std::uint64_t value = 0);
    std::uint64_t bound(Node const& node) const;
    bool both_constant(Term a, Term b) const { return is_constant(a) && is_constant(b); }
    void order(Term& a, Term& b) const;
    Term compare_choice(Op op, Term a, Term b, bool swapped);
    bool fits_zext(Term a, unsigned width) const;
    Term narrowed(Term a, unsigned width);
    bool is_not_of(Term a, Term b) const;
    Term and_truth(Term a, Term b);
    // What is known of terms where a condition is true ([1]) and where it is not ([0]): that they
    // have one of these values.  The oldest term comes first.
    struct Fact {
        std::uint32_t term;
        Values values;
    };
    using Facts = std::vector<Fact>;
    using Implied = std::array<Facts, 2>;
    Implied const& implied(Term condition);
    std::pair<Term, std::array<Values, 2>> tested(Term test) const;
    static Facts on_both(Facts const& a, Facts const& b);
    Facts on_either(Facts const& a, Facts const& b) const;

    struct Hash {
        std::size_t operator()(Node const& node) const;
    };
    bool simplify_;
    std::deque<Node> nodes_;
    std::vector<std::uint64_t> upper_;
    std::unordered_map<Node, std::uint32_t, Hash> known_;
    std::unordered_map<std::uint32_t, Implied> implied_;  // by condition
    std::vector<Term> variables_;
    std::vector<std::string> names_;  // of the variables
    std::unordered_map<std::string, std::uint64_t> numbers_;
    Term yes_, no_;
};

// Computes a fixed list of terms again and again.
class Evaluation {
  public:
    Evaluation(Terms const& terms, std::span<Term const> roots)
        : terms_(terms), order_(terms.parts(roots)) {}

    void run(Valuation const& valuation);
    // Of a root or one of its parts, after run(); a truth value is 0 or 1.
    std::uint64_t operator[](Term term) const { return values_[term.id]; }
    std::span<Term const> parts() const { return order_; }

  private:
    Terms const& terms_;
    std::vector<Term> order_;
    std::vector<std::uint64_t> values_;
};

// A script for any SMT-LIB 2 solver that asks whether the assertion can be true.
std::string smt2(Terms const& terms, Term assertion);

}  // namespace tamis::verify
