// Terms: simplified ones and the solver's, held against plain ones.
#include "verify/term.h"

#include <random>

#include <fmt/format.h>

#include "tests/verify/support.h"
#include "verify/solver.h"

namespace tamis::verify {
namespace {

// The same random terms in two arenas: one that simplifies and one that does not.
class RandomTerms {
  public:
    explicit RandomTerms(std::uint64_t seed) : random_(seed) {}

    void grow(std::size_t count) {
        for (unsigned const width : {8U, 32U, 64U})
            for (char const* const name : {"x", "y"}) {
                std::string const full = fmt::format("{}{}", name, width);
                add(plain.variable(full, width), simple.variable(full, width));
            }
        add(plain.truth(true), simple.truth(true));
        while (pairs.size() < count) step();
    }

    struct Pair {
        Term plain, simple;
    };
    Terms plain{false}, simple{true};
    std::vector<Pair> pairs;

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    void add(Term a, Term b) { pairs.push_back({a, b}); }
    Pair pick() { return pairs[below(pairs.size())]; }

    // Constants at borders and small ones, where simplifications are.
    Pair constant(unsigned width) {
        std::uint64_t const borders[] = {
            0, 1, 2, 7, 0xf, 0xff, 0xffff, 0x80000000, ~std::uint64_t{0}};
        std::uint64_t const value = below(4) == 0 ? random_() : borders[below(9)];
        return {plain.constant(value, width), simple.constant(value, width)};
    }

    Pair of_width(unsigned width) {
        if (width != 0 && below(3) == 0) return constant(width);
        for (int i = 0; i < 64; ++i)
            if (Pair const p = pick(); plain.width(p.plain) == width) return p;
        return width == 0 ? Pair{plain.truth(false), simple.truth(false)} : constant(width);
    }

    template <class Make>
    void both(Make make) {
        add(make(plain, false), make(simple, true));
    }

    void step() {
        Pair const a = pick();
        unsigned const width = plain.width(a.plain);
        Pair const b = of_width(width), c = of_width(0);
        auto const side = [](Pair const& p, bool simplified) {
            return simplified ? p.simple : p.plain;
        };
        std::uint64_t const kind = below(width == 0 ? 6 : 15);
        std::uint64_t const op = below(8), more = below(64), from = below(64);
        both([&](Terms& t, bool s) -> Term {
            Term const x = side(a, s), y = side(b, s);
            switch (kind) {
                case 0:
                    return t.not_(x);
                case 1:
                    return t.and_(x, y);
                case 2:
                    return t.or_(x, y);
                case 3:
                    return t.xor_(x, y);
                case 4:
                    return t.ite(side(c, s), x, y);
                case 5:
                    return t.eq(x, y);
                case 6:
                    return t.ult(x, y);
                case 7:
                    return t.slt(x, y);
                case 8:
                    return t.add(x, y);
                case 9:
                    return t.sub(x, y);
                case 10:
                case 11:
                    return t.binary(static_cast<Op>(static_cast<unsigned>(Op::mul) + op), x, y);
                case 12:
                    if (width > 32) return t.low(x, 32);
                    return t.concat(x, y);
                case 13: {
                    unsigned const low = static_cast<unsigned>(from % width);
                    return t.extract(x, low, 1 + static_cast<unsigned>(more % (width - low)));
                }
                default:
                    return more % 2 == 0 ? t.zext(x, 64) : t.sext(x, 64);
            }
        });
    }

