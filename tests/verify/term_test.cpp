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
