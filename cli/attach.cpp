// tamis attach: a filter at a hook of the running kernel, in the foreground, with its counters.
#include "runtime/attach.h"

#include <cerrno>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/object.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/counters.h"
#include "cli/hook_options.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "runtime/bpf_fs.h"
#include "runtime/kernel.h"
#include "runtime/netns.h"
#include "runtime/privilege.h"
#include "translator/translate.h"

namespace tamis::cli {
namespace {

using runtime::Attached;
using runtime::Fd;
using runtime::LoadedProgram;

struct AttachOptions {
    InputOptions input;
    HookOptions hook;
    runtime::Where where;
    std::string netns, pin, direction = "inout";
    double interval = 1;
    bool json = false;
};

Result<runtime::Direction> parse_direction(std::string const& name) {
    if (name == "in") return runtime::Direction::in;
    if (name == "inout") return runtime::Direction::both;
    return fail({fmt::format("unknown direction '{}'", escape(name)),
                 std::nullopt,
                 {{"-Q takes in or inout", std::nullopt}}});
}

// Counters, at once: whoever reads them wants to see them now.  On a terminal one line is written
// again and again.
Result<void> show(LoadedProgram const& program, bool json, bool last) {
    static bool const terminal = isatty(STDOUT_FILENO) == 1;
    auto const counters = program.counters();
    if (!counters) return fail(counters.error());
    if (json) {
        Json line = object_of("counters");
        add_to(line, *counters);
        print_json(line);
    } else if (terminal) {
        print(fmt::format("\r{}\x1b[K{}", text_of(*counters), last ? "\n" : ""));
    } else {
        print(text_of(*counters) + "\n");
    }
    return flush();
}

void announce(AttachOptions const& o, Attached const& attached, std::uint32_t id) {
    if (!attached.note.empty()) complain(fmt::format("tamis: note: {}\n", attached.note));
    if (!o.json) {
        complain(fmt::format("attached {} {} {} id {}{}\n", o.hook.name, escape(attached.target),
                             attached.mode, id, o.pin.empty() ? "" : " as " + o.pin));
        return;
    }
    Json line = object_of("attached");
    line["hook"] = o.hook.name;
    line["interface"] = o.where.interface.empty() ? Json(nullptr) : Json(o.where.interface);
    line["target"] = attached.target;
    line["mode"] = attached.mode;
    line["id"] = id;
    line["pin"] = o.pin.empty() ? Json(nullptr) : Json(o.pin);
    print_json(line);
}

// The demonstration socket's packets are read and forgotten, so that they take no memory.
void drain(int socket) {
    while (recv(socket, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0) {
    }
}

// Counters every interval until a signal asks for the end, and once more then.
Result<void> watch(LoadedProgram const& program, Attached const& attached, AttachOptions const& o,
                   Fd const& signals) {
    auto const timer = ticks(o.interval);
    if (!timer) return fail(timer.error());
    bool const drained = attached.lifetime == Lifetime::fd;
    pollfd waits[] = {{signals.get(), POLLIN, 0},
                      {timer->get(), POLLIN, 0},
                      {drained ? attached.holder.get() : -1, POLLIN, 0}};
    while (true) {
        if (poll(waits, std::size(waits), -1) < 0 && errno != EINTR)
            return fail(system_error("poll", errno));
        if ((waits[2].revents & POLLIN) != 0) drain(waits[2].fd);
        bool const end = (waits[0].revents & POLLIN) != 0;
        bool const tick = (waits[1].revents & POLLIN) != 0;
        std::uint64_t expirations = 0;
        if (tick && read(timer->get(), &expirations, sizeof expirations) < 0)
            return fail(system_error("cannot read the timer", errno));
        if (end || tick)
            if (auto shown = show(program, o.json, end); !shown) return shown;
        if (end) return {};
    }
}

Result<LoadedProgram> load(Input const& input, Source const& lines,
                           translator::Options const& options) {
    auto const translated = translator::translate(input.program, options);
    if (!translated) return fail(translated.error());
    HookRow const& hook = row(options.hook);
    auto const object = backend::object(*translated, hook, &lines);
    if (!object) return fail(object.error());
    return LoadedProgram::load(*object, hook);
}

// The link type of what a filter at the hook sees there.
Result<int> link_type_at(HookRow const& hook, std::string const& interface) {
    if (interface.empty() || hook.start == Start::network) return default_link_type(hook);
    if (auto const index = runtime::interface_index(interface); !index) return fail(index.error());
    return runtime::interface_link_type(interface);
}

Exit stay(AttachOptions const& o, Input const& input, LoadedProgram const& program,
          HookRow const& hook) {
    if (runtime::has_bpf_fs() && runtime::bpf_fs_is_private())
        complain(
            "tamis: warning: the BPF file system here is private to this mount namespace, as under "
            "`ip netns exec`:\n"
            "tamis: note: what is pinned there goes with it; --netns enters a network namespace "
            "without that\n");
    auto const attached =
        runtime::attach_pinned(hook, {program.fd(), program.id(), program.counters_fd()}, o.where,
                               o.pin, {{"netns", o.netns}, {"expression", input.source.text}});
    if (!attached) return report(attached.error());
    announce(o, *attached, program.id());
    return Exit::success;
}

Exit watch_until_signal(AttachOptions const& o, LoadedProgram const& program, HookRow const& hook) {
    auto const signals = end_signals();
    if (!signals) return report(signals.error());
    auto const attached =
        runtime::attach(hook, {program.fd(), program.id(), program.counters_fd()}, o.where);
    if (!attached) return report(attached.error());
    if (auto dropped = runtime::drop_capabilities(); !dropped) return report(dropped.error());
    announce(o, *attached, program.id());
    if (auto watched = watch(program, *attached, o, *signals); !watched)
        return report(watched.error());
    return Exit::success;
}

Exit run(AttachOptions& o) {
    auto refuse = [](std::string message, std::string note) {
        return report({std::move(message), std::nullopt, {{std::move(note), std::nullopt}}});
    };
    if (o.hook.name.empty()) return refuse("no hook", "name one with --hook");
    if (!(o.interval >= 0.01 && o.interval <= 1e6))
        return refuse("an interval must be from 0.01 to 1000000 seconds",
                      "--interval 1 is the default");
    if (!o.netns.empty())
        if (auto entered = runtime::enter_network_namespace(o.netns); !entered)
            return report(entered.error());
    auto options = o.hook.resolve();
    if (!options) return report(options.error());
    if (!options->stats) return refuse("attach counts", "leave --no-stats out");
    auto const direction = parse_direction(o.direction);
    if (!direction) return report(direction.error());
    o.where.direction = *direction;
    HookRow const& hook = row(options->hook);
    if (auto const checked = runtime::check(hook, o.where); !checked)
        return report(checked.error());
    if (!o.pin.empty()) options->name = runtime::program_name(o.pin);

    auto const link_type = link_type_at(hook, o.where.interface);
    if (!link_type) return report(link_type.error());
    auto const input = compile_input(o.input, *link_type, frontend::Context::live);
    if (!input) return input.error();
    auto const program = load(*input, line_source(o.input, input->source), *options);
    if (!program) return report(program.error(), input->source);
    return o.pin.empty() ? watch_until_signal(o, *program, hook) : stay(o, *input, *program, hook);
}

}  // namespace

Exit attach(std::vector<std::string> const& args) {
    AttachOptions o;
    CLI::App app{"Runs a filter at a hook of this kernel until interrupted, and counts.",
                 "tamis attach"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.add_option("-i", o.where.interface, "the network interface")->type_name("IF");
    app.add_option("--cgroup", o.where.cgroup, "the folder of a control group, version 2")
        ->type_name("DIR");
    app.add_option(
           "--nf", o.where.netfilter,
           "for netfilter: ipv4 or ipv6, and where among the hook's users it runs; 0 by default")
        ->type_name("FAMILY[:PRIORITY]");
    app.add_option("--netns", o.netns, "in this network namespace: a name, or a process ID")
        ->type_name("NAME|PID");
    app.add_option("--mode", o.where.mode, "for xdp; auto is native, else generic")
        ->type_name("auto|native|generic")
        ->capture_default_str();
    auto* const before =
        app.add_option("--before", o.where.before, "for tc: run before this program")
            ->type_name("NAME|ID");
    app.add_option("--after", o.where.after, "for tc: run behind it; last is the default")
        ->type_name("NAME|ID")
        ->excludes(before);
    app.add_option("--pin", o.pin, "stay attached under this name: see `tamis list`")
        ->type_name("NAME");
    app.add_option("-Q", o.direction, "for a socket: packets that come in, or all of them")
        ->type_name("in|inout")
        ->capture_default_str();
    app.add_option("--interval", o.interval, "seconds between two lines of counters")
        ->type_name("SECONDS")
        ->capture_default_str();
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer("Example: tamis attach -i eth0 --hook xdp 'icmp'");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
