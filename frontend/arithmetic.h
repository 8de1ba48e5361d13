// Comparisons of arithmetic: what is known of them without a packet, and the code that decides
// them.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/cbpf.h"
#include "frontend/formula.h"
#include "frontend/intervals.h"
#include "frontend/list.h"

namespace tamis::frontend {

// What the registers hold of a packet, as far as it is known.  Variables are meant with the value
// that they have here: no version tells fields apart.
struct Registers {
    struct Accumulator {
        Field field;
        std::uint32_t mask;
        bool operator==(Accumulator const&) const = default;
    };
    struct Index {
        enum class Kind : std::uint8_t { number, header, variable } kind = Kind::number;
        std::uint32_t value = 0;  // the number, or where the IPv4 header is whose length it is
        // The header lies behind it, and the length is increased by it; or it is the index itself.
        std::uint8_t variable = Offset::constant;
        bool operator==(Index const&) const = default;
    };
    std::optional<Accumulator> a;
    std::optional<Index> x;
    bool operator==(Registers const&) const = default;
};

// What X has to hold for the field to be loaded; nothing where that does not matter.
std::optional<Registers::Index> index_of(Field const& field);

// A relation that has the same outcome for all packets, or that asks whether a field, under a mask,
// is in a set.
struct Solution {
    std::optional<bool> constant{};
    Field field{};
    std::uint32_t mask = ~std::uint32_t{0};
    Intervals set{};  // in order, without overlaps
};
std::optional<Solution> solve(Formula const& formula, Relation const& relation);

// A relation between a value and a number: where the value's steps are, and the numbers for which
// it holds.
struct Comparison {
    std::uint32_t begin, end;
    Intervals set;  // in order, without overlaps
};
std::optional<Comparison> compared(Formula const& formula, Relation const& relation);

// Code that leaves a relation's value in A, or that makes a branch of the whole relation.  All its
// fields are read, in some order.  Nothing when too many results wait.
struct Calculation {
    List<cbpf::Insn> code;
    cbpf::Insn branch{};   // without targets
    bool negated = false;  // the branch is taken where the relation does not hold
    Registers after{};
};
std::optional<Calculation> calculation(Formula const& formula, Relation const& relation, bool value,
                                       Registers const& before);
// Code that leaves what is assigned in A.
std::optional<Calculation> calculation(Formula const& formula, Assignment const& assignment,
                                       Registers const& before);
// Code that loads the field into A; index_of() is in X.
void load(Field const& field, List<cbpf::Insn>& code);
// Code that puts into X what is not there yet.  For a header behind a variable it needs A.
void put_into_x(Registers::Index const& wanted, std::optional<Registers::Index> const& held,
                List<cbpf::Insn>& code);

}  // namespace tamis::frontend
