// Capabilities of this process: which are missing, and away with all of them once they are not
// needed any more.
#pragma once

#include <string>
#include <string_view>

#include "bpf/result.h"

namespace tamis::runtime {

// Those of the CAP_... words in `wanted` that this process does not have: "CAP_BPF and
// CAP_PERFMON".
std::string missing_capabilities(std::string_view wanted);
// A note that names what is wanted, and what of it is missing.
void note_missing(Diagnostic& diagnostic, std::string_view wanted);

// Gives all capabilities away but those named in `keep`, and the way to new ones (no_new_privs).
Result<void> drop_capabilities(std::string_view keep = {});

}  // namespace tamis::runtime
