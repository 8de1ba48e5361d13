// Network byte order, in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tamis {

// `size` (1, 2 or 4) bytes at `at`, most significant first.  The caller has checked the bounds.
constexpr std::uint32_t load_be(std::span<std::uint8_t const> bytes, std::size_t at,
                                unsigned size) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i) value = value << 8 | bytes[at + i];
    return value;
}

// Writes the low `size` bytes of `value` at `at`, most significant first.
constexpr void store_be(std::span<std::uint8_t> bytes, std::size_t at, unsigned size,
                        std::uint64_t value) {
    for (unsigned i = 0; i < size; ++i)
        bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
}

// The low `size` (2 or 4) bytes of `value` the other way round; the rest is gone.
constexpr std::uint32_t reversed(std::uint32_t value, unsigned size) {
    std::uint32_t out = 0;
    for (unsigned i = 0; i < size; ++i) out = out << 8 | (value >> (8 * i) & 0xff);
    return out;
}

}  // namespace tamis
