// The BPF file system: where programs, links and maps live on without a process.
#pragma once

#include <string>

#include "bpf/result.h"

namespace tamis::runtime {

inline constexpr char const* bpf_fs_path = "/sys/fs/bpf";

// Whether there is one at bpf_fs_path, as this process sees it.
bool has_bpf_fs();
// Mounts it where it is missing, which needs CAP_SYS_ADMIN.
Result<void> mount_bpf_fs();
// Whether it is another one than the machine's first process sees, as under `ip netns exec` or in a
// container: what is pinned there is not seen from outside, and goes with this mount namespace.
bool bpf_fs_is_private();

}  // namespace tamis::runtime
