#include "runtime/kprobe_events.h"

#include <array>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/tracefs.h"

namespace tamis::runtime {
namespace {

constexpr char const* group = "tamis";

Result<void> command(Fd const& root, std::string const& line) {
    Fd const file(openat(root.get(), "kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!file) return fail(system_error("cannot open kprobe_events", errno));
    if (write(file.get(), line.data(), line.size()) < 0)
        return fail(system_error(fmt::format("kprobe_events refuses '{}'", escape(line)), errno));
    return {};
}

// The other process: waits until nobody holds the pipe any more, then removes the event.  It may
// call only what is safe behind fork, and tries for a while because perf events of the dead process
// hold the trace event a little longer.
[[noreturn]] void remove_afterwards(int pipe, int root, char const* line, std::size_t size) {
    setsid();  // no ^C, and no kill of our process group
    int const file = openat(root, "kprobe_events", O_WRONLY | O_APPEND);
    dup2(pipe, 0);
    dup2(file, 1);
    syscall(SYS_close_range, 2U, ~0U, 0U);  // nothing of the other's stays open in us
    char byte = 0;
    while (read(0, &byte, 1) < 0 && errno == EINTR) {
    }
    constexpr int tries = 200;
    for (int i = 0; i < tries; ++i) {
        if (write(1, line, size) >= 0 || (errno != EBUSY && errno != EINTR)) break;
        timespec const pause{0, 20'000'000};
        nanosleep(&pause, nullptr);
    }
    _exit(0);
}

std::uint64_t next_number() {
    static std::uint64_t count = 0;
    return ++count;
}

}  // namespace

struct KprobeEvent::Guard {
    Fd pipe;  // its other end is the process's
    pid_t process = -1;
    std::uint64_t number = 0;
    Guard() = default;
    Guard(Guard const&) = delete;
    Guard& operator=(Guard const&) = delete;
    ~Guard() {
        pipe = Fd();
        if (process > 0) waitpid(process, nullptr, 0);
    }
};

Result<KprobeEvent> KprobeEvent::create(std::string const& place, bool on_return) {
    auto const root = tracefs();
    if (!root) return fail(root.error());
    std::string const name = fmt::format("p{}_{}", getpid(), next_number());
    std::string const removal = fmt::format("-:{}/{}", group, name);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(system_error("cannot open a pipe", errno));
    auto guard = std::make_shared<Guard>();
    guard->pipe = Fd(ends[1]);
    Fd const theirs(ends[0]);
    // Before the event is there, so that there is no moment when nobody would remove it.
    guard->process = fork();
    if (guard->process < 0) return fail(system_error("cannot start a process", errno));
    if (guard->process == 0)
        remove_afterwards(theirs.get(), root->get(), removal.data(), removal.size());

    std::string const line = fmt::format("{}:{}/{} {}", on_return ? 'r' : 'p', group, name, place);
    if (auto made = command(*root, line); !made) return fail(made.error());
    auto const number = tracepoint_number(fmt::format("{}/{}", group, name));
    if (!number) return fail(number.error());
    guard->number = *number;
    return KprobeEvent(std::move(guard));
}

std::uint64_t KprobeEvent::number() const { return guard_->number; }

}  // namespace tamis::runtime
