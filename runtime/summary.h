// One line that says what a packet is, for people who scan a list.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tamis::runtime {

// For example `IP 10.0.0.1.1234 > 10.0.0.2.80: tcp`.  `bytes` are what was captured of a frame of
// this link type (DLT_*); a truncated or unknown packet gets as much as can be said.  The result is
// printable ASCII.
std::string summary(std::span<std::uint8_t const> bytes, int link_type);

}  // namespace tamis::runtime
