#include "frontend/values.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tamis::frontend {
namespace {
constexpr std::uint32_t all_ones = ~std::uint32_t{0};
}  // namespace

using cbpf::Alu;
using cbpf::Cond;
using Kind = Value::Kind;

std::optional<std::uint32_t> apply(Alu op, std::uint32_t a, std::uint32_t b) {
    if (!takes(op, b)) return std::nullopt;
    switch (op) {
        case Alu::add:
            return a + b;
        case Alu::sub:
            return a - b;
        case Alu::mul:
            return a * b;
        case Alu::div:
            return a / b;
        case Alu::mod:
            return a % b;
        case Alu::and_:
            return a & b;
        case Alu::or_:
            return a | b;
        case Alu::xor_:
            return a ^ b;
        case Alu::lsh:
            return a << b;
        case Alu::rsh:
            return a >> b;
    }
    return std::nullopt;
}

std::uint32_t Values::read(std::uint32_t begin, std::uint32_t end) {
    List<std::uint32_t> stack;
    for (std::uint32_t i = begin; i < end; ++i) {
        Step const& step = formula_.steps[i];
        switch (step.kind) {
            case Step::Kind::number:
                stack.push_back(number(step.value));
                break;
            case Step::Kind::field:
                stack.push_back(field(step.field));
                break;
            case Step::Kind::load:
                stack.back() = load(step.field, stack.back());
                break;
            case Step::Kind::negate:
                stack.back() = is_number(stack.back())
                                   ? number(0 - values_[stack.back()].number)
                                   : add({.kind = Kind::negate, .a = stack.back()});
                break;
            case Step::Kind::binary: {
                std::uint32_t const right = stack.back();
                stack.pop_back();
                stack.back() = binary(step.op, stack.back(), right);
                break;
            }
        }
    }
    return stack.back();
}

std::uint32_t Values::field(Field const& field) {
    bool const wide = field.size == 0 || is_metadata(field);
    return add({.kind = Kind::field,
                .field = field,
                .bits = wide ? all_ones : all_ones >> (32 - 8 * field.size)});
}

// 4 * (packet[variable + header] & 15)
std::uint32_t Values::header_length(Field const& behind) {
    Offset const header{behind.header, behind.at.variable, behind.at.version};
    std::uint32_t const first = field({Base::packet, 1, header});
    return with_number(Alu::lsh, with_number(Alu::and_, first, 0xf), 2);
}

// A constant part of the index joins the offset where nothing can wrap: X + k may under one rule
// and may not under the other.
std::uint32_t Values::load(Field field, std::uint32_t index) {
    bool const moves = field.at.variable != Offset::constant;
    if (moves) index = binary(Alu::add, index, variable(field.at));
    if (field.base == Base::transport)
        index = binary(Alu::add, index, moves ? header_length(field) : header_length(field.header));
    field.at = {field.at.value};
    Value const i = values_[index];
    if (i.kind == Kind::binary && i.op == Alu::add && is_number(i.b)) {
        std::uint64_t const highest =
            std::uint64_t{values_[i.a].bits} + values_[i.b].number + field.at.value;
        if (highest <= largest_offset) {
            field.at.value += values_[i.b].number;
            index = i.a;
        }
    }
    field.base = Base::packet;
    Value const& from = values_[index];
    if (from.kind == Kind::field && from.field.base == Base::variable)
        return this->field({Base::packet,
                            field.size,
                            {field.at.value, from.field.at.variable, from.field.at.version}});
    if (values_[index].kind == Kind::header_length)
        return this->field({Base::transport, field.size, field.at, values_[index].number});
    return add({.kind = Kind::load,
                .a = index,
                .field = field,
                .bits = all_ones >> (32 - 8 * field.size)});
}

std::uint32_t Values::binary(Alu op, std::uint32_t a, std::uint32_t b) {
    if (is_number(a) && is_number(b))
        if (auto const folded = apply(op, values_[a].number, values_[b].number))
            return number(*folded);
    if (is_number(a) && commutes(op)) std::swap(a, b);
    if ((op == Alu::and_ || op == Alu::or_) && equal(a, b)) return a;
    if (is_number(b) && takes(op, values_[b].number)) return with_number(op, a, values_[b].number);
    return add({.kind = Kind::binary, .op = op, .a = a, .b = b, .bits = bits_of(op, a, b)});
}

// 4 * (packet[k] & 15), as the instruction for IPv4 headers has it.
std::optional<std::uint32_t> Values::as_header_length(Alu op, Value const& a,
                                                      std::uint32_t n) const {
    auto const byte = [&](std::uint32_t i) -> std::optional<std::uint32_t> {
        Value const& v = values_[i];
        if (v.kind != Kind::field || v.field.base != Base::packet || v.field.size != 1 ||
            v.field.at.variable != Offset::constant || is_metadata(v.field))
            return std::nullopt;
        return v.field.at.value;
    };
    if (a.kind != Kind::binary || !is_number(a.b)) return std::nullopt;
    bool const times_four = (op == Alu::lsh && n == 2) || (op == Alu::mul && n == 4);
    if (times_four && a.op == Alu::and_ && values_[a.b].number == 0xf) return byte(a.a);
    bool const four_times = (a.op == Alu::lsh && values_[a.b].number == 2) ||
                            (a.op == Alu::mul && values_[a.b].number == 4);
    if (four_times && op == Alu::and_ && n == 0x3c) return byte(a.a);
    return std::nullopt;
}

