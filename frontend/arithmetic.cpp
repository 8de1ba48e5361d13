#include "frontend/arithmetic.h"

#include <algorithm>
#include <bit>

#include "frontend/opcodes.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using cbpf::Insn;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::uint32_t no_wrap = 0x7fffffff;  // offsets up to here mean the same under both rules
constexpr std::size_t max_steps = 1000;        // of a relation: trees are walked by recursion

constexpr bool commutes(Alu op) {
    return op == Alu::add || op == Alu::mul || op == Alu::and_ || op == Alu::or_ || op == Alu::xor_;
}

// Whether the instruction can have this number: the kernel refuses those that never make sense.
constexpr bool takes(Alu op, std::uint32_t number) {
    if (op == Alu::div || op == Alu::mod) return number != 0;
    if (op == Alu::lsh || op == Alu::rsh) return number < 32;
    return true;
}

// Nothing where the program ends or the two run-time rules disagree.
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

// A tree of values.
struct Value {
    enum class Kind : std::uint8_t { number, field, header_length, load, negate, binary };
    Kind kind;
    Alu op = Alu::add;
    std::uint32_t a = 0, b = 0;     // operands
    std::uint32_t number = 0;       // or the place of the header
    Field field{};                  // of a load: packet[a + field.at.value]
    std::uint32_t bits = all_ones;  // that can be set
};
using Kind = Value::Kind;

class Values {
  public:
    explicit Values(Formula const& formula) : formula_(formula) {}

    std::uint32_t read(std::uint32_t begin, std::uint32_t end);
    Value const& operator[](std::uint32_t i) const { return values_[i]; }
    std::uint32_t number(std::uint32_t n) {
        return add({.kind = Kind::number, .number = n, .bits = n});
    }
    bool is_number(std::uint32_t i) const { return values_[i].kind == Kind::number; }

  private:
    std::uint32_t add(Value const& value) {
        values_.push_back(value);
        return static_cast<std::uint32_t>(values_.size() - 1);
    }
    std::uint32_t field(Field const& field);
    std::uint32_t header_length(std::uint32_t header) {
        return add({.kind = Kind::header_length, .number = header, .bits = 0x3c});
    }
    std::uint32_t load(Field field, std::uint32_t index);
    std::uint32_t binary(Alu op, std::uint32_t a, std::uint32_t b);
    std::uint32_t with_number(Alu op, std::uint32_t a, std::uint32_t number);
    std::optional<std::uint32_t> as_header_length(Alu op, Value const& a, std::uint32_t n) const;
    std::uint32_t bits_of(Alu op, std::uint32_t a, std::uint32_t b) const;

    Formula const& formula_;
    List<Value> values_;
};

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

bool is_metadata(Field const& field) {
    return field.base == Base::packet && field.at.value > no_wrap;
}

std::uint32_t Values::field(Field const& field) {
    bool const wide = field.base == Base::length || is_metadata(field);
    return add({.kind = Kind::field,
                .field = field,
                .bits = wide ? all_ones : all_ones >> (32 - 8 * field.size)});
}

// A constant part of the index joins the offset where nothing can wrap: X + k may under one rule
// and may not under the other.
std::uint32_t Values::load(Field field, std::uint32_t index) {
    if (field.base == Base::transport) index = binary(Alu::add, index, header_length(field.header));
    Value const i = values_[index];
    if (i.kind == Kind::binary && i.op == Alu::add && is_number(i.b)) {
        std::uint64_t const highest =
            std::uint64_t{values_[i.a].bits} + values_[i.b].number + field.at.value;
        if (highest <= no_wrap) {
            field.at.value += values_[i.b].number;
            index = i.a;
        }
    }
    field.base = Base::packet;
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
    if (is_number(b) && takes(op, values_[b].number)) return with_number(op, a, values_[b].number);
    return add({.kind = Kind::binary, .op = op, .a = a, .b = b, .bits = bits_of(op, a, b)});
}

