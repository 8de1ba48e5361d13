#include "backend/file.h"

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tamis::backend {
namespace {

namespace fs = std::filesystem;

Diagnostic cannot_write(std::string const& path, int error) {
    return system_error(path == "-" ? "cannot write standard output"
                                    : fmt::format("cannot write '{}'", escape(path)),
                        error);
}

// 0, or the errno of what went wrong.
int write_all(int fd, std::span<std::byte const> bytes) {
    while (!bytes.empty()) {
        ssize_t const n = write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return 0;
}

int close_checked(int fd, int error) {
    // Some file systems report a lost write here only.
    int const closed = close(fd) == 0 ? 0 : errno;
    return error ? error : closed;
}

int write_in_place(std::string const& path, std::span<std::byte const> bytes) {
    int const fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return errno;
    return close_checked(fd, write_all(fd, bytes));
}

// The file that a chain of symbolic links leads to, whether it exists or not; empty for a loop.
fs::path target_of(fs::path path) {
    constexpr int max_links = 40;  // as the kernel's own limit
    std::error_code ignored;
    for (int i = 0; i < max_links; ++i) {
        if (!fs::is_symlink(fs::symlink_status(path, ignored))) return path;
        path = path.parent_path() / fs::read_symlink(path, ignored);
    }
    return {};
}

// A new, empty file beside `target`; its path goes to `name`.
int open_sibling(fs::path const& target, std::string& name) {
    for (unsigned attempt = 0;; ++attempt) {
        name = target.parent_path() / fmt::format(".tamis-{}-{}.tmp", getpid(), attempt);
        int const fd =
            open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0 || errno != EEXIST || attempt == 100) return fd;
    }
}

// `old`: the file that is there already, or null.
int replace(fs::path const& target, struct stat const* old, std::span<std::byte const> bytes) {
    // rename() would happily replace what its owner made read-only.
    if (old && faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0) return errno;
    std::string temporary;
    int const fd = open_sibling(target, temporary);
    if (fd < 0) return errno;
    int error = write_all(fd, bytes);
    if (!error && old && fchmod(fd, old->st_mode & 07777) != 0) error = errno;
    if (!error && fsync(fd) != 0) error = errno;
    error = close_checked(fd, error);
    if (!error && std::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
    if (error) unlink(temporary.c_str());
    return error;
}

int write_to(std::string const& path, std::span<std::byte const> bytes) {
    if (path == "-") return write_all(STDOUT_FILENO, bytes);
    struct stat status {};
    if (stat(path.c_str(), &status) == 0) {
        if (S_ISDIR(status.st_mode)) return EISDIR;
        if (!S_ISREG(status.st_mode)) return write_in_place(path, bytes);
        return replace(target_of(path), &status, bytes);
    }
    if (errno != ENOENT || path.empty()) return errno;
    fs::path const target = target_of(path);
    return target.empty() ? ELOOP : replace(target, nullptr, bytes);
}

}  // namespace

Result<void> write_file(std::string const& path, std::span<std::byte const> bytes) {
    int const error = write_to(path, bytes);
    if (error) return fail(cannot_write(path, error));
    return {};
}

}  // namespace tamis::backend
