// The kernel's helpers: functions that programs call by number.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/program_types.h"

namespace tamis::runtime {

// `bpf_map_lookup_elem`; empty for a number that has none.
std::string_view helper_name(std::uint32_t helper);
// One more than the last number that has a name.
std::uint32_t helper_count();

// The first Linux that has the helper; none for a number without a name.
std::optional<Release> helper_since(std::uint32_t helper);
// The first Linux in which programs of that type may call it, as far as is known; none where they
// may not in any that was tried.
std::optional<Release> helper_since(std::uint32_t program_type, std::uint32_t helper);

}  // namespace tamis::runtime