    std::mt19937_64 random_;
};

Valuation random_valuation(Terms const& terms, std::mt19937_64& random) {
    Valuation v{{}, [](std::uint32_t) { return std::uint8_t{0}; }};
    for (std::size_t i = 0; i < terms.variables().size(); ++i)
        v.variables.push_back(random() % 3 == 0 ? random() % 4 : random());
    return v;
}

TEST(Terms, SimplifiedOnesHaveTheSameValues) {
    std::size_t smaller = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        RandomTerms terms(seed);
        terms.grow(400);
        std::vector<Term> plain, simple;
        for (auto const& pair : terms.pairs) {
            plain.push_back(pair.plain);
            simple.push_back(pair.simple);
        }
        Evaluation expected(terms.plain, plain), got(terms.simple, simple);
        std::mt19937_64 random(seed);
        for (int i = 0; i < 20; ++i) {
            Valuation const v = random_valuation(terms.plain, random);
            expected.run(v);
            got.run(v);
            for (auto const& pair : terms.pairs) {
                ASSERT_EQ(expected[pair.plain], got[pair.simple])
                    << "seed " << seed << "\n"
                    << smt2(terms.plain, terms.plain.eq(pair.plain, pair.plain));
                ASSERT_LE(got[pair.simple], terms.simple.upper(pair.simple)) << "seed " << seed;
            }
        }
        smaller += terms.simple.size() < terms.plain.size() ? 1U : 0U;
    }
    EXPECT_GT(smaller, 50U);
}

// Programs that tested other things on the way, too, hold the same where their ways meet.
TEST(Terms, WhatIsHeldWhereWaysMeetIsSaidByTheTestOnWhichTheyParted) {
    Terms t;
    Term const type = t.variable("type", 16), length = t.variable("length", 8);
    Term const x = t.variable("x", 32), y = t.variable("y", 32);
    Term const is_ipv4 = t.eq(type, t.constant(0x800, 16)),
               is_ipv6 = t.eq(type, t.constant(0x86dd, 16));
    Term const is_long = t.ult(t.constant(40, 8), length), is_odd = t.extract(length, 0, 1);
    Term const odd = t.eq(is_odd, t.constant(1, 1));
    Term const wanted = t.ite(is_ipv4, x, y);
    // not IPv4; IPv6, which is not IPv4; not so short, and IPv6 however long
    Term const others[] = {t.not_(is_ipv4), is_ipv6, t.and_(is_long, t.not_(is_ipv4)),
                           t.or_(t.and_(odd, is_ipv6), t.and_(is_long, is_ipv6))};
    for (Term const other : others) {
        EXPECT_EQ(t.join(t.and_(odd, is_ipv4), x, other, y), wanted);
        EXPECT_EQ(t.join(other, y, t.and_(is_ipv4, is_long), x), wanted);
    }
    // One of several values, whichever way that is said, or another.
    Term const header = t.variable("header", 8);
    auto const is = [&](std::uint64_t value) { return t.eq(header, t.constant(value, 8)); };
    Term const options = t.or_(is(0), t.or_(is(43), is(60)));
    Term const in_ranges =
        t.or_(is(0), t.and_(t.ult(t.constant(42, 8), header), t.not_(t.or_(is(51), is(59)))));
    for (Term const other : {options, in_ranges, t.and_(is_long, in_ranges)})
        EXPECT_EQ(t.join(other, x, t.and_(odd, is(51)), y), t.ite(is(51), y, x));
    EXPECT_EQ(t.join(odd, x, t.truth(false), y), x);
    EXPECT_EQ(t.join(t.truth(false), x, odd, y), y);
    EXPECT_EQ(t.join(odd, x, is_ipv4, y), t.ite(odd, x, y));  // no test tells
}

TEST(Terms, JoinedOnesHaveTheValueOfTheWayThatWasTaken) {
    std::size_t taken = 0, told = 0;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        std::mt19937_64 random(seed);
        Terms t;
        std::vector<Term> tests;
        for (std::string const name : {"p", "q", "r"}) {
            Term const value = t.variable(name, 2);
            for (std::uint64_t i = 0; i < 3; ++i) tests.push_back(t.eq(value, t.constant(i, 2)));
            tests.push_back(t.ult(value, t.constant(2, 2)));
        }
        auto const pick = [&] { return tests[random() % tests.size()]; };
        for (int i = 0; i < 20; ++i) {
            Term const a = random() % 2 == 0 ? pick() : t.not_(pick());
            tests.push_back(random() % 3 == 0 ? t.or_(a, pick()) : t.and_(a, pick()));
        }
        Term const one = pick(), other = t.and_(pick(), t.not_(one));
        Term const x = t.variable("x", 32), y = t.variable("y", 32),
                   joined = t.join(one, x, other, y);
        if (joined != t.ite(one, x, y)) ++told;
        Term const roots[] = {one, other, joined, x, y};
        Evaluation evaluation(t, roots);
        for (std::uint64_t values = 0; values < 64; ++values) {
            evaluation.run({{values % 4, values / 4 % 4, values / 16, 7, 8}, nullptr});
            if (evaluation[one] == 0 && evaluation[other] == 0) continue;
            Term const way = evaluation[one] != 0 ? x : y;
            ASSERT_EQ(evaluation[joined], evaluation[way]) << "seed " << seed;
            ++taken;
        }
    }
    EXPECT_GT(taken, 1000U);
    EXPECT_GT(told, 50U);
}

// The solver's idea of every operation is ours: with the variables fixed, a term has the value that
// was computed and no other.
TEST(Terms, TheSolverComputesTheSame) {
    TAMIS_NEED_SOLVER();
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        RandomTerms terms(seed);
        terms.grow(150);
        Terms& t = terms.plain;
        std::vector<Term> roots;
        for (auto const& pair : terms.pairs) roots.push_back(pair.plain);
        Evaluation values(t, roots);
        std::mt19937_64 random(seed);
        Valuation const v = random_valuation(t, random);
        values.run(v);
        Term fixed = t.truth(true), all = t.truth(true);
        for (Term const variable : t.variables())
            fixed = t.and_(fixed, t.eq(variable, t.constant(values[variable], t.width(variable))));
        for (Term const root : roots)
            all = t.and_(all, t.width(root) == 0
                                  ? t.eq(root, t.truth(values[root] != 0))
                                  : t.eq(root, t.constant(values[root], t.width(root))));
        Solver solver(t);
        std::chrono::seconds const timeout(20);
        Term const same[] = {fixed, all}, other[] = {fixed, t.not_(all)};
        EXPECT_EQ(solver.ask(same, timeout), Answer::yes) << "seed " << seed;
        EXPECT_EQ(solver.ask(other, timeout), Answer::no) << "seed " << seed;
    }
}

}  // namespace
}  // namespace tamis::verify
