#include "frontend/arithmetic.h"

#include <algorithm>

#include "frontend/values.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using Kind = Value::Kind;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};

bool holds(Cond cond, std::uint32_t a, std::uint32_t b) {
    switch (cond) {
        case Cond::eq:
            return a == b;
        case Cond::gt:
            return a > b;
        case Cond::ge:
            return a >= b;
        case Cond::set:
            return (a & b) != 0;
    }
    return false;
}

// The value for one byte that everything hangs on; nothing when other fields do, too, or the rules
// disagree.
std::optional<std::uint32_t> evaluate(Values const& values, std::uint32_t i, Field const& byte,
                                      std::uint32_t content) {
    Value const& v = values[i];
    switch (v.kind) {
        case Kind::number:
            return v.number;
        case Kind::field:
            return v.field == byte ? std::optional(content) : std::nullopt;
        case Kind::header_length:
            return byte.base == Base::packet && byte.at.value == v.number
                       ? std::optional(4 * (content & 15))
                       : std::nullopt;
        case Kind::load:
            return std::nullopt;
        case Kind::negate:
            if (auto const a = evaluate(values, v.a, byte, content)) return 0 - *a;
            return std::nullopt;
        case Kind::binary:
            break;
    }
    auto const a = evaluate(values, v.a, byte, content);
    auto const b = a ? evaluate(values, v.b, byte, content) : std::nullopt;
    return b ? apply(v.op, *a, *b) : std::nullopt;
}

// The first field of a value.
std::optional<Field> some_field(Values const& values, std::uint32_t i) {
    Value const& v = values[i];
    switch (v.kind) {
        case Kind::number:
        case Kind::load:
            return std::nullopt;
        case Kind::field:
            return v.field;
        case Kind::header_length:
            return Field{.base = Base::packet, .size = 1, .at = {v.number}};
        case Kind::negate:
            return some_field(values, v.a);
        case Kind::binary:
            if (auto const field = some_field(values, v.a)) return field;
            return some_field(values, v.b);
    }
    return std::nullopt;
}

// All 256 contents of a byte, tried.
std::optional<Solution> solve_byte(Values const& values, Sides const& sides) {
    auto const field = some_field(values, sides.left);
    if (!field || field->base == Base::length || field->size != 1 || is_metadata(*field))
        return std::nullopt;
    Solution solution{.field = *field};
    for (std::uint32_t content = 0; content < 256; ++content) {
        auto const left = evaluate(values, sides.left, *field, content);
        auto const right = left ? evaluate(values, sides.right, *field, content) : std::nullopt;
        if (!right) return std::nullopt;
        if (holds(sides.cond, *left, *right) == sides.negated) continue;
        if (!solution.set.empty() && solution.set.back().high + 1 == content)
            solution.set.back().high = content;
        else
            solution.set.push_back({content, content});
    }
    return solution;
}

Intervals values_that_hold(Cond cond, std::uint32_t k, bool negated) {
    auto const set = passing(cond, k, all_ones);
    return negated ? complement(set, all_ones) : set;
}

// Additions and shifts to the right turned around, down to a field or some of its bits.
std::optional<Solution> solve_range(Values const& values, Sides const& sides) {
    auto set = values_that_hold(sides.cond, values[sides.right].number, sides.negated);
    std::uint32_t at = sides.left;
    for (; values[at].kind == Kind::binary && values.is_number(values[at].b); at = values[at].a) {
        std::uint32_t const n = values[values[at].b].number;
        if (!takes(values[at].op, n)) break;
        Intervals before;
        if (values[at].op == Alu::add) {
            for (Interval const& range : set) {
                Interval const moved{range.low - n, range.high - n};
                if (moved.low <= moved.high) {
                    before.push_back(moved);
                } else {  // around zero
                    before.push_back({0, moved.high});
                    before.push_back({moved.low, all_ones});
                }
            }
        } else if (values[at].op == Alu::rsh && n > 0) {
            for (Interval const& range : set)
                if (range.low <= all_ones >> n)
                    before.push_back({range.low << n, range.high > all_ones >> n
                                                          ? all_ones
                                                          : (range.high + 1) * (1U << n) - 1});
        } else {
            break;
        }
        std::sort(before.begin(), before.end());
        set = std::move(before);
    }
    Solution solution{.set = std::move(set)};
    Value const& last = values[at];
    if (last.kind == Kind::field) {
        solution.field = last.field;
        return solution;
    }
    bool const masked = last.kind == Kind::binary && last.op == Alu::and_ &&
                        values.is_number(last.b) && values[last.a].kind == Kind::field;
    if (!masked) return std::nullopt;
    solution.field = values[last.a].field;
    solution.mask = values[last.b].number;
    return solution;
}

}  // namespace

std::optional<Solution> solve(Formula const& formula, Relation const& relation) {
    if (relation.end - relation.begin > max_steps) return std::nullopt;
    Values values(formula);
    Sides const sides = sides_of(values, relation);
    if (values.is_number(sides.right)) {
        if (values.is_number(sides.left)) {
            bool const holding =
                holds(sides.cond, values[sides.left].number, values[sides.right].number);
            return Solution{.constant = holding != sides.negated};
        }
        if (auto const range = solve_range(values, sides)) return range;
    }
    return solve_byte(values, sides);
}

std::optional<Comparison> compared(Formula const& formula, Relation const& relation) {
    if (relation.end - relation.begin > max_steps) return std::nullopt;
    Values values(formula);
    Sides const sides = sides_of(values, relation);
    if (!values.is_number(sides.right) || values.is_number(sides.left)) return std::nullopt;
    auto set = values_that_hold(sides.cond, values[sides.right].number, sides.negated);
    bool const left = !sides.exchanged;
    return Comparison{left ? relation.begin : relation.middle,
                      left ? relation.middle : relation.end, std::move(set)};
}

}  // namespace tamis::frontend
