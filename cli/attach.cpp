// tamis attach: a filter at a hook of the running kernel, in the foreground, with its counters.
#include <cerrno>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>

#include "backend/object.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/hook_options.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "runtime/kernel.h"
#include "runtime/netns.h"
#include "translator/translate.h"

namespace tamis::cli {
namespace {

using runtime::Counters;
using runtime::Fd;
using runtime::LoadedProgram;
using runtime::XdpMode;

struct AttachOptions {
    InputOptions input;
    HookOptions hook;
    std::string interface, netns, mode = "auto", direction = "inout";
    double interval = 1;
    bool json = false;
};

// What holds the program at its hook: a link or a socket, gone with this value.
struct Attachment {
    Fd holder;
    std::string_view mode;
    bool is_socket = false;
};

Result<XdpMode> parse_mode(std::string const& name) {
    if (name == "auto") return XdpMode::automatic;
    if (name == "native") return XdpMode::native;
    if (name == "generic") return XdpMode::generic;
    return fail({fmt::format("unknown mode '{}'", escape(name)),
                 std::nullopt,
                 {{"--mode takes auto, native or generic", std::nullopt}}});
}

Result<runtime::Direction> parse_direction(std::string const& name) {
    if (name == "in") return runtime::Direction::in;
    if (name == "inout") return runtime::Direction::both;
    return fail({fmt::format("unknown direction '{}'", escape(name)),
                 std::nullopt,
                 {{"-Q takes in or inout", std::nullopt}}});
}

Result<Attachment> attach_at(AttachOptions const& o, Hook hook, LoadedProgram const& program) {
    switch (hook) {
        case Hook::xdp:
        case Hook::xdp_frags: {
            auto const mode = parse_mode(o.mode);
            if (!mode) return fail(mode.error());
            auto attached = runtime::attach_xdp(program, o.interface, *mode);
            if (!attached) return fail(attached.error());
            return Attachment{std::move(attached->link),
                              attached->mode == XdpMode::native ? "native" : "generic"};
        }
        case Hook::socket: {
            auto const direction = parse_direction(o.direction);
            if (!direction) return fail(direction.error());
            auto socket = runtime::packet_socket(o.interface, program, *direction);
            if (!socket) return fail(socket.error());
            return Attachment{std::move(*socket), "ebpf", true};
        }
        case Hook::tc_ingress:
        case Hook::tc_egress:
        case Hook::tc_action:
        case Hook::cgroup_ingress:
        case Hook::cgroup_egress:
        case Hook::lwt_in:
        case Hook::lwt_out:
        case Hook::lwt_xmit:
        case Hook::netfilter_prerouting:
        case Hook::netfilter_input:
        case Hook::netfilter_forward:
        case Hook::netfilter_output:
        case Hook::netfilter_postrouting:
            return fail({fmt::format("attaching at {} is not supported yet", row(hook).name),
                         std::nullopt,
                         {{"compile an object with -o and load it with tc", std::nullopt}}});
    }
    return fail({"unknown hook", std::nullopt, {}});
}

Json json_of(runtime::Counter const& counter) {
    return {{"packets", counter.packets}, {"bytes", counter.bytes}};
}

// One line of counters, at once: whoever reads it wants to see it now.
Result<void> show(LoadedProgram const& program, bool json) {
    auto const counters = program.counters();
    if (!counters) return fail(counters.error());
    if (json) {
        Json line = object_of("counters");
        line["matched"] = json_of(counters->matched);
        line["passed"] = json_of(counters->passed);
        print_json(line);
    } else {
        print(fmt::format("matched {} packets {} bytes, passed {} packets {} bytes\n",
                          counters->matched.packets, counters->matched.bytes,
                          counters->passed.packets, counters->passed.bytes));
    }
    return flush();
}

void announce(AttachOptions const& o, Attachment const& attachment, std::uint32_t id) {
    if (!o.json) {
        complain(fmt::format("attached {} {} {} id {}\n", o.hook.name, o.interface, attachment.mode,
                             id));
        return;
    }
    Json line = object_of("attached");
    line["hook"] = o.hook.name;
    line["interface"] = o.interface;
    line["mode"] = attachment.mode;
    line["id"] = id;
    print_json(line);
}

// The demonstration socket's packets are read and forgotten, so that they take no memory.
void drain(int socket) {
    while (recv(socket, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0) {
    }
}

// Counters every interval until a signal asks for the end, and once more then.
Result<void> watch(LoadedProgram const& program, Attachment const& attachment,
                   AttachOptions const& o, Fd const& signals) {
    auto const timer = ticks(o.interval);
    if (!timer) return fail(timer.error());
    pollfd waits[] = {{signals.get(), POLLIN, 0},
                      {timer->get(), POLLIN, 0},
                      {attachment.is_socket ? attachment.holder.get() : -1, POLLIN, 0}};
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
            if (auto shown = show(program, o.json); !shown) return shown;
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

Exit run(AttachOptions const& o) {
    auto refuse = [](std::string message, std::string note) {
        return report({std::move(message), std::nullopt, {{std::move(note), std::nullopt}}});
    };
    if (o.hook.name.empty()) return refuse("no hook", "name one with --hook");
    if (o.interface.empty()) return refuse("no interface", "name one with -i");
    if (!(o.interval >= 0.01 && o.interval <= 1e6))
        return refuse("an interval must be from 0.01 to 1000000 seconds",
                      "--interval 1 is the default");
    auto const options = o.hook.resolve();
    if (!options) return report(options.error());
    if (!options->stats) return refuse("attach counts", "leave --no-stats out");

    if (!o.netns.empty())
        if (auto entered = runtime::enter_network_namespace(o.netns); !entered)
            return report(entered.error());
    auto const index = runtime::interface_index(o.interface);
    if (!index) return report(index.error());
    auto const link_type = runtime::interface_link_type(o.interface);
    if (!link_type) return report(link_type.error());
    auto const input = compile_input(o.input, *link_type, frontend::Context::live);
    if (!input) return input.error();

    auto const signals = end_signals();
    if (!signals) return report(signals.error());
    auto const program = load(*input, line_source(o.input, input->source), *options);
    if (!program) return report(program.error(), input->source);
    auto const attachment = attach_at(o, options->hook, *program);
    if (!attachment) return report(attachment.error());
    announce(o, *attachment, program->id());
    if (auto watched = watch(*program, *attachment, o, *signals); !watched)
        return report(watched.error());
    return Exit::success;
}

}  // namespace

Exit attach(std::vector<std::string> const& args) {
    AttachOptions o;
    CLI::App app{"Runs a filter at a hook of this kernel until interrupted, and counts.",
                 "tamis attach"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.add_option("-i", o.interface, "the network interface")->type_name("IF");
    app.add_option("--netns", o.netns, "in this network namespace: a name, or a process ID")
        ->type_name("NAME|PID");
    app.add_option("--mode", o.mode, "for xdp: auto (native, else generic), native or generic")
        ->type_name("MODE")
        ->capture_default_str();
    app.add_option("-Q", o.direction, "for a socket: in or inout")
        ->type_name("DIRECTION")
        ->capture_default_str();
    app.add_option("--interval", o.interval, "seconds between two lines of counters")
        ->type_name("SECONDS")
        ->capture_default_str();
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer("Example: tamis attach -i eth0 --hook xdp 'icmp'");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
