// What operations compute, on values: for terms that are constant, and for Evaluation.
#pragma once

#include <cstdint>

#include "verify/term.h"

namespace tamis::verify {

constexpr std::uint64_t ones(unsigned width) {
    return width >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
}

constexpr unsigned bit_length(std::uint64_t value) {
    return value == 0 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(value));
}

// How many terms an operation has: a, a and b, or all three.
unsigned operands(Op op);

// The value of an operation on values.  `width` is that of its operands, 1 for truth values, and
// `b_width` that of the second.
std::uint64_t compute(Terms::Node const& node, unsigned width, std::uint64_t a, std::uint64_t b,
                      std::uint64_t c, unsigned b_width);

}  // namespace tamis::verify
