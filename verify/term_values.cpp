#include "verify/term_values.h"

#include <algorithm>
#include <cassert>

namespace tamis::verify {
namespace {

using u64 = std::uint64_t;
using s64 = std::int64_t;

constexpr s64 as_signed(u64 value, unsigned width) {
    unsigned const above = 64 - width;
    return static_cast<s64>(value << above) >> above;
}

// What SMT-LIB says of signed division, by zero and of the smallest number included.
u64 signed_division(u64 a, u64 b, unsigned width, bool remainder) {
    s64 const x = as_signed(a, width), y = as_signed(b, width);
    if (y == 0) return remainder ? a : x < 0 ? 1 : ones(width);
    if (y == -1) return remainder ? 0 : (u64{0} - a) & ones(width);
    return static_cast<u64>(remainder ? x % y : x / y) & ones(width);
}

}  // namespace

u64 compute(Terms::Node const& node, unsigned w, u64 a, u64 b, u64 c, unsigned b_width) {
    u64 const mask = ones(node.width == 0 ? 1 : node.width);
    switch (node.op) {
        case Op::constant:
        case Op::variable:
        case Op::byte:
            return node.value;
        case Op::not_:
            return ~a & mask;
        case Op::and_:
            return a & b;
        case Op::or_:
            return a | b;
        case Op::xor_:
            return a ^ b;
        case Op::ite:
            return a != 0 ? b : c;
        case Op::eq:
            return a == b;
        case Op::ult:
            return a < b;
        case Op::slt:
            return as_signed(a, w) < as_signed(b, w);
        case Op::add:
            return (a + b) & mask;
        case Op::sub:
            return (a - b) & mask;
        case Op::mul:
            return (a * b) & mask;
        case Op::udiv:
            return b == 0 ? mask : a / b;
        case Op::urem:
            return b == 0 ? a : a % b;
        case Op::sdiv:
            return signed_division(a, b, w, false);
        case Op::srem:
            return signed_division(a, b, w, true);
        case Op::shl:
            return b >= w ? 0 : (a << b) & mask;
        case Op::lshr:
            return b >= w ? 0 : a >> b;
        case Op::ashr:
            return static_cast<u64>(as_signed(a, w) >> std::min<u64>(b, w - 1)) & mask;
        case Op::concat:
            return (b_width >= 64 ? 0 : a << b_width) | b;
        case Op::extract:
            return a >> node.value & mask;
        case Op::zext:
            return a;
        case Op::sext:
            return static_cast<u64>(as_signed(a, w)) & mask;
    }
    return 0;
}

unsigned operands(Op op) {
    switch (op) {
        case Op::constant:
        case Op::variable:
            return 0;
        case Op::byte:
        case Op::not_:
        case Op::extract:
        case Op::zext:
        case Op::sext:
            return 1;
        case Op::ite:
            return 3;
        case Op::and_:
        case Op::or_:
        case Op::xor_:
        case Op::eq:
        case Op::ult:
        case Op::slt:
        case Op::add:
        case Op::sub:
        case Op::mul:
        case Op::udiv:
        case Op::urem:
        case Op::sdiv:
        case Op::srem:
        case Op::shl:
        case Op::lshr:
        case Op::ashr:
        case Op::concat:
            return 2;
    }
    return 0;
}

void Evaluation::run(Valuation const& valuation) {
    if (!order_.empty()) values_.resize(order_.back().id + 1);
    for (Term const term : order_) {
        Terms::Node const& node = terms_[term];
        u64& value = values_[term.id];
        if (node.op == Op::variable) {
            u64 const given =
                node.value < valuation.variables.size() ? valuation.variables[node.value] : 0;
            value = given & ones(node.width == 0 ? 1 : node.width);
        } else if (node.op == Op::byte) {
            value = valuation.bytes(static_cast<std::uint32_t>(values_[node.a.id]));
        } else {
            unsigned const n = operands(node.op);
            unsigned const w = n > 0 ? std::max(1U, terms_.width(node.a)) : 1;
            value = compute(node, w, n > 0 ? values_[node.a.id] : 0, n > 1 ? values_[node.b.id] : 0,
                            n > 2 ? values_[node.c.id] : 0, n > 1 ? terms_.width(node.b) : 0);
        }
    }
}

}  // namespace tamis::verify
