// Arithmetic of a formula as trees of values, in a form in which equal ones look alike: constants
// are folded, numbers stand on the right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bpf/cbpf.h"
#include "frontend/formula.h"
#include "frontend/list.h"

namespace tamis::frontend {

constexpr bool commutes(cbpf::Alu op) {
    return op == cbpf::Alu::add || op == cbpf::Alu::mul || op == cbpf::Alu::and_ ||
           op == cbpf::Alu::or_ || op == cbpf::Alu::xor_;
}

// Whether the instruction can have this number: the kernel refuses those that never make sense.
constexpr bool takes(cbpf::Alu op, std::uint32_t number) {
    if (op == cbpf::Alu::div || op == cbpf::Alu::mod) return number != 0;
    if (op == cbpf::Alu::lsh || op == cbpf::Alu::rsh) return number < 32;
    return true;
}

// The result; nothing where the program ends or the two run-time rules disagree.
std::optional<std::uint32_t> apply(cbpf::Alu op, std::uint32_t a, std::uint32_t b);

inline constexpr std::size_t max_steps = 1000;  // of a relation: trees are walked by recursion

// A tree of values.
struct Value {
    enum class Kind : std::uint8_t { number, field, header_length, load, negate, binary };
    Kind kind;
    cbpf::Alu op = cbpf::Alu::add;
    std::uint32_t a = 0, b = 0;              // operands
    std::uint32_t number = 0;                // or the place of the header
    Field field{};                           // of a load: packet[a + field.at.value]
    std::uint32_t bits = ~std::uint32_t{0};  // that can be set
};

class Values {
  public:
    explicit Values(Formula const& formula) : formula_(formula) {}

    std::uint32_t read(std::uint32_t begin, std::uint32_t end);
    Value const& operator[](std::uint32_t i) const { return values_[i]; }
    std::uint32_t number(std::uint32_t n) {
        return add({.kind = Value::Kind::number, .number = n, .bits = n});
    }
    bool equal(std::uint32_t a, std::uint32_t b) const;
    bool is_number(std::uint32_t i) const { return values_[i].kind == Value::Kind::number; }

  private:
    std::uint32_t add(Value const& value) {
        values_.push_back(value);
        return static_cast<std::uint32_t>(values_.size() - 1);
    }
    std::uint32_t field(Field const& field);
    std::uint32_t header_length(std::uint32_t header) {
        return add({.kind = Value::Kind::header_length, .number = header, .bits = 0x3c});
    }
    std::uint32_t header_length(Field const& behind);
    std::uint32_t variable(Offset const& at) {
        return field({Base::variable, 0, {0, at.variable, at.version}});
    }
    std::uint32_t load(Field field, std::uint32_t index);
    std::uint32_t binary(cbpf::Alu op, std::uint32_t a, std::uint32_t b);
    std::uint32_t with_number(cbpf::Alu op, std::uint32_t a, std::uint32_t number);
    std::optional<std::uint32_t> as_header_length(cbpf::Alu op, Value const& a,
                                                  std::uint32_t n) const;
    bool may_end(std::uint32_t i) const;
    std::uint32_t bits_of(cbpf::Alu op, std::uint32_t a, std::uint32_t b) const;

    Formula const& formula_;
    List<Value> values_;
};

// A relation with numbers on the right, as far as it can be turned that way.
struct Sides {
    std::uint32_t left, right;
    cbpf::Cond cond;
    bool negated = false;
    bool exchanged = false;

    void exchange();  // left and right
};

Sides sides_of(Values& values, Relation const& relation);

}  // namespace tamis::frontend
