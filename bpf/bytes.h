// Byte orders, in one place.
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

enum class Endian : std::uint8_t { little, big };

// `size` (at most 8) bytes at `at` in either order.  The caller has checked the bounds.
constexpr std::uint64_t load(std::span<std::uint8_t const> bytes, std::size_t at, unsigned size,
                             Endian endian) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i)
        value = value << 8 | bytes[at + (endian == Endian::big ? i : size - 1 - i)];
    return value;
}
constexpr std::uint16_t load16(std::span<std::uint8_t const> bytes, std::size_t at, Endian endian) {
    return static_cast<std::uint16_t>(load(bytes, at, 2, endian));
}
constexpr std::uint32_t load32(std::span<std::uint8_t const> bytes, std::size_t at, Endian endian) {
    return static_cast<std::uint32_t>(load(bytes, at, 4, endian));
}

// Writes the low `size` bytes of `value` at `at`, in either order.
constexpr void store(std::span<std::uint8_t> bytes, std::size_t at, unsigned size, Endian endian,
                     std::uint64_t value) {
    for (unsigned i = 0; i < size; ++i)
        bytes[at + (endian == Endian::big ? size - 1 - i : i)] =
            static_cast<std::uint8_t>(value >> (8 * i));
}

// The low `size` (2 or 4) bytes of `value` the other way round; the rest is gone.
constexpr std::uint32_t reversed(std::uint32_t value, unsigned size) {
    std::uint32_t out = 0;
    for (unsigned i = 0; i < size; ++i) out = out << 8 | (value >> (8 * i) & 0xff);
    return out;
}

}  // namespace tamis
