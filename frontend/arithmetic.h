// Comparisons of arithmetic: what is known of them without a packet, and the code that decides
// them.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/cbpf.h"
#include "frontend/conditions.h"
#include "frontend/formula.h"
#include "frontend/list.h"

namespace tamis::frontend {

// What the registers hold of a packet, as far as it is known.
struct Registers {
    struct Accumulator {
        Field field;
        std::uint32_t mask;
        bool operator==(Accumulator const&) const = default;
    };
    struct Index {
        bool header;  // the length of the IPv4 header at this place, or the number itself
        std::uint32_t value;
        bool operator==(Index const&) const = default;
    };
    std::optional<Accumulator> a;
    std::optional<Index> x;
    bool operator==(Registers const&) const = default;
};

// A relation that has the same outcome for all packets, or that asks whether a field, under a mask,
// is in a set.
struct Solution {
    std::optional<bool> constant{};
    Field field{};
    std::uint32_t mask = ~std::uint32_t{0};
    List<Interval> set{};  // in order, without overlaps
};
std::optional<Solution> solve(Formula const& formula, Relation const& relation);

// A relation between a value and a number: where the value's steps are, and the numbers for which
// it holds.
struct Comparison {
    std::uint32_t begin, end;
    List<Interval> set;  // in order, without overlaps
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

}  // namespace tamis::frontend
