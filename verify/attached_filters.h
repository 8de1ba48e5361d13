// The classic filters on other processes' sockets: their source, and the kernel's translation.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "bpf/cbpf.h"
#include "bpf/result.h"
#include "verify/mirror.h"

namespace tamis::verify {

struct AttachedFilter {
    pid_t process = 0;
    std::string command;  // as the process calls itself: foreign bytes
    int fd = -1;
    cbpf::Program program;
    Reflection reflection;
};

// Every classic filter on a socket of the process.  Sockets that close meanwhile are left out.  A
// process that is gone or may not be looked at is an error; reading a socket's source needs
// CAP_SYS_PTRACE.
Result<std::vector<AttachedFilter>> attached_filters(Mirror& mirror, pid_t process);

// All processes that this one sees in /proc.
Result<std::vector<pid_t>> all_processes();

}  // namespace tamis::verify
