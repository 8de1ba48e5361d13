// Network namespaces.
#pragma once

#include <string>

#include "bpf/result.h"

namespace tamis::runtime {

// Moves this process into another network namespace, and only that one: /sys and the mounted BPF
// file system stay. `target` is a name of `ip netns`, or the ID of a process.  Needs CAP_SYS_ADMIN.
Result<void> enter_network_namespace(std::string const& target);

// The number of the one this process is in, as text: no other that lives has it.
std::string network_namespace();

}  // namespace tamis::runtime
