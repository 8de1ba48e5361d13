// Sets of values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf/cbpf.h"
#include "frontend/few.h"

namespace tamis::frontend {

struct Interval {
    std::uint32_t low, high;
    auto operator<=>(Interval const&) const = default;
};
using Intervals = Few<Interval, 4>;

// Puts them in order, without overlaps and without neighbours that touch.  Returns how many are
// left, at the beginning.
std::size_t unite(std::span<Interval> set);

// Up to `max`, what is not in a set that is in order and without overlaps.
Intervals complement(std::span<Interval const> set, std::uint32_t max);

// Of the values up to `max`, those for which the comparison with `value` holds; for Cond::set,
// those that are not 0.
Intervals passing(cbpf::Cond cond, std::uint32_t value, std::uint32_t max);

}  // namespace tamis::frontend
