#include "runtime/bpf_fs.h"

#include <cerrno>
#include <fstream>

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

namespace tamis::runtime {

bool has_bpf_fs() {
    struct statfs found {};
    return statfs(bpf_fs_path, &found) == 0 && found.f_type == BPF_FS_MAGIC;
}

Result<void> mount_bpf_fs() {
    if (has_bpf_fs() || mount("bpf", bpf_fs_path, "bpf", 0, "mode=0700") == 0) return {};
    int const error = errno;
    auto diagnostic =
        system_error(std::string("cannot mount the BPF file system at ") + bpf_fs_path, error);
    if (error == EPERM)
        diagnostic.notes.push_back(
            {std::string("this needs CAP_SYS_ADMIN; or, once: `mount -t bpf bpf ") + bpf_fs_path +
                 "`",
             std::nullopt});
    return fail(std::move(diagnostic));
}

bool bpf_fs_is_private() {
    struct stat ours {};
    std::ifstream mounts("/proc/1/mountinfo");
    if (!mounts || stat(bpf_fs_path, &ours) != 0) return false;
    // `24 27 0:40 / /sys/fs/bpf rw,relatime - bpf bpf rw`: every instance is a device of its own.
    std::string const device = std::to_string(major(ours.st_dev)) + ":" +
                               std::to_string(minor(ours.st_dev)) + " / " + bpf_fs_path + " ";
    for (std::string line; std::getline(mounts, line);)
        if (line.find(device) != line.npos) return false;
    return true;
}

}  // namespace tamis::runtime
