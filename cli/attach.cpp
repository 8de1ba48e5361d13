// tamis attach: a filter at a hook of the running kernel, in the foreground, with its counters.
#include "runtime/attach.h"

#include <cerrno>
#include <csignal>

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
#include "runtime/vlan_offload.h"
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
    std::string netns, pin, link_type, direction = "inout", engine = "auto", group;
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

Result<runtime::SocketUse> parse_group(std::string const& name) {
    if (name.empty()) return runtime::SocketUse::filter;
    if (name == "reuseport") return runtime::SocketUse::reuseport;
    if (name == "fanout") return runtime::SocketUse::fanout;
    return fail({fmt::format("unknown group '{}'", escape(name)),
                 std::nullopt,
                 {{"--group takes reuseport or fanout", std::nullopt}}});
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
        complain(fmt::format("attached {} {} {}{}{}\n", o.hook.name, escape(attached.target),
                             attached.mode, id == 0 ? "" : fmt::format(" id {}", id),
                             o.pin.empty() ? "" : " as " + o.pin));
        return;
    }
    Json line = object_of("attached");
    line["hook"] = o.hook.name;
    line["interface"] = o.where.interface.empty() ? Json(nullptr) : Json(o.where.interface);
    line["target"] = attached.target;
    line["mode"] = attached.mode;
    line["id"] = id == 0 ? Json(nullptr) : Json(id);
    line["pin"] = o.pin.empty() ? Json(nullptr) : Json(o.pin);
    print_json(line);
    static_cast<void>(flush());  // at once; what is lost is an error at the next one
}

// The demonstration socket's packets are read and forgotten, so that they take no memory; no more
// than some at a time, since they may come faster than that.
void drain(int socket) {
    for (int packets = 0; packets < 1024; ++packets)
        if (recv(socket, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) < 0) return;
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
        if (waits[2].revents != 0) drain(waits[2].fd);  // an error, too, is read away
        bool const end = (waits[0].revents & POLLIN) != 0;
        bool const tick = (waits[1].revents & POLLIN) != 0;
        std::uint64_t expirations = 0;
        if (tick && read(timer->get(), &expirations, sizeof expirations) < 0)
            return fail(system_error("cannot read the timer", errno));
        if (end || tick)
            if (auto shown = show(program, o.json, end); !shown) return shown;
        if (end) return {};
        if (auto there = attached.still_there(); !there) return there;
    }
}

Result<LoadedProgram> load(Input const& input, Source const& lines,
                           translator::Options const& options, std::uint32_t device) {
    auto const translated = translator::translate(input.program, options);
    if (!translated) return fail(translated.error());
    HookRow const& hook = row(options.hook);
    auto const object = backend::object(*translated, hook, &lines);
    if (!object) return fail(object.error());
    HookRow asked = hook;
    if (options.shape.no_perfmon && hook.access != Access::ld_abs)
        asked.capabilities = "CAP_BPF and CAP_NET_ADMIN";
    return LoadedProgram::load(*object, asked, device);
}

// The link type of what a filter at the hook sees there.
Result<int> link_type_at(HookRow const& hook, runtime::Where const& where) {
    if (where.process > 0) {
        auto const socket = runtime::ProcessSocket::open(where.process, where.fd);
        if (!socket) return fail(socket.error());
        return socket->link_type(where.use);
    }
    if (where.interface.empty() || hook.start == Start::network) return default_link_type(hook);
    if (auto const index = runtime::interface_index(where.interface); !index)
        return fail(index.error());
    return runtime::interface_link_type(where.interface);
}

// What was written for another link type would read the wrong bytes.
Result<void> check_link_type(std::string const& wanted, int there) {
    if (wanted.empty()) return {};
    LinkType const* const type = find_link_type(wanted);
    if (!type)
        return fail({fmt::format("unknown link type '{}'", escape(wanted)),
                     std::nullopt,
                     {{"`tamis compile -L` lists the link types", std::nullopt}}});
    if (type->number == there) return {};
    LinkType const* const found = find_link_type(there);
    return fail({fmt::format("a filter for link type {} does not fit here: packets are of link "
                             "type {}",
                             type->name, found ? found->name : std::to_string(there)),
                 std::nullopt,
                 {{"leave -y out: attach looks it up", std::nullopt}}});
}

