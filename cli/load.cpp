// tamis load: any eBPF object into the kernel, and what it prints.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/load_plan.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "runtime/netns.h"
#include "runtime/object_file.h"
#include "runtime/program_types.h"
#include "runtime/tracefs.h"

namespace tamis::cli {
namespace {

using runtime::Attachment;
using runtime::Loaded;
using runtime::MapPlan;
using runtime::MapSetting;
using runtime::ObjectFile;
using runtime::Plan;

struct LoadOptions {
    std::string file, netns, mode = "auto", reuse;
    runtime::Targets targets;
    std::vector<std::string> programs, maps, records, dumps;
    double interval = 1;
    bool dry_run = false, explain = false, no_attach = false, json = false, quiet = false;
};

Diagnostic wrong(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

// ---- Options

// `NAME` is the socket map to attach to; `NAME:max_entries=N` and `NAME:pin=PATH` are settings.
struct MapOption {
    std::string name, key, value;
};
Result<MapOption> parse_map(std::string const& text) {
    std::size_t const colon = text.find(':');
    if (colon == text.npos) return MapOption{text, "", ""};
    std::size_t const equals = text.find('=', colon);
    MapOption out{text.substr(0, colon), text.substr(colon + 1, equals - colon - 1),
                  equals == text.npos ? "" : text.substr(equals + 1)};
    if ((out.key == "max_entries" || out.key == "pin") && !out.value.empty()) return out;
    return fail(wrong(fmt::format("'{}' is no setting of a map", escape(text)),
                      "--map takes NAME:max_entries=N, NAME:pin=PATH, or NAME, the socket map to "
                      "attach to"));
}

Result<void> apply(MapOption const& option, MapSetting& setting) {
    if (option.key == "pin") setting.pin = option.value;
    if (option.key != "max_entries") return {};
    std::uint32_t number = 0;
    char const* end = option.value.data() + option.value.size();
    auto const read = std::from_chars(option.value.data(), end, number);
    if (read.ec != std::errc{} || read.ptr != end || number == 0)
        return fail(
            wrong(fmt::format("'{}' is no number from 1 to 4294967295", escape(option.value)),
                  fmt::format("it is for --map {}:max_entries=N", escape(option.name))));
    setting.max_entries = number;
    return {};
}

// Every map that an option names is there.
Result<void> check_names(LoadOptions const& o, std::vector<MapOption> const& options,
                         Plan const& plan) {
    std::vector<std::string> names = o.dumps;
    for (MapOption const& option : options) names.push_back(option.name);
    for (std::string const& text : o.records) names.push_back(text.substr(0, text.find(':')));
    for (std::string const& name : names) {
        auto const named = [&](MapPlan const& map) { return map.name == name; };
        if (std::none_of(plan.maps.begin(), plan.maps.end(), named))
            return fail(
                wrong(fmt::format("there is no map '{}' in '{}'", escape(name), escape(o.file)),
                      "--dry-run lists the maps"));
    }
    for (MapPlan const& map : plan.maps)
        if (std::count(o.dumps.begin(), o.dumps.end(), map.name) != 0 && !has_keys(map))
            return fail(wrong(fmt::format("map '{}' ({}) has no entries by key", escape(map.name),
                                          runtime::map_type(map.type).name),
                              "--print shows the records of ring buffers and perf event arrays"));
    return {};
}

runtime::Fixup fixup(LoadOptions const& o, std::vector<MapOption> const& options) {
    return [&](MapPlan const& map) -> Result<MapSetting> {
        MapSetting setting;
        for (MapOption const& option : options)
            if (option.name == map.name)
                if (auto applied = apply(option, setting); !applied) return fail(applied.error());
        if (!o.reuse.empty()) setting.reuse = runtime::find_pinned_map(o.reuse, map.name);
        return setting;
    };
}

Result<runtime::XdpMode> parse_mode(std::string const& name) {
    if (name == "auto") return runtime::XdpMode::automatic;
    if (name == "native") return runtime::XdpMode::native;
    if (name == "generic") return runtime::XdpMode::generic;
    return fail(wrong(fmt::format("unknown mode '{}'", escape(name)),
                      "--mode takes auto, native or generic"));
}

// ---- Loaded

void announce(LoadOptions const& o, Attachment const& attachment) {
    if (o.json) {
        Json line = object_of("loaded");
        line["program"] = attachment.program;
        line["section"] = attachment.section;
        line["id"] = attachment.id;
        line["place"] = attachment.place.empty() ? Json() : Json(attachment.place);
        print_json(line);
    } else if (!o.quiet) {
        complain(attachment.place.empty()
                     ? fmt::format("loaded {} id {}\n", escape(attachment.program), attachment.id)
                     : fmt::format("attached {} id {} to {}\n", escape(attachment.program),
                                   attachment.id, escape(attachment.place)));
    }
    if (!attachment.note.empty() && !o.quiet) complain(fmt::format("note: {}\n", attachment.note));
}

void show_line(LoadOptions const& o, std::string_view text) {
    if (!o.json) {
        print(fmt::format("{}\n", escape(text)));
        return;
    }
    Json line = object_of("trace");
    line["text"] = text;
    print_json(line);
}

void show_record(LoadOptions const& o, Loaded::Record const& record) {
    if (!o.json) {
        std::string const cpu = record.cpu < 0 ? "" : fmt::format(" cpu {}", record.cpu);
        print(fmt::format("{}{}: {}\n", escape(record.map), cpu, escape(record.text)));
        return;
    }
    Json line = object_of("record");
    line["map"] = record.map;
    line["cpu"] = record.cpu < 0 ? Json() : Json(record.cpu);
    line["data"] = record.text;
    print_json(line);
}

Result<void> show_entries(LoadOptions const& o, Loaded const& loaded) {
    for (std::string const& map : o.dumps) {
        auto const entries = loaded.entries(map);
        if (!entries) return fail(entries.error());
        for (Loaded::Entry const& entry : *entries) {
            if (o.json) {
                Json line = object_of("map_entry");
                line["map"] = map;
                line["key"] = entry.key;
                line["values"] = entry.values;
                print_json(line);
                continue;
            }
            std::string values;
            for (std::string const& value : entry.values) values += " " + escape(value);
            print(fmt::format("{}[{}]:{}\n", escape(map), escape(entry.key), values));
        }
    }
    return flush();
}

// `MAP`, or `MAP:TYPE`.
Result<void> watch_records(LoadOptions const& o, Loaded& loaded) {
    for (std::string const& text : o.records) {
        std::size_t const colon = text.find(':');
        std::string const type = colon == text.npos ? "" : text.substr(colon + 1);
        auto const watched = loaded.watch_records(
            text.substr(0, colon), type, [&](auto const& record) { show_record(o, record); });
        if (!watched) return watched;
    }
    return {};
}

// What the programs say until a signal asks for the end, and once more then.
Result<void> follow(LoadOptions const& o, Loaded& loaded, runtime::Fd const& signals) {
    auto const line = [&](std::string_view text) { show_line(o, text); };
    std::optional<runtime::TracePipe> pipe;
    if (loaded.prints()) {
        auto opened = runtime::TracePipe::open();
        if (!opened) return fail(opened.error());
        pipe = std::move(*opened);
        if (pipe->fd() < 0 && !o.quiet)
            complain("note: another process reads the trace pipe; waiting until it ends\n");
    }
    if (auto watched = watch_records(o, loaded); !watched) return watched;
    auto const timer = ticks(o.interval);
    if (!timer) return fail(timer.error());
    std::array<pollfd, 4> waits{{{signals.get(), POLLIN, 0},
                                 {o.dumps.empty() ? -1 : timer->get(), POLLIN, 0},
                                 {pipe ? pipe->fd() : -1, POLLIN, 0},
                                 {loaded.records_fd(), POLLIN, 0}}};
    constexpr int turn = 100;  // milliseconds
    while (true) {
        bool const busy = pipe && pipe->fd() < 0;
        waits[2].fd = pipe ? pipe->fd() : -1;
        if (poll(waits.data(), waits.size(), busy ? turn : -1) < 0 && errno != EINTR)
            return fail(system_error("poll", errno));
        bool const end = waits[0].revents != 0, tick = waits[1].revents != 0;
        std::uint64_t expirations = 0;
        if (tick && read(timer->get(), &expirations, sizeof expirations) < 0)
            return fail(system_error("cannot read the timer", errno));
        if (pipe)
            if (auto done = pipe->read(line); !done) return done;
        if (auto done = loaded.read_records(); !done) return done;
        if (end || tick)
            if (auto done = show_entries(o, loaded); !done) return done;
        if (auto written = flush(); !written) return written;
        if (end) break;
    }
    if (auto const lost = loaded.lost_records(); lost != 0)
        complain(fmt::format("{} records were lost\n", lost));
    return {};
}

Exit run(LoadOptions& o) {
    auto const mode = parse_mode(o.mode);
    if (!mode) return report(mode.error());
    o.targets.mode = *mode;
    o.targets.attach = !o.no_attach;
    auto file = ObjectFile::open(o.file);
    if (!file) return report(file.error());
    if (!o.programs.empty())
        if (auto chosen = file->choose(o.programs); !chosen) return report(chosen.error());
    std::vector<MapOption> settings;
    for (std::string const& text : o.maps) {
        auto option = parse_map(text);
        if (!option) return report(option.error());
        if (option->key.empty()) o.targets.map = option->name;
        settings.push_back(std::move(*option));
    }
    if (auto known = check_names(o, settings, file->plan()); !known) return report(known.error());
    if (auto applied = file->apply(fixup(o, settings)); !applied) return report(applied.error());
    if (o.dry_run) {
        show_plan(o.file, file->plan(), o.json);
        return Exit::success;
    }

    if (o.explain) return explain_plan(file->plan(), o.json);

    if (!o.netns.empty())
        if (auto entered = runtime::enter_network_namespace(o.netns); !entered)
            return report(entered.error());
    auto const signals = end_signals();
    if (!signals) return report(signals.error());
    auto loaded = file->load(o.targets);
    if (!loaded) return report(loaded.error());
    for (Attachment const& attachment : loaded->attachments()) announce(o, attachment);
    if (auto written = flush(); !written) return report(written.error());
    auto const line = [&](std::string_view text) { show_line(o, text); };
    if (auto read = loaded->read_iterators(line); !read) return report(read.error());
    if (o.no_attach || !o.targets.pin.empty() || loaded->only_iterators()) return Exit::success;
    if (auto followed = follow(o, *loaded, *signals); !followed) return report(followed.error());
    return Exit::success;
}

}  // namespace

Exit load(std::vector<std::string> const& args) {
    LoadOptions o;
    auto& t = o.targets;
    CLI::App app{
        "Loads an eBPF object, attaches its programs by the names of their sections, and\n"
        "prints what they print until interrupted.",
        "tamis load"};
    app.add_option("FILE", o.file, "the object")->required();
    app.add_flag("--dry-run", o.dry_run, "only show what would be loaded, and what it needs");
    app.add_flag(
        "--explain", o.explain,
        "only show what the programs call, and read and write of their context: the first Linux "
        "that has it, and whether this one does");
    app.add_flag("--no-attach", o.no_attach, "load, but do not attach");
    app.add_option("--program", o.programs, "only this program of the object; may be repeated")
        ->type_name("NAME")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("-i", t.interface, "the network interface")->type_name("IF");
    app.add_option("--netns", o.netns, "in this network namespace: a name, or a process ID")
        ->type_name("NAME|PID");
    app.add_option("--mode", o.mode, "for xdp; auto is native, else generic")
        ->type_name("auto|native|generic")
        ->capture_default_str();
    app.add_option("--direction", t.direction, "for section tc")
        ->check(CLI::IsMember({"ingress", "egress"}))
        ->capture_default_str();
    app.add_option("--cgroup", t.cgroup, "the folder of a control group, version 2")
        ->type_name("DIR");
    app.add_option("--pid", t.pid, "for uprobe, usdt, perf_event and iter: this process only")
        ->check(CLI::Range(pid_t{1}, pid_t{1} << 22));
    app.add_option("--event", t.event, "for perf_event: NAME, or NAME:TIMES-A-SECOND")
        ->type_name("EVENT");
    app.add_option("--binary", t.binary, "for uprobe and usdt: FILE, or for uprobe FILE:FUNCTION")
        ->type_name("FILE");
    app.add_option("--nf", t.netfilter,
                   "for section netfilter: ipv4 or ipv6, a hook, and perhaps a priority")
        ->type_name("FAMILY:HOOK[:PRIORITY]");
    app.add_flag("--kprobe-events", t.kprobe_events, "kprobes through tracefs' kprobe_events");
    app.add_option("--map", o.maps,
                   "NAME:max_entries=N or NAME:pin=PATH sets, NAME is what sk_skb and sk_msg go to")
        ->type_name("MAP")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option(
           "--reuse", o.reuse,
           "take the maps that are pinned in this folder, or under this name of `tamis list`")
        ->type_name("DIR|NAME");
    app.add_option("--pin", t.pin,
                   "what is attached stays, under this name (`tamis list`, `tamis detach NAME`)")
        ->type_name("NAME");
    app.add_option("--print", o.records,
                   "records of a ring buffer or perf event array: MAP, or MAP:TYPE")
        ->type_name("MAP")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("--dump", o.dumps, "entries of a map, every interval and at the end")
        ->type_name("MAP")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("--interval", o.interval, "seconds between two dumps")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.01, 1e6))
        ->capture_default_str();
    app.add_flag("-q", o.quiet, "do not say what was attached");
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer(
        "Examples:\n"
        "  tamis load --dry-run prog.o\n"
        "  tamis load -i eth0 xdp.o");
    return parse_and_run(app, args, [&] { return run(o); });
}

}  // namespace tamis::cli
