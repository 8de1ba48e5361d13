#include "runtime/bpf_fs.h"

#include <cerrno>

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
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
    struct stat ours {
    }, theirs{};
    std::string const first = std::string("/proc/1/root") + bpf_fs_path;
    // Every instance of the file system is a device of its own.
    return stat(bpf_fs_path, &ours) == 0 && stat(first.c_str(), &theirs) == 0 &&
           ours.st_dev != theirs.st_dev;
}

}  // namespace tamis::runtime