// Whether a socket of another process gets the classic program: it is the faster one, since the
// kernel's own translation of it reads packets without a call.
Result<bool> wants_classic(AttachOptions const& o, cbpf::Program const& program) {
    if (o.engine != "auto" && o.engine != "classic" && o.engine != "ebpf")
        return fail({fmt::format("unknown engine '{}'", escape(o.engine)),
                     std::nullopt,
                     {{"--engine takes auto, classic or ebpf", std::nullopt}}});
    if (o.where.process > 0)
        return o.engine == "classic" ||
               (o.engine == "auto" && runtime::takes_classic(program.insns));
    if (o.engine != "classic") return false;
    return fail({"only sockets of other processes take classic programs here",
                 std::nullopt,
                 {{"--engine is for --pid and --fd", std::nullopt}}});
}

// Where packets have their outer VLAN tag: at XDP, what the device's driver does decides.
struct Tags {
    frontend::Tags where = frontend::Tags::taken_out;
    std::string remedy{};      // the command that makes a driver leave them in packets
    std::uint32_t device = 0;  // its index, for a program that asks the driver
};
Result<Tags> tags_at(HookRow const& hook, std::string const& interface,
                     translator::VlanOffload offload) {
    if (hook.vlan != VlanTag::packet) return Tags{};
    switch (offload) {
        case translator::VlanOffload::ignore:
            return Tags{.where = frontend::Tags::in_packet};
        case translator::VlanOffload::metadata: {
            auto const index = runtime::interface_index(interface);
            if (!index) return fail(index.error());
            return Tags{.device = *index};
        }
        case translator::VlanOffload::refuse:
            break;
    }
    auto remedy = runtime::vlan_offload_remedy(interface);
    if (!remedy) return fail(remedy.error());
    if (!*remedy) return Tags{.where = frontend::Tags::in_packet};
    return Tags{.remedy = **remedy};
}

Result<void> check_tags(cbpf::Program const& program, Tags const& tags,
                        std::string const& interface) {
    auto const asks = tags.remedy.empty() ? std::nullopt : runtime::asks_for_tag(program);
    if (!asks) return {};
    return fail({fmt::format("no packet at XDP of '{}' shows its VLAN tag: the driver takes it out "
                             "before",
                             escape(interface)),
                 *asks,
                 {{fmt::format("`{}` leaves tags in packets", escape(tags.remedy)), std::nullopt},
                  {"--vlan-offload=metadata asks the driver for the tag, --vlan-offload=ignore is "
                   "for who knows better",
                   std::nullopt}},
                 Fault::system});
}

void warn_of_private_pins() {
    if (runtime::has_bpf_fs() && runtime::bpf_fs_is_private())
        complain(
            "tamis: warning: the BPF file system here is private to this mount namespace, as under "
            "`ip netns exec`\n"
            "tamis: note: what is pinned there goes with it; --netns enters a network namespace "
            "without that\n");
}

Exit stay(AttachOptions const& o, Input const& input, runtime::Program const& program,
          HookRow const& hook) {
    auto const attached = runtime::attach_pinned(
        hook, program, o.where, o.pin, {{"netns", o.netns}, {"expression", input.source.text}});
    if (!attached) return report(attached.error());
    warn_of_private_pins();
    announce(o, *attached, program.id);
    return Exit::success;
}

Exit watch_until_signal(AttachOptions const& o, LoadedProgram const& loaded,
                        runtime::Program const& program, HookRow const& hook) {
    auto const signals = end_signals();
    if (!signals) return report(signals.error());
    std::signal(SIGPIPE, SIG_IGN);  // a reader that goes is an end in order as well
    auto attached = runtime::attach(hook, program, o.where);
    if (!attached) return report(attached.error());
    Exit code = Exit::success;
    if (auto dropped = runtime::drop_capabilities(attached->needs()); dropped) {
        announce(o, *attached, program.id);
        if (auto watched = watch(loaded, *attached, o, *signals); !watched)
            code = report(watched.error());
    } else {
        code = report(dropped.error());
    }
    if (auto ended = attached->end(); !ended) code = report(ended.error());
    return code;
}

// What the words of the options mean, before anything is read or compiled.
Result<translator::Options> resolve(AttachOptions& o) {
    auto const wrong = [](std::string message, std::string note) {
        return fail(
            Diagnostic{std::move(message), std::nullopt, {{std::move(note), std::nullopt}}});
    };
    if (o.hook.name.empty()) return wrong("no hook", "name one with --hook");
    if (!(o.interval >= 0.01 && o.interval <= 1e6))
        return wrong("an interval must be from 0.01 to 1000000 seconds",
                     "--interval 1 is the default");
    if (!o.netns.empty())
        if (auto entered = runtime::enter_network_namespace(o.netns); !entered)
            return fail(entered.error());
    auto options = o.hook.resolve();
    if (!options) return options;
    if (!options->stats) return wrong("attach counts", "leave --no-stats out");
    auto const direction = parse_direction(o.direction);
    if (!direction) return fail(direction.error());
    o.where.direction = *direction;
    auto const use = parse_group(o.group);
    if (!use) return fail(use.error());
    o.where.use = *use;
    // Within a group a program's value is the number of the member that gets the packet.
    if (o.where.use != runtime::SocketUse::filter)
        o.input.snaplen = options->match.argument == 0 ? 1 : options->match.argument;
    if (auto const checked = runtime::check(row(options->hook), o.where, o.pin); !checked)
        return fail(checked.error());
    if (!o.pin.empty()) options->name = runtime::program_name(o.pin);
    return options;
}

