// Functions by a pattern, in which `*` and `?` stand for any letters, for programs at many of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/result.h"

namespace tamis::runtime {

// The kernel's, of those that can be traced.  None is an error of the input.
Result<std::vector<std::string>> kernel_functions_like(std::string const& pattern);

// Those of a program or library: where they begin, as offsets in the file, each once.  From its
// table of symbols, or the dynamic one.  None is an error of the input, and so is what is no ELF
// file.
Result<std::vector<std::uint64_t>> user_functions_like(std::string const& file,
                                                       std::string const& pattern);

}  // namespace tamis::runtime
