// How the counters of a filter are shown.
#pragma once

#include <string>

#include "cli/output.h"
#include "runtime/kernel.h"

namespace tamis::cli {

// `matched P packets B bytes, passed P packets B bytes`
std::string text_of(runtime::Counters const& counters);
// Adds the fields `matched` and `passed`.
void add_to(Json& object, runtime::Counters const& counters);

}  // namespace tamis::cli
