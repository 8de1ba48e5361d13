#include "verify/attached_filters.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <memory>

#include <dirent.h>
#include <fmt/core.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tamis::verify {
namespace {

using runtime::Fd;

// Debian 12's C library has no wrappers for these.
Fd open_process(pid_t process) {
    return Fd(static_cast<int>(syscall(SYS_pidfd_open, process, 0U)));
}
Fd copy_descriptor(Fd const& process, int fd) {
    return Fd(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0U)));
}

// SO_GET_FILTER counts instructions, not bytes.  Nothing when the filter has gone or changed.
std::optional<cbpf::Program> source_of(int socket) {
    socklen_t count = 0;
    if (getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0 || count == 0)
        return std::nullopt;
    cbpf::Program program;
    program.insns.resize(count);
    static_assert(sizeof(cbpf::Insn) == sizeof(sock_filter));
    socklen_t const expected = count;
    if (getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, program.insns.data(), &count) != 0 ||
        count != expected)
        return std::nullopt;
    return program;
}

std::string command_of(pid_t process) {
    std::string name;
    std::ifstream file(fmt::format("/proc/{}/comm", process));
    std::getline(file, name);
    return name;
}

Diagnostic cannot_open(pid_t process, int error) {
    auto diagnostic = system_error(fmt::format("cannot look at process {}", process), error);
    if (error == EPERM)
        diagnostic.notes.push_back(
            {"another process's sockets are open to CAP_SYS_PTRACE only", std::nullopt});
    return diagnostic;
}

}  // namespace

Result<std::vector<AttachedFilter>> attached_filters(Mirror& mirror, pid_t process) {
    Fd const handle = open_process(process);
    if (!handle) return fail(cannot_open(process, errno));
    auto copies = mirror.programs().of_sockets(process);
    if (!copies) return fail(copies.error());
    std::vector<AttachedFilter> filters;
    for (KernelCopy& copy : *copies) {
        if (!copy.classic) continue;
        Fd const socket = copy_descriptor(handle, copy.fd);
        if (!socket && errno == EPERM) return fail(cannot_open(process, EPERM));
        auto program = socket ? source_of(socket.get()) : std::nullopt;
        if (!program) continue;
        int const fd = copy.fd;
        auto reflection =
            reflect(*program, std::move(copy), mirror.layout().model, mirror.layout().symbols);
        if (!reflection) return fail(reflection.error());
        filters.push_back({.process = process,
                           .command = command_of(process),
                           .fd = fd,
                           .program = std::move(*program),
                           .reflection = std::move(*reflection)});
    }
    return filters;
}

Result<std::vector<pid_t>> all_processes() {
    std::unique_ptr<DIR, int (*)(DIR*)> const folder(opendir("/proc"), &closedir);
    if (!folder) return fail(system_error("cannot read /proc", errno));
    std::vector<pid_t> processes;
    while (dirent const* const entry = readdir(folder.get())) {
        std::string_view const name = entry->d_name;
        pid_t process = 0;
        auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), process);
        if (error == std::errc{} && end == name.data() + name.size()) processes.push_back(process);
    }
    std::sort(processes.begin(), processes.end());
    return processes;
}

}  // namespace tamis::verify
