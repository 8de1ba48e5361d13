// Versions of Linux.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace tamis::runtime {

struct Release {
    std::uint8_t major, minor;
    auto operator<=>(Release const&) const = default;
};

// "6.12"
std::string text_of(Release release);
// The running kernel's, from uname.
Release running_kernel();

}  // namespace tamis::runtime
