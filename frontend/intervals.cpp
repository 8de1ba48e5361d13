#include "frontend/intervals.h"

#include <algorithm>

namespace tamis::frontend {

using cbpf::Cond;

std::size_t unite(std::span<Interval> set) {
    std::sort(set.begin(), set.end());
    std::size_t kept = 0;
    for (Interval const& next : set) {
        bool const touches = kept > 0 && (next.low == 0 || next.low - 1 <= set[kept - 1].high);
        if (touches)
            set[kept - 1].high = std::max(set[kept - 1].high, next.high);
        else
            set[kept++] = next;
    }
    return kept;
}

Intervals complement(std::span<Interval const> set, std::uint32_t max) {
    Intervals rest;
    std::uint32_t low = 0;
    for (Interval const& taken : set) {
        if (taken.low > low) rest.push_back({low, taken.low - 1});
        if (taken.high >= max) return rest;
        low = taken.high + 1;
    }
    rest.push_back({low, max});
    return rest;
}

Intervals passing(Cond cond, std::uint32_t value, std::uint32_t max) {
    switch (cond) {
        case Cond::eq:
            return value > max ? Intervals{} : Intervals{{value, value}};
        case Cond::gt:
            return value >= max ? Intervals{} : Intervals{{value + 1, max}};
        case Cond::ge:
            return value > max ? Intervals{} : Intervals{{value, max}};
        case Cond::set:
            break;
    }
    return max == 0 ? Intervals{} : Intervals{{1, max}};
}

}  // namespace tamis::frontend