std::uint32_t Values::with_number(Alu op, std::uint32_t a, std::uint32_t n) {
    Value const left = values_[a];
    if (auto const header = as_header_length(op, left, n)) return header_length(*header);
    bool const chain = left.kind == Kind::binary && is_number(left.b) && left.op == op;
    std::uint32_t const before = chain ? values_[left.b].number : 0;
    switch (op) {
        case Alu::sub:
            return with_number(Alu::add, a, 0 - n);
        case Alu::add:
            if (chain) return with_number(op, left.a, before + n);
            break;
        case Alu::and_:
            if (chain) return with_number(op, left.a, before & n);
            if ((left.bits & ~n) == 0) return a;
            break;
        case Alu::or_:
            if (chain) return with_number(op, left.a, before | n);
            break;
        case Alu::xor_:
            if (chain) return with_number(op, left.a, before ^ n);
            break;
        case Alu::lsh:
        case Alu::rsh:
            if (chain && before + n < 32) return with_number(op, left.a, before + n);
            break;
        case Alu::mul:
        case Alu::div:
            if (n == 1) return a;
            break;
        case Alu::mod:
            break;
    }
    bool const changes_nothing = n == 0 && op != Alu::and_ && op != Alu::mul;
    if (changes_nothing) return a;
    std::uint32_t const right = number(n);
    if (bits_of(op, a, right) == 0 && !may_end(a)) return number(0);
    return add({.kind = Kind::binary, .op = op, .a = a, .b = right, .bits = bits_of(op, a, right)});
}

bool Values::equal(std::uint32_t a, std::uint32_t b) const {
    Value const &one = values_[a], &other = values_[b];
    if (a == b) return true;
    if (one.kind != other.kind || one.op != other.op || one.number != other.number ||
        one.field != other.field)
        return false;
    if (one.kind == Kind::load || one.kind == Kind::negate) return equal(one.a, other.a);
    return one.kind != Kind::binary || (equal(one.a, other.a) && equal(one.b, other.b));
}

// Whether it can end the program: by a load or a division.
bool Values::may_end(std::uint32_t i) const {
    Value const& v = values_[i];
    switch (v.kind) {
        case Kind::number:
            return false;
        case Kind::field:
            return v.field.size != 0;
        case Kind::header_length:
        case Kind::load:
            return true;
        case Kind::negate:
            return may_end(v.a);
        case Kind::binary:
            break;
    }
    return v.op == Alu::div || v.op == Alu::mod || may_end(v.a) || may_end(v.b);
}

std::uint32_t Values::bits_of(Alu op, std::uint32_t a, std::uint32_t b) const {
    std::uint32_t const left = values_[a].bits, right = values_[b].bits;
    auto const up_to = [](std::uint64_t most) {
        return most > largest_offset ? all_ones
                                     : std::bit_ceil(static_cast<std::uint32_t>(most) + 1U) - 1;
    };
    bool const by_number = is_number(b) && takes(op, values_[b].number);
    switch (op) {
        case Alu::and_:
            return left & right;
        case Alu::or_:
        case Alu::xor_:
            return left | right;
        case Alu::add:
            return up_to(std::uint64_t{left} + right);
        case Alu::mul:
            return up_to(std::uint64_t{left} * right);
        case Alu::lsh:
            return by_number ? left << values_[b].number : all_ones;
        case Alu::rsh:
            return by_number ? left >> values_[b].number : up_to(left);
        case Alu::div:
            return up_to(by_number ? left / values_[b].number : left);
        case Alu::mod:
            return up_to(by_number ? std::min(left, values_[b].number - 1) : left);
        case Alu::sub:
            return all_ones;
    }
    return all_ones;
}

void Sides::exchange() {
    exchanged = !exchanged;
    std::swap(left, right);
    if (cond == Cond::eq) return;
    cond = cond == Cond::gt ? Cond::ge : Cond::gt;
    negated = !negated;
}

Sides sides_of(Values& values, Relation const& relation) {
    Sides sides{values.read(relation.begin, relation.middle),
                values.read(relation.middle, relation.end), relation.cond};
    if (values.is_number(sides.left) && !values.is_number(sides.right)) sides.exchange();
    // a - b = 0 is a = b
    Value const& left = values[sides.left];
    bool const difference = left.kind == Kind::binary &&
                            (left.op == Alu::sub || left.op == Alu::xor_) && sides.cond == Cond::eq;
    if (difference && values.is_number(sides.right) && values[sides.right].number == 0) {
        sides.right = left.b;
        sides.left = left.a;
    }
    return sides;
}

}  // namespace tamis::frontend
