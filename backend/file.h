// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "bpf/result.h"

namespace tamis::backend {

// Writes `bytes` to `path`: into a temporary sibling that is synced and renamed when the target is
// missing or a regular file (a symbolic link is followed), in place when it is a device, FIFO or
// the like, to standard output when it is `-`.  On failure nothing is left behind and an older file
// is untouched.
Result<void> write_file(std::string const& path, std::span<std::byte const> bytes);

}  // namespace tamis::backend
