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

constexpr std::uint32_t all_ones = ~std::uint32_t{0};

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

std::optional<Calculation> calculation(Formula const& formula, Relation const& relation, bool value,
                                       Registers const& before) {
    if (relation.end - relation.begin > max_steps) return std::nullopt;
    Values values(formula);
    Sides const sides = sides_of(values, relation);
    return value ? Coding(values, before).run(sides.left) : Coding(values, before).run(sides);
}

}  // namespace tamis::frontend
