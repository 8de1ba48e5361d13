#include "cli/wait.h"

#include <cerrno>
#include <csignal>
#include <ctime>

#include <sys/signalfd.h>
#include <sys/timerfd.h>

namespace tamis::cli {

using runtime::Fd;

Result<Fd> end_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);  // the terminal is lost
    sigprocmask(SIG_BLOCK, &set, nullptr);
    Fd fd(signalfd(-1, &set, SFD_CLOEXEC));
    if (!fd) return fail(system_error("cannot watch for signals", errno));
    return fd;
}

Result<Fd> ticks(double seconds) {
    Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    if (!fd) return fail(system_error("cannot create a timer", errno));
    auto const whole = static_cast<std::time_t>(seconds);
    auto const rest = static_cast<long>((seconds - static_cast<double>(whole)) * 1e9);
    itimerspec const every{{whole, rest}, {whole, rest}};
    if (timerfd_settime(fd.get(), 0, &every, nullptr) != 0)
        return fail(system_error("cannot set a timer", errno));
    return fd;
}

}  // namespace tamis::cli
