// What a filter means that its reader may not expect.
#pragma once

#include <string_view>
#include <vector>

#include "bpf/result.h"
#include "frontend/compile.h"

namespace tamis::frontend {

// Remarks on a filter that compiles, each about a word of it, in the order of the table in
// surprises.cpp; each remark at most once.
std::vector<Diagnostic> surprises(std::string_view text, Options const& options);

}  // namespace tamis::frontend
