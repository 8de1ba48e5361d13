#include "runtime/netns.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include "runtime/kernel.h"

namespace tamis::runtime {

Result<void> enter_network_namespace(std::string const& target) {
    bool const is_process =
        !target.empty() &&
        std::all_of(target.begin(), target.end(), [](char c) { return c >= '0' && c <= '9'; });
    std::string const path = is_process ? "/proc/" + target + "/ns/net" : "/run/netns/" + target;
    std::string const what = "cannot enter network namespace '" + escape(target) + "'";
    if (target.find('/') != target.npos)
        return fail({what,
                     std::nullopt,
                     {{"a name of `ip netns` or a process ID is wanted", std::nullopt}}});
    Fd const ns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!ns) {
        Diagnostic error = system_error(what, errno);
        if (errno == ENOENT) error.fault = Fault::input;
        return fail(std::move(error));
    }
    if (setns(ns.get(), CLONE_NEWNET) != 0) {
        Diagnostic error = system_error(what, errno);
        if (errno == EPERM) error.notes.push_back({"this needs CAP_SYS_ADMIN", std::nullopt});
        return fail(std::move(error));
    }
    return {};
}

std::string network_namespace() {
    struct stat info {};
    return stat("/proc/self/ns/net", &info) == 0 ? std::to_string(info.st_ino) : std::string();
}

}  // namespace tamis::runtime