// 4 * (packet[k] & 15), as the instruction for IPv4 headers has it.
std::optional<std::uint32_t> Values::as_header_length(Alu op, Value const& a,
                                                      std::uint32_t n) const {
    auto const byte = [&](std::uint32_t i) -> std::optional<std::uint32_t> {
        Value const& v = values_[i];
        if (v.kind != Kind::field || v.field.base != Base::packet || v.field.size != 1 ||
            is_metadata(v.field))
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
    return add({.kind = Kind::binary, .op = op, .a = a, .b = right, .bits = bits_of(op, a, right)});
}

std::uint32_t Values::bits_of(Alu op, std::uint32_t a, std::uint32_t b) const {
    std::uint32_t const left = values_[a].bits, right = values_[b].bits;
    auto const up_to = [](std::uint64_t most) {
        return most > no_wrap ? all_ones : std::bit_ceil(static_cast<std::uint32_t>(most) + 1U) - 1;
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

// --------------------------------------------------------------------------------------- relations

// A relation with numbers on the right, as far as it can be turned that way.
struct Sides {
    std::uint32_t left, right;
    Cond cond;
    bool negated = false;
    bool exchanged = false;

    void exchange() {
        exchanged = !exchanged;
        std::swap(left, right);
        if (cond == Cond::eq) return;
        cond = cond == Cond::gt ? Cond::ge : Cond::gt;
        negated = !negated;
    }
};

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

List<Interval> values_that_hold(Cond cond, std::uint32_t k, bool negated) {
    List<Interval> set;
    switch (cond) {
        case Cond::eq:
            if (!negated) return {{k, k}};
            if (k > 0) set.push_back({0, k - 1});
            if (k < all_ones) set.push_back({k + 1, all_ones});
            break;
        case Cond::gt:
            if (negated) return {{0, k}};
            if (k < all_ones) set.push_back({k + 1, all_ones});
            break;
        case Cond::ge:
            if (!negated) return {{k, all_ones}};
            if (k > 0) set.push_back({0, k - 1});
            break;
        case Cond::set:
            break;
    }
    return set;
}

// Additions and shifts to the right turned around, down to a field or some of its bits.
std::optional<Solution> solve_range(Values const& values, Sides const& sides) {
    auto set = values_that_hold(sides.cond, values[sides.right].number, sides.negated);
    std::uint32_t at = sides.left;
    for (; values[at].kind == Kind::binary && values.is_number(values[at].b); at = values[at].a) {
        std::uint32_t const n = values[values[at].b].number;
        if (!takes(values[at].op, n)) break;
        List<Interval> before;
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
        std::sort(before.begin(), before.end(),
                  [](Interval const& a, Interval const& b) { return a.low < b.low; });
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

// ------------------------------------------------------------------------------------------- code

// What a value wants X for.
struct NeedOfX {
    enum class Kind : std::uint8_t { nothing, header, scratch } kind = Kind::nothing;
    std::uint32_t header = 0;
    bool keeps(std::optional<std::uint32_t> wanted) const {
        return kind == Kind::nothing || (kind == Kind::header && wanted == header);
    }
};

class Coding {
  public:
    Coding(Values const& values, Registers const& before)
        : values_(values), before_(before), x_(before.x) {}

    std::optional<Calculation> run(Sides sides);
    std::optional<Calculation> run(std::uint32_t i);

  private:
    NeedOfX need(std::uint32_t i) const;
    void value(std::uint32_t i);
    void binary(Value const& v);
    bool into_registers(std::uint32_t& a, std::uint32_t& b, bool may_exchange);
    void field(Field const& field);
    void want_x(std::uint32_t header) {
        Registers::Index const wanted{true, header};
        if (x_ != wanted) code(op::ldx_msh, header);
        x_ = wanted;
    }
    void set_x(std::uint16_t opcode, std::uint32_t k = 0) {
        code(opcode, k);
        x_.reset();
    }
    bool is_header_length(std::uint32_t i) const { return values_[i].kind == Kind::header_length; }
    void code(std::uint16_t opcode, std::uint32_t k = 0) { code_.push_back({opcode, 0, 0, k}); }

    Values const& values_;
    Registers const& before_;
    std::optional<Registers::Index> x_;
    List<Insn> code_;
    std::uint32_t waiting_ = 0;  // values in memory
    bool failed_ = false;
};

NeedOfX Coding::need(std::uint32_t i) const {
    using enum NeedOfX::Kind;
    Value const& v = values_[i];
    auto const both = [](NeedOfX a, NeedOfX b) {
        if (a.kind == nothing) return b;
        if (b.kind == nothing || (a.kind == header && b.kind == header && a.header == b.header))
            return a;
        return NeedOfX{scratch, 0};
    };
    switch (v.kind) {
        case Kind::number:
            return {};
        case Kind::field:
            return v.field.base == Base::transport ? NeedOfX{header, v.field.header} : NeedOfX{};
        case Kind::header_length:
            return {header, v.number};
        case Kind::load:
            return {scratch, 0};
        case Kind::negate:
            return need(v.a);
        case Kind::binary:
            break;
    }
    if (values_.is_number(v.b) && takes(v.op, values_[v.b].number)) return need(v.a);
    if (is_header_length(v.b)) return both(need(v.a), need(v.b));
    if (is_header_length(v.a) && commutes(v.op)) return both(need(v.a), need(v.b));
    return {scratch, 0};
}

void Coding::field(Field const& field) {
    switch (field.base) {
        case Base::packet:
            if (code_.empty() && before_.a && before_.a->field == field &&
                before_.a->mask == all_ones)
                return;
            return code(op::ld_abs(field.size), field.at.value);
        case Base::transport:
            want_x(field.header);
            return code(op::ld_ind(field.size), field.at.value);
        case Base::length:
            return code(op::ld_len);
        case Base::variable:
            failed_ = true;
    }
}

void Coding::value(std::uint32_t i) {
    Value const& v = values_[i];
    switch (v.kind) {
        case Kind::number:
            return code(op::ld_imm, v.number);
        case Kind::field:
            return field(v.field);
        case Kind::header_length:
            want_x(v.number);
            return code(op::txa);
        case Kind::load:
            value(v.a);
            set_x(op::tax);
            return code(op::ld_ind(v.field.size), v.field.at.value);
        case Kind::negate:
            value(v.a);
            return code(op::neg);
        case Kind::binary:
            return binary(v);
    }
}

// Leaves one value in A and the other in X; true: exchanged.
bool Coding::into_registers(std::uint32_t& a, std::uint32_t& b, bool may_exchange) {
    NeedOfX const need_a = need(a), need_b = need(b);
    auto const keeps = [&](NeedOfX const& n, std::uint32_t length) {
        return is_header_length(length) && n.keeps(values_[length].number);
    };
    bool exchanged = false;
    if (may_exchange && !keeps(need_a, b) && need_a.kind != NeedOfX::Kind::nothing &&
        (keeps(need_b, a) || need_b.kind == NeedOfX::Kind::nothing)) {
        std::swap(a, b);
        exchanged = true;
    }
    NeedOfX const& first = exchanged ? need_b : need_a;
    if (keeps(first, b)) {
        value(a);
        want_x(values_[b].number);
    } else if (first.kind == NeedOfX::Kind::nothing) {
        if (values_.is_number(b)) {
            value(a);
            set_x(op::ldx_imm, values_[b].number);
        } else {
            value(b);
            set_x(op::tax);
            value(a);
        }
    } else if (waiting_ >= cbpf::memory_words) {
        failed_ = true;
    } else {
        value(b);
        std::uint32_t const word = waiting_++;
        code(op::st, word);
        value(a);
        --waiting_;
        set_x(op::ldx_mem, word);
    }
    return exchanged;
}

void Coding::binary(Value const& v) {
    if (values_.is_number(v.b) && takes(v.op, values_[v.b].number)) {
        std::uint32_t const n = values_[v.b].number;
        value(v.a);
        bool const negative = v.op == Alu::add && n > no_wrap;
        return code(op::alu(negative ? Alu::sub : v.op), negative ? 0 - n : n);
    }
    std::uint32_t a = v.a, b = v.b;
    into_registers(a, b, commutes(v.op));
    code(op::alu(v.op) | op::with_x);
}

std::optional<Calculation> Coding::run(Sides sides) {
    std::uint32_t a = sides.left, b = sides.right;
    if (into_registers(a, b, true)) sides.exchange();
    if (failed_) return std::nullopt;
    auto const opcode = static_cast<std::uint16_t>(op::branch(sides.cond) | op::with_x);
    return Calculation{std::move(code_), {opcode, 0, 0, 0}, sides.negated, {std::nullopt, x_}};
}

std::optional<Calculation> Coding::run(std::uint32_t i) {
    value(i);
    if (failed_) return std::nullopt;
    return Calculation{std::move(code_), {}, false, {std::nullopt, x_}};
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

std::optional<Calculation> calculation(Formula const& formula, Relation const& relation, bool value,
                                       Registers const& before) {
    if (relation.end - relation.begin > max_steps) return std::nullopt;
    Values values(formula);
    Sides const sides = sides_of(values, relation);
    return value ? Coding(values, before).run(sides.left) : Coding(values, before).run(sides);
}

}  // namespace tamis::frontend
