// What is tested of packets: the keys of conditions and of graphs.
#pragma once

#include <cstdint>

#include "frontend/formula.h"

namespace tamis::frontend {

// What is tested: bits of a field, or whether a relation holds.
struct Key {
    static constexpr std::uint32_t no_relation = ~std::uint32_t{0};
    // What X is for, where code serves headers at different places: `point` tests nothing, but sets
    // X to the place of the field - of a header behind an IPv4 header, or a number; the field of
    // `counted` counts from there.  `assign` tests nothing either; `relation` is then the index of
    // an assignment.
    enum class Role : std::uint8_t { test, point, counted, assign };

    Field field{};
    Role role = Role::test;
    std::uint32_t mask = ~std::uint32_t{0};
    std::uint32_t relation = no_relation;
    bool value = false;  // what is tested is the number on one side of the relation
    std::uint32_t max = ~std::uint32_t{0};  // its largest value
    // The packet's bytes that are read, when those are at a place that is known now: all of them
    // lie before `reach`; a packet that is shorter than `needs` lacks one.
    std::uint32_t reach = 0, needs = 0;
    // It has to be evaluated exactly where the text does: an assignment, or a relation that divides
    // by what only the packet tells, since that ends the program at 0 whatever else is true.
    bool divides = false;
    std::uint16_t reads = 0, writes = 0;  // variables, a bit for each
    bool is_field() const { return role == Role::test && relation == no_relation; }
    bool operator==(Key const&) const = default;
};
// The variables that say where a field is, a bit for each.
std::uint16_t variables_read(Field const& field);
// Bits of a field, all of them unless it is masked.
Key key_of(Field const& field, std::uint32_t mask);

}  // namespace tamis::frontend
