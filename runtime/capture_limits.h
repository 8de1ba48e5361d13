// What both formats of capture files refuse, in the same words.
#pragma once

#include <cstdint>
#include <string_view>

#include <fmt/core.h>

#include "bpf/result.h"

namespace tamis::runtime {

// Bytes of one packet: what the largest, of D-Bus, can have.  A block holds a packet and options.
inline constexpr std::uint32_t max_captured = std::uint32_t{1} << 27;
inline constexpr std::uint32_t max_block = max_captured + (std::uint32_t{1} << 20);

inline Diagnostic truncated(std::string_view what, std::size_t have, std::size_t size) {
    return {
        fmt::format("truncated {}: {} of {} bytes are there", what, have, size), std::nullopt, {}};
}

inline Diagnostic too_long(std::string_view what, std::uint32_t size, std::uint32_t most) {
    return {fmt::format("a {} of {} bytes; at most {} can be read", what, size, most),
            std::nullopt,
            {}};
}

}  // namespace tamis::runtime
