// What terms become as they are built.
#include <algorithm>
#include <cassert>

#include "verify/term_values.h"

namespace tamis::verify {
namespace {

using u64 = std::uint64_t;

}  // namespace

bool Terms::is(Term term, u64 value) const {
    return is_constant(term) && nodes_[term.id].value == value;
}

bool Terms::is_not_of(Term a, Term b) const {
    Node const &x = nodes_[a.id], &y = nodes_[b.id];
    return (x.op == Op::not_ && x.a == b) || (y.op == Op::not_ && y.a == a);
}

// Operands of what commutes: constants last, else the older first.
void Terms::order(Term& a, Term& b) const {
    if (!is_constant(b) && (is_constant(a) || b.id < a.id)) std::swap(a, b);
}

Term Terms::not_(Term a) {
    Node const& node = nodes_[a.id];
    if (simplify_ && node.op == Op::not_) return node.a;
    return make(Op::not_, node.width, a);
}

// Truth values are kept as conjunctions and negations only: so two ways to say the same by De
// Morgan are one term.
Term Terms::and_truth(Term a, Term b) {
    if (is_not_of(a, b)) return no_;
    auto const negated_and = [&](Term term) -> Node const* {
        Node const& node = nodes_[term.id];
        if (node.op != Op::not_ || nodes_[node.a.id].op != Op::and_) return nullptr;
        return &nodes_[node.a.id];
    };
    for (auto const& [one, other] : {std::pair{a, b}, std::pair{b, a}}) {
        Node const& node = nodes_[one.id];
        if (node.op == Op::and_) {
            if (node.a == other || node.b == other) return one;
            if (is_not_of(node.a, other) || is_not_of(node.b, other)) return no_;
        }
        if (Node const* const sum = negated_and(one)) {  // not x or not y
            if (is_not_of(sum->a, other) || is_not_of(sum->b, other)) return other;
            if (sum->a == other) return and_(other, not_(sum->b));
            if (sum->b == other) return and_(other, not_(sum->a));
        }
    }
    // (x or y) and (x or not y): where two branches meet again.
    Node const *const x = negated_and(a), *const y = negated_and(b);
    if (x && y) {
        if (x->a == y->a && is_not_of(x->b, y->b)) return not_(x->a);
        if (x->b == y->b && is_not_of(x->a, y->a)) return not_(x->b);
        if (x->a == y->b && is_not_of(x->b, y->a)) return not_(x->a);
        if (x->b == y->a && is_not_of(x->a, y->b)) return not_(x->b);
    }
    return make(Op::and_, 0, a, b);
}

Term Terms::and_(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::and_, w, a, b);
    order(a, b);
    if (a == b) return a;
    if (is(b, 0)) return b;
    if (is(b, ones(w == 0 ? 1 : w))) return a;
    if (w == 0) return and_truth(a, b);
    Node const& node = nodes_[a.id];
    if (is_constant(b)) {
        u64 const mask = nodes_[b.id].value;
        if (mask == ones(bit_length(mask)) && upper(a) <= mask) return a;
        if (node.op == Op::zext) {
            unsigned const inner = width(node.a);
            return zext(and_(node.a, constant(mask, inner)), w);
        }
        if (mask == ones(bit_length(mask)) && mask != 0)
            return zext(extract(a, 0, bit_length(mask)), w);
    } else if (node.op == Op::zext && nodes_[b.id].op == Op::zext &&
               width(node.a) == width(nodes_[b.id].a)) {
        return zext(and_(node.a, nodes_[b.id].a), w);
    }
    return make(Op::and_, w, a, b);
}

Term Terms::or_(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::or_, w, a, b);
    order(a, b);
    if (a == b) return a;
    if (is(b, 0)) return a;
    if (is(b, ones(w == 0 ? 1 : w))) return b;
    return w == 0 ? not_(and_truth(not_(a), not_(b))) : make(Op::or_, w, a, b);
}

Term Terms::xor_(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::xor_, w, a, b);
    order(a, b);
    if (a == b) return w == 0 ? no_ : constant(0, w);
    if (is(b, 0)) return a;
    if (w == 0 && is(b, 1)) return not_(a);
    return make(Op::xor_, w, a, b);
}

// Whether a is a smaller number with zeros above it, or a constant that could be one.
bool Terms::fits_zext(Term a, unsigned inner) const {
    Node const& node = nodes_[a.id];
    if (node.op == Op::constant) return bit_length(node.value) <= inner;
    return node.op == Op::zext && width(node.a) <= inner;
}

Term Terms::narrowed(Term a, unsigned inner) {
    Node const node = nodes_[a.id];
    return node.op == Op::constant ? constant(node.value, inner) : zext(node.a, inner);
}

