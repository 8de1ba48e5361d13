// Functions of the kernel that programs may call by name (kfuncs).
#pragma once

#include <optional>
#include <string_view>

#include "runtime/release.h"

namespace tamis::runtime {

// The first Linux in which some programs may call it; none where we do not know.
std::optional<Release> kernel_function_since(std::string_view name);

}  // namespace tamis::runtime
