// tamis watch: eBPF programs as they come and go.
#include <array>
#include <cerrno>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>

#include "cli/args.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "runtime/program_events.h"

namespace tamis::cli {
namespace {

using runtime::ProgramEvent;
using runtime::ProgramEvents;

struct WatchOptions {
    runtime::ProgramSelection selection;
    bool json = false;
};

struct Counts {
    std::uint64_t loads = 0, unloads = 0, lost = 0;
};

std::string_view word_for(ProgramEvent::What what) {
    switch (what) {
        case ProgramEvent::What::present:
            return "present";
        case ProgramEvent::What::load:
            return "load";
        case ProgramEvent::What::unload:
            return "unload";
    }
    return {};
}

// `load 17 xdp pass tag 3b185187f1855c4c by bpftool (4242) 61 bytes at 0xffffffffc0000a34`
std::string text_of(ProgramEvent const& event) {
    std::string out = fmt::format("{} {} {} {} tag {}", word_for(event.what), event.id,
                                  event.type.empty() ? "?" : event.type,
                                  event.name.empty() ? "?" : escape(event.name), event.tag);
    if (event.process) out += fmt::format(" by {} ({})", escape(event.command), *event.process);
    if (event.size != 0) out += fmt::format(" {} bytes", event.size);
    if (event.address != 0) out += fmt::format(" at {:#x}", event.address);
    return out + "\n";
}

void show(WatchOptions const& o, ProgramEvent const& event) {
    if (!o.json) return print(text_of(event));
    auto const or_null = [](std::string const& text) { return text.empty() ? Json() : Json(text); };
    Json line = object_of("bpf_program");
    line["event"] = word_for(event.what);
    line["id"] = event.id;
    line["type"] = or_null(event.type);
    line["name"] = or_null(event.name);
    line["tag"] = event.tag;
    line["process"] = event.process ? Json(*event.process) : Json();
    line["command"] = or_null(event.command);
    line["size"] = event.size;
    line["address"] = event.address == 0 ? Json() : Json(fmt::format("{:#x}", event.address));
    print_json(line);
}

void show_end(WatchOptions const& o, Counts const& counts) {
    if (!o.json)
        return complain(fmt::format("{} loaded, {} unloaded, {} records lost\n", counts.loads,
                                    counts.unloads, counts.lost));
    Json line = object_of("watch");
    line["loads"] = counts.loads;
    line["unloads"] = counts.unloads;
    line["lost"] = counts.lost;
    print_json(line);
}

Result<Counts> follow(WatchOptions const& o, ProgramEvents& events, runtime::Fd const& signals) {
    constexpr int settle = 2;  // milliseconds, for records that are too young to be in order
    Counts counts;
    auto const sink = [&](ProgramEvent const& event) {
        if (event.what == ProgramEvent::What::load) ++counts.loads;
        if (event.what == ProgramEvent::What::unload) ++counts.unloads;
        show(o, event);
    };
    if (auto listed = events.present(sink); !listed) return fail(listed.error());
    // Whoever waits for the list to end reads this.
    complain("watching\n");
    std::array<pollfd, 2> waits{{{signals.get(), POLLIN, 0}, {events.fd(), POLLIN, 0}}};
    bool young = false;
    while (true) {
        if (auto written = flush(); !written) return fail(written.error());
        if (poll(waits.data(), waits.size(), young ? settle : -1) < 0 && errno != EINTR)
            return fail(system_error("poll", errno));
        young = events.read(sink);
        if (events.lost() != counts.lost)
            complain(fmt::format("{} records were lost\n", events.lost() - counts.lost));
        counts.lost = events.lost();
        if (waits[0].revents != 0 && !young) break;
    }
    return counts;
}

Exit run(WatchOptions const& o) {
    auto const signals = end_signals();
    if (!signals) return report(signals.error());
    auto events = ProgramEvents::open(o.selection);
    if (!events) return report(events.error());
    auto const counts = follow(o, *events, *signals);
    if (!counts) return report(counts.error());
    show_end(o, *counts);
    return Exit::success;
}

}  // namespace

Exit watch(std::vector<std::string> const& args) {
    WatchOptions o;
    CLI::App app{
        "Prints the eBPF programs that are loaded, and from then on those that come and go,\n"
        "until interrupted.",
        "tamis watch"};
    app.add_option("--cpu", o.selection.cpu, "loaded or unloaded on this CPU")->type_name("N");
    auto* const cgroup =
        app.add_option("--cgroup", o.selection.cgroup, "by members of this control group")
            ->type_name("DIR");
    app.add_option("--pid", o.selection.process, "by this process")
        ->check(CLI::Range(pid_t{1}, pid_t{1} << 22))
        ->excludes(cgroup);
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer(
        "Classic programs are not announced by the kernel: `tamis check --all` shows those.\n"
        "Example: tamis watch & bpftool prog load f.o /sys/fs/bpf/f");
    return parse_and_run(app, args, [&] { return run(o); });
}

}  // namespace tamis::cli
