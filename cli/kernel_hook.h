// `--hook kernel`: no place in the kernel, but what the kernel makes of a classic filter.
#pragma once

#include <string>
#include <string_view>

#include "bpf/result.h"
#include "cli/hook_options.h"
#include "cli/input.h"

namespace tamis::cli {

inline constexpr std::string_view kernel_hook = "kernel";

// The kernel form of the program as `emit` says: `ebpf`, a listing with symbols, the same on every
// machine; `raw`, instructions with the running kernel's numbers.  `json`: the listing as one
// object.  Everything else is an error.
Result<std::string> kernel_form(Input const& input, HookOptions const& hook, std::string_view emit,
                                bool json);

}  // namespace tamis::cli
