// Code for values: a tree's operands in A, in X where that spares memory, and in M[0], M[1], ...
#include <algorithm>
#include <utility>

#include "frontend/arithmetic.h"
#include "frontend/opcodes.h"
#include "frontend/values.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Insn;
using Kind = Value::Kind;
using IndexKind = Registers::Index::Kind;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};

class Coding {
  public:
    Coding(Values const& values, Registers const& before, std::uint8_t variables)
        : values_(values),
          before_(before),
          x_(before.x),
          words_(cbpf::memory_words - std::uint32_t{variables}) {}

    std::optional<Calculation> run(Sides sides);
    std::optional<Calculation> run(std::uint32_t i);

  private:
    bool uses_x(std::uint32_t i) const;
    void value(std::uint32_t i);
    void binary(Value const& v);
    bool into_registers(std::uint32_t& a, std::uint32_t& b, bool may_exchange);
    void field(Field const& field);
    void want_x(Registers::Index const& wanted) {
        put_into_x(wanted, x_, code_);
        x_ = wanted;
    }
    void set_x(std::uint16_t opcode, std::uint32_t k = 0) {
        code(opcode, k);
        x_.reset();
    }
    // What X can be loaded with, without A.
    std::optional<Registers::Index> as_index(std::uint32_t i) const;
    void code(std::uint16_t opcode, std::uint32_t k = 0) { code_.push_back({opcode, 0, 0, k}); }

    Values const& values_;
    Registers const& before_;
    std::optional<Registers::Index> x_;
    List<Insn> code_;
    std::uint32_t words_, waiting_ = 0;  // of memory, and values there
    bool failed_ = false;
};

std::optional<Registers::Index> Coding::as_index(std::uint32_t i) const {
    Value const& v = values_[i];
    if (v.kind == Kind::header_length) return Registers::Index{IndexKind::header, v.number};
    if (v.kind == Kind::field && v.field.base == Base::variable)
        return Registers::Index{IndexKind::variable, 0, v.field.at.variable};
    return std::nullopt;
}

bool Coding::uses_x(std::uint32_t i) const {
    Value const& v = values_[i];
    switch (v.kind) {
        case Kind::number:
            return false;
        case Kind::field:
            return index_of(v.field).has_value();
        case Kind::header_length:
        case Kind::load:
            return true;
        case Kind::negate:
            return uses_x(v.a);
        case Kind::binary:
            break;
    }
    return !(values_.is_number(v.b) && takes(v.op, values_[v.b].number)) || uses_x(v.a);
}

void Coding::field(Field const& field) {
    if (code_.empty() && before_.a && before_.a->field == field && before_.a->mask == all_ones)
        return;
    if (field.base == Base::variable &&
        x_ == Registers::Index{IndexKind::variable, 0, field.at.variable})
        return code(op::txa);
    if (auto const index = index_of(field)) want_x(*index);
    load(field, code_);
}

void Coding::value(std::uint32_t i) {
    Value const& v = values_[i];
    switch (v.kind) {
        case Kind::number:
            return code(op::ld_imm, v.number);
        case Kind::field: {
            Field field = v.field;
            field.at.version = 0;
            return this->field(field);
        }
        case Kind::header_length:
            want_x(*as_index(i));
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
    // X can have it when A is done.
    auto const follows = [&](std::uint32_t i) { return as_index(i) || values_.is_number(i); };
    bool const exchanged = may_exchange && !follows(b) && (follows(a) || (uses_x(a) && !uses_x(b)));
    if (exchanged) std::swap(a, b);
    if (values_.equal(a, b)) {
        value(a);
        set_x(op::tax);
    } else if (follows(b)) {
        value(a);
        if (auto const index = as_index(b))
            want_x(*index);
        else
            set_x(op::ldx_imm, values_[b].number);
    } else if (!uses_x(a)) {
        value(b);
        set_x(op::tax);
        value(a);
    } else if (waiting_ >= words_) {
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
        bool const negative = v.op == Alu::add && n > largest_offset;
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

std::optional<Registers::Index> index_of(Field const& field) {
    std::uint8_t const variable = field.at.variable;
    if (field.base == Base::transport)
        return Registers::Index{IndexKind::header, field.header, variable};
    if (field.base == Base::packet && variable != Offset::constant)
        return Registers::Index{IndexKind::variable, 0, variable};
    return std::nullopt;
}

void put_into_x(Registers::Index const& wanted, std::optional<Registers::Index> const& held,
                List<Insn>& code) {
    auto const add = [&](std::uint16_t opcode, std::uint32_t k = 0) {
        code.push_back({opcode, 0, 0, k});
    };
    if (held == wanted) return;
    switch (wanted.kind) {
        case IndexKind::number:
            return add(op::ldx_imm, wanted.value);
        case IndexKind::variable:
            return add(op::ldx_mem, op::word_of(wanted.variable));
        case IndexKind::header:
            break;
    }
    if (wanted.variable == Offset::constant) return add(op::ldx_msh, wanted.value);
    put_into_x({IndexKind::variable, 0, wanted.variable}, held, code);
    add(op::ld_ind(1), wanted.value);
    add(op::alu(Alu::and_), 0xf);
    add(op::alu(Alu::lsh), 2);
    add(op::alu(Alu::add) | op::with_x);
    add(op::tax);
}

void load(Field const& field, List<Insn>& code) {
    std::uint32_t const at = field.at.value;
    switch (field.base) {
        case Base::packet:
        case Base::transport:
            code.push_back(
                {index_of(field) ? op::ld_ind(field.size) : op::ld_abs(field.size), 0, 0, at});
            break;
        case Base::length:
            code.push_back({op::ld_len, 0, 0, 0});
            break;
        case Base::variable:
            code.push_back({op::ld_mem, 0, 0, op::word_of(field.at.variable)});
            break;
    }
}

std::optional<Calculation> calculation(Formula const& formula, Relation const& relation, bool value,
                                       Registers const& before) {
    if (relation.end - relation.begin > max_steps) return std::nullopt;
    Values values(formula);
    Sides const sides = sides_of(values, relation);
    Coding coding(values, before, formula.variables);
    return value ? coding.run(sides.left) : coding.run(sides);
}

std::optional<Calculation> calculation(Formula const& formula, Assignment const& assignment,
                                       Registers const& before) {
    if (assignment.end - assignment.begin > max_steps) return std::nullopt;
    Values values(formula);
    std::uint32_t const value = values.read(assignment.begin, assignment.end);
    return Coding(values, before, formula.variables).run(value);
}

}  // namespace tamis::frontend
