// What verbs that run for a while wait for, as file descriptors.
#pragma once

#include "bpf/result.h"
#include "runtime/kernel.h"

namespace tamis::cli {

// Signals that end the program.  They must be blocked before anything is attached.
Result<runtime::Fd> end_signals();

// Readable every so many seconds; reading gives the number of times.
Result<runtime::Fd> ticks(double seconds);

}  // namespace tamis::cli
