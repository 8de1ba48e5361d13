#include "runtime/tracefs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <set>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include "bpf/spelling.h"

namespace tamis::runtime {
namespace {

constexpr char const* mounted = "/sys/kernel/tracing";

Result<std::string> read_file(Fd const& folder, std::string const& path) {
    Fd const file(openat(folder.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail(system_error(fmt::format("cannot open '{}'", escape(path)), errno));
    std::string text;
    std::array<char, 4096> buffer;
    ssize_t n = 0;
    while ((n = read(file.get(), buffer.data(), buffer.size())) > 0)
        text.append(buffer.data(), static_cast<std::size_t>(n));
    if (n < 0) return fail(system_error(fmt::format("cannot read '{}'", escape(path)), errno));
    return text;
}

// All trace points, as `category/name`.
std::vector<std::string> tracepoints() {
    auto const root = tracefs();
    if (!root) return {};
    auto const text = read_file(*root, "available_events");  // `category:name`, one a line
    if (!text) return {};
    std::vector<std::string> out;
    std::string_view rest = *text;
    while (!rest.empty()) {
        std::string_view const line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (auto const colon = line.find(':'); colon != line.npos)
            out.push_back(fmt::format("{}/{}", line.substr(0, colon), line.substr(colon + 1)));
    }
    return out;
}

std::set<std::string_view> words(std::string_view name) {
    std::set<std::string_view> out;
    while (!name.empty()) {
        std::size_t const end = std::min(name.find_first_of("_/."), name.size());
        if (end > 1) out.insert(name.substr(0, end));
        name.remove_prefix(std::min(end + 1, name.size()));
    }
    return out;
}

// Letters that the two names share in whole words.
std::size_t in_common(std::string_view a, std::string_view b) {
    auto const of_b = words(b);
    std::size_t letters = 0;
    for (std::string_view const word : words(a))
        if (of_b.contains(word)) letters += word.size();
    return letters;
}

std::string listed(std::vector<std::string> const& names) {
    std::string out;
    for (std::string const& name : names)
        out += fmt::format("{}'{}'", out.empty() ? "" : ", ", escape(name));
    return out;
}

bool is_clone(std::string_view symbol, std::string_view name) {
    if (symbol.size() <= name.size() || !symbol.starts_with(name) || symbol[name.size()] != '.')
        return false;
    std::string_view const suffix = symbol.substr(name.size());
    // A part of the function that is seldom run is no entry to it.
    if (suffix.find(".cold") != suffix.npos) return false;
    return suffix.starts_with(".constprop.") || suffix.starts_with(".isra.") ||
           suffix.starts_with(".part.");
}

}  // namespace

Result<Fd> tracefs() {
    Fd there(open(mounted, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (there && faccessat(there.get(), "events", F_OK, 0) == 0) return there;
    Fd const context(fsopen("tracefs", FSOPEN_CLOEXEC));
    if (context && fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
        Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
        if (mount) return mount;
    }
    int const error = errno;
    auto diagnostic = system_error("cannot mount tracefs", error);
    if (error == EPERM)
        diagnostic.notes.push_back({"this needs CAP_SYS_ADMIN", std::nullopt});
    else
        diagnostic.notes.push_back({"the kernel may have been built without it", std::nullopt});
    return fail(std::move(diagnostic));
}

Result<std::string> read_tracefs(std::string const& file) {
    auto const root = tracefs();
    return root ? read_file(*root, file) : fail(root.error());
}

Result<std::uint64_t> tracepoint_number(std::string const& name) {
    auto const root = tracefs();
    if (!root) return fail(root.error());
    auto const text = read_file(*root, fmt::format("events/{}/id", name));
    std::uint64_t number = 0;
    if (text &&
        std::from_chars(text->data(), text->data() + text->size(), number).ec == std::errc{})
        return number;
    Diagnostic diagnostic{
        fmt::format("this kernel has no trace point '{}'", escape(name)), std::nullopt, {}};
    if (auto const near = tracepoints_near(name); !near.empty())
        diagnostic.notes.push_back({"there is " + listed(near), std::nullopt});
    return fail(std::move(diagnostic));
}

std::vector<std::string> tracepoints_near(std::string_view function) {
    constexpr std::size_t shown = 5;
    std::vector<std::pair<std::size_t, std::string>> scored;
    for (std::string& name : tracepoints()) {
        std::size_t const score = in_common(function, name);
        if (score > 2) scored.emplace_back(score, std::move(name));
    }
    // The best first; of equals the one that says little else, and then by name.
    std::sort(scored.begin(), scored.end(), [](auto const& a, auto const& b) {
        if (a.first != b.first) return a.first > b.first;
        if (a.second.size() != b.second.size()) return a.second.size() < b.second.size();
        return a.second < b.second;
    });
    std::vector<std::string> out;
    for (auto& [score, name] : scored)
        if (out.size() < shown) out.push_back(std::move(name));
    return out;
}

Result<std::string> kernel_function(std::string const& name) {
    std::ifstream symbols("/proc/kallsyms");
    std::set<std::string> clones;
    std::string address, type, symbol, line;
    while (symbols >> address >> type >> symbol && std::getline(symbols, line)) {
        if (type != "t" && type != "T" && type != "W" && type != "w") continue;
        if (symbol == name) return name;
        if (is_clone(symbol, name)) clones.insert(symbol);
    }
    if (clones.size() == 1) return *clones.begin();
    if (clones.empty())
        return fail({fmt::format("this kernel has no function '{}'", escape(name)),
                     std::nullopt,
                     {{"it may be inlined, or be called otherwise in this version; /proc/kallsyms "
                       "has the names",
                       std::nullopt}}});
    return fail({fmt::format("this kernel has no function '{}', but clones of it", escape(name)),
                 std::nullopt,
                 {{"name one of " + listed({clones.begin(), clones.end()}), std::nullopt}}});
}

bool has_kprobe_pmu() { return access("/sys/bus/event_source/devices/kprobe/type", F_OK) == 0; }

bool has_kprobe_events() {
    auto const root = tracefs();
    return root && faccessat(root->get(), "kprobe_events", F_OK, 0) == 0;
}

Result<TracePipe> TracePipe::open() {
    auto root = tracefs();
    if (!root) return fail(root.error());
    TracePipe pipe(std::move(*root));
    if (auto opened = pipe.take_turn(); !opened) return fail(opened.error());
    return pipe;
}

Result<void> TracePipe::take_turn() {
    pipe_ = Fd(openat(root_.get(), "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (pipe_ || errno == EBUSY) return {};
    return fail(system_error("cannot open the kernel's trace pipe", errno));
}

Result<void> TracePipe::read(std::function<void(std::string_view)> const& sink) {
    if (!pipe_)
        if (auto opened = take_turn(); !opened || !pipe_) return opened;
    std::array<char, 16384> buffer;
    ssize_t n = 0;
    while ((n = ::read(pipe_.get(), buffer.data(), buffer.size())) > 0) {
        rest_.append(buffer.data(), static_cast<std::size_t>(n));
        std::size_t begin = 0;
        for (std::size_t end; (end = rest_.find('\n', begin)) != rest_.npos; begin = end + 1)
            sink(std::string_view(rest_).substr(begin, end - begin));
        rest_.erase(0, begin);
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return fail(system_error("cannot read the kernel's trace pipe", errno));
    return {};
}

Result<void> read_trace_pipe(std::function<void(std::string_view)> const& sink, int stop) {
    auto pipe = TracePipe::open();
    if (!pipe) return fail(pipe.error());
    constexpr int turn = 100;  // milliseconds
    while (true) {
        std::array<pollfd, 2> waits{{{pipe->fd(), POLLIN, 0}, {stop, POLLIN, 0}}};
        if (poll(waits.data(), waits.size(), pipe->fd() < 0 ? turn : -1) < 0 && errno != EINTR)
            return fail(system_error("poll", errno));
        if (auto done = pipe->read(sink); !done) return done;
        if (waits[1].revents != 0) return {};
    }
}

}  // namespace tamis::runtime