Term Terms::ite(Term condition, Term yes, Term no) {
    unsigned const w = width(yes);
    assert(w == width(no));
    if (is_constant(condition)) return is(condition, 1) ? yes : no;
    if (!simplify_) return make(Op::ite, w, condition, yes, no);
    if (yes == no) return yes;
    if (nodes_[condition.id].op == Op::not_) return ite(nodes_[condition.id].a, no, yes);
    if (w == 0) {
        if (is(yes, 1)) return or_(condition, no);
        if (is(yes, 0)) return and_(not_(condition), no);
        if (is(no, 1)) return or_(not_(condition), yes);
        if (is(no, 0)) return and_(condition, yes);
        return make(Op::ite, 0, condition, yes, no);
    }
    Node const &x = nodes_[yes.id], &y = nodes_[no.id];
    if (x.op == Op::ite && x.a == condition) return ite(condition, x.b, no);
    if (y.op == Op::ite && y.a == condition) return ite(condition, yes, y.c);
    unsigned inner = 0;
    if (x.op == Op::zext) inner = width(x.a);
    if (y.op == Op::zext) inner = std::max(inner, width(y.a));
    if (inner != 0 && fits_zext(yes, inner) && fits_zext(no, inner))
        return zext(ite(condition, narrowed(yes, inner), narrowed(no, inner)), w);
    return make(Op::ite, w, condition, yes, no);
}

// A choice with a constant on one of its sides, compared with a constant: the comparison moves
// into it, where it mostly comes out as a constant again.
Term Terms::compare_choice(Op op, Term a, Term b, bool swapped) {
    Node const choice = nodes_[a.id];
    auto const side = [&](Term value) {
        Term const x = swapped ? b : value, y = swapped ? value : b;
        return op == Op::eq ? eq(x, y) : ult(x, y);
    };
    return ite(choice.a, side(choice.b), side(choice.c));
}

Term Terms::eq(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::eq, 0, a, b);
    order(a, b);
    if (a == b) return yes_;
    if (w == 0) {
        if (is_constant(b)) return is(b, 1) ? a : not_(a);
        return is_not_of(a, b) ? no_ : make(Op::eq, 0, a, b);
    }
    Node const &x = nodes_[a.id], &y = nodes_[b.id];
    if (is_constant(b)) {
        if (y.value > upper(a)) return no_;
        if (x.op == Op::zext) return eq(x.a, constant(y.value, width(x.a)));
        if (x.op == Op::ite && (is_constant(x.b) || is_constant(x.c)))
            return compare_choice(Op::eq, a, b, false);
        if (x.op == Op::add && is_constant(x.b))
            return eq(x.a, constant(y.value - nodes_[x.b.id].value, w));
    } else if (x.op == Op::zext && y.op == Op::zext) {
        unsigned const inner = std::max(width(x.a), width(y.a));
        return eq(zext(x.a, inner), zext(y.a, inner));
    }
    return make(Op::eq, 0, a, b);
}

Term Terms::ult(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b) && w != 0);
    if (!simplify_ || both_constant(a, b)) return make(Op::ult, 0, a, b);
    if (a == b || is(b, 0) || is(a, ones(w))) return no_;
    if (is(b, 1)) return eq(a, constant(0, w));
    if (is(a, 0)) return not_(eq(b, constant(0, w)));
    Node const &x = nodes_[a.id], &y = nodes_[b.id];
    if (is_constant(a) && x.value >= upper(b)) return no_;
    if (is_constant(b) && upper(a) < y.value) return yes_;
    if (is_constant(b) && x.op == Op::ite && (is_constant(x.b) || is_constant(x.c)))
        return compare_choice(Op::ult, a, b, false);
    if (is_constant(a) && y.op == Op::ite && (is_constant(y.b) || is_constant(y.c)))
        return compare_choice(Op::ult, b, a, true);
    unsigned inner = 0;
    if (x.op == Op::zext) inner = width(x.a);
    if (y.op == Op::zext) inner = std::max(inner, width(y.a));
    if (inner != 0 && fits_zext(a, inner) && fits_zext(b, inner))
        return ult(narrowed(a, inner), narrowed(b, inner));
    return make(Op::ult, 0, a, b);
}

Term Terms::slt(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b) && w != 0);
    if (simplify_ && a == b) return no_;
    u64 const positive = ones(w) >> 1;
    if (simplify_ && upper(a) <= positive && upper(b) <= positive) return ult(a, b);
    return make(Op::slt, 0, a, b);
}

Term Terms::add(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::add, w, a, b);
    order(a, b);
    if (is(b, 0)) return a;
    Node const& node = nodes_[a.id];
    if (is_constant(b) && node.op == Op::add && is_constant(node.b))
        return add(node.a, add(node.b, b));
    // (x - y) + y, of two packet pointers for example.
    if (node.op == Op::sub && node.b == b) return node.a;
    return make(Op::add, w, a, b);
}

Term Terms::sub(Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    if (!simplify_ || both_constant(a, b)) return make(Op::sub, w, a, b);
    if (a == b) return constant(0, w);
    if (is_constant(b)) return add(a, constant(u64{0} - nodes_[b.id].value, w));
    return make(Op::sub, w, a, b);
}