Exit run(AttachOptions& o) {
    auto const options = resolve(o);
    if (!options) return report(options.error());
    HookRow const& hook = row(options->hook);
    auto const link_type = link_type_at(hook, o.where);
    if (!link_type) return report(link_type.error());
    if (auto good = check_link_type(o.link_type, *link_type); !good) return report(good.error());
    auto const tags = tags_at(hook, o.where.interface, options->shape.vlan_offload);
    if (!tags) return report(tags.error());
    auto const input = compile_input(o.input, *link_type, frontend::Context::live, tags->where);
    if (!input) {
        if (*link_type == runtime::opaque_link_type)
            complain(
                "tamis: note: this socket's filter sees no link or IP header: UDP from its header "
                "on, others the payload; link[...] and lengths work\n");
        return input.error();
    }
    if (auto good = check_tags(input->program, *tags, o.where.interface); !good)
        return report(good.error(), input->source);
    auto const classic = wants_classic(o, input->program);
    if (!classic) return report(classic.error());
    if (*classic) {
        runtime::Program const program{.classic = input->program.insns};
        return stay(o, *input, program, hook);
    }
    auto const loaded = load(*input, line_source(o.input, input->source), *options, tags->device);
    if (!loaded) return report(loaded.error(), input->source);
    runtime::Program const program{
        loaded->fd(), loaded->id(), loaded->counters_fd(), options->name, {}};
    return o.pin.empty() ? watch_until_signal(o, *loaded, program, hook)
                         : stay(o, *input, program, hook);
}

}  // namespace

Exit attach(std::vector<std::string> const& args) {
    AttachOptions o;
    CLI::App app{"Runs a filter at a hook of this kernel until interrupted, and counts.",
                 "tamis attach"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.add_option("-i", o.where.interface, "the network interface")->type_name("IF");
    app.add_option("-y", o.link_type, "the link type that the filter is for; another is refused")
        ->type_name("DLT");
    app.add_option("--cgroup", o.where.cgroup, "the folder of a control group, version 2")
        ->type_name("DIR");
    app.add_option(
           "--nf", o.where.netfilter,
           "for netfilter: ipv4 or ipv6, and where among the hook's users it runs; 0 by default")
        ->type_name("FAMILY[:PRIORITY]");
    app.add_option("--netns", o.netns, "in this network namespace: a name, or a process ID")
        ->type_name("NAME|PID");
    app.add_option("--route", o.where.route, "for lwt: the route to exactly this prefix")
        ->type_name("PREFIX");
    app.add_option("--pid", o.where.process, "for socket: one of this process")->type_name("PID");
    app.add_option("--fd", o.where.fd, "its descriptor there")->type_name("N");
    app.add_option("--engine", o.engine,
                   "for that socket's filter; auto is classic where the kernel takes it")
        ->type_name("auto|classic|ebpf")
        ->capture_default_str();
    app.add_option("--group", o.group,
                   "choose the member of its group (reuseport or fanout) that gets a packet: "
                   "--match keep:N, else 0")
        ->type_name("reuseport|fanout");
    app.add_flag("--lock", o.where.lock, "nobody can change its filter any more (SO_LOCK_FILTER)");
    app.add_option("--mode", o.where.mode,
                   "at xdp native or generic, at tc tcx or clsact; auto is the first that works")
        ->type_name("auto|native|generic|tcx|clsact")
        ->capture_default_str();
    auto* const before =
        app.add_option("--before", o.where.before, "for tc: run before this program")
            ->type_name("NAME|ID");
    app.add_option("--after", o.where.after, "for tc: run behind it; last is the default")
        ->type_name("NAME|ID")
        ->excludes(before);
    app.add_option("--priority", o.where.priority, "for clsact: its place among the filters")
        ->type_name("N")
        ->check(CLI::Range(1U, 65535U));
    app.add_option("--replace", o.where.replace,
                   "put aside this XDP program (its ID), or give up a socket's filter (ebpf)")
        ->type_name("ID|ebpf");
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