Term Terms::binary(Op op, Term a, Term b) {
    unsigned const w = width(a);
    assert(w == width(b));
    assert(op >= Op::mul && op <= Op::ashr);
    if (!simplify_ || both_constant(a, b)) return make(op, w, a, b);
    bool const shift = op == Op::shl || op == Op::lshr || op == Op::ashr;
    if (op == Op::mul) order(a, b);
    if (shift && is(b, 0)) return a;
    if ((op == Op::mul || op == Op::udiv) && is(b, 1)) return a;
    if (op == Op::mul && is(b, 0)) return b;
    if (op == Op::urem && is_constant(b) && upper(a) < nodes_[b.id].value) return a;
    // Shifts to the right are a matter of which bits are taken.
    if (op == Op::lshr && is_constant(b)) {
        u64 const count = nodes_[b.id].value;
        if (count >= w) return constant(0, w);
        return zext(extract(a, static_cast<unsigned>(count), w - static_cast<unsigned>(count)), w);
    }
    if (op == Op::shl && is_constant(b) && nodes_[b.id].value >= w) return constant(0, w);
    return make(op, w, a, b);
}

Term Terms::concat(Term high, Term low) {
    unsigned const w = width(high) + width(low);
    assert(w <= 64 && width(high) != 0 && width(low) != 0);
    if (!simplify_ || both_constant(high, low)) return make(Op::concat, w, high, low);
    if (is(high, 0)) return zext(low, w);
    Node const &x = nodes_[high.id], &y = nodes_[low.id];
    // Neighbouring bits of one term.
    if (x.op == Op::extract && y.op == Op::extract && x.a == y.a && x.value == y.value + width(low))
        return extract(x.a, static_cast<unsigned>(y.value), w);
    if (x.op == Op::extract && x.a == low && x.value == width(low)) return extract(low, 0, w);
    if (x.op == Op::ite && y.op == Op::ite && x.a == y.a)
        return ite(x.a, concat(x.b, y.b), concat(x.c, y.c));
    if (x.op == Op::zext) return zext(concat(x.a, low), w);
    // Bytes lean to the left, however they were put together.
    if (y.op == Op::concat) return concat(concat(high, y.a), y.b);
    return make(Op::concat, w, high, low);
}

Term Terms::extract(Term a, unsigned low, unsigned count) {
    unsigned const w = width(a);
    assert(count > 0 && low + count <= w);
    if (low == 0 && count == w) return a;
    Node const node = nodes_[a.id];
    if (!simplify_ || is_constant(a)) return make(Op::extract, count, a, {}, {}, low);
    switch (node.op) {
        case Op::extract:
            return extract(node.a, low + static_cast<unsigned>(node.value), count);
        case Op::zext: {
            unsigned const inner = width(node.a);
            if (low >= inner) return constant(0, count);
            if (low + count <= inner) return extract(node.a, low, count);
            return zext(extract(node.a, low, inner - low), count);
        }
        case Op::sext:
            if (low + count <= width(node.a)) return extract(node.a, low, count);
            break;
        case Op::concat: {
            unsigned const right = width(node.b);
            if (low + count <= right) return extract(node.b, low, count);
            if (low >= right) return extract(node.a, low - right, count);
            return concat(extract(node.a, 0, low + count - right),
                          extract(node.b, low, right - low));
        }
        case Op::ite:
            if (is_constant(node.b) || is_constant(node.c))
                return ite(node.a, extract(node.b, low, count), extract(node.c, low, count));
            break;
        case Op::add:
        case Op::sub:
        case Op::mul:
            // The low bits of a result depend on the low bits of the operands alone.
            if (low == 0) {
                Term const x = extract(node.a, 0, count), y = extract(node.b, 0, count);
                return node.op == Op::add   ? add(x, y)
                       : node.op == Op::sub ? sub(x, y)
                                            : binary(Op::mul, x, y);
            }
            break;
        case Op::and_:
            return and_(extract(node.a, low, count), extract(node.b, low, count));
        case Op::or_:
            return or_(extract(node.a, low, count), extract(node.b, low, count));
        case Op::xor_:
            return xor_(extract(node.a, low, count), extract(node.b, low, count));
        case Op::not_:
            return not_(extract(node.a, low, count));
        case Op::constant:
        case Op::variable:
        case Op::byte:
        case Op::eq:
        case Op::ult:
        case Op::slt:
        case Op::udiv:
        case Op::urem:
        case Op::sdiv:
        case Op::srem:
        case Op::shl:
        case Op::lshr:
        case Op::ashr:
            break;
    }
    return make(Op::extract, count, a, {}, {}, low);
}

Term Terms::zext(Term a, unsigned w) {
    if (width(a) == w) return a;
    assert(width(a) != 0 && width(a) < w);
    Node const& node = nodes_[a.id];
    if (simplify_ && node.op == Op::zext) return zext(node.a, w);
    return make(Op::zext, w, a);
}

Term Terms::sext(Term a, unsigned w) {
    if (width(a) == w) return a;
    assert(width(a) != 0 && width(a) < w);
    if (simplify_ && upper(a) <= ones(width(a)) >> 1) return zext(a, w);
    return make(Op::sext, w, a);
}

}  // namespace tamis::verify
