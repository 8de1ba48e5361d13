#include "runtime/attach_kinds.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/core.h>

#include "bpf/cbpf_text.h"
#include "runtime/libbpf_words.h"
#include "runtime/links.h"
#include "runtime/privilege.h"
#include "runtime/sticky.h"

namespace tamis::runtime {
namespace {

Diagnostic wrong(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

Diagnostic refused(HookRow const& hook, std::string_view target, int error) {
    auto out =
        system_error(fmt::format("cannot attach at {} of '{}'", hook.name, escape(target)), error);
    if (error == EPERM || error == EACCES) note_missing(out, hook.capabilities);
    return out;
}

Result<Attached> by_link(std::string kind, std::string target, Fd link) {
    return Attached{.kind = std::move(kind),
                    .target = std::move(target),
                    .mode = "link",
                    .lifetime = Lifetime::link,
                    .holder = std::move(link)};
}

// ---- XDP

Result<XdpMode> xdp_mode(std::string const& name) {
    if (name == "auto") return XdpMode::automatic;
    if (name == "native") return XdpMode::native;
    if (name == "generic") return XdpMode::generic;
    return fail(wrong(fmt::format("unknown mode '{}'", escape(name)),
                      "at xdp, --mode takes auto, native or generic"));
}

Result<Attached> to_xdp(HookRow const&, Program const& program, Where const& where) {
    auto const mode = xdp_mode(where.mode);
    if (!mode) return fail(mode.error());
    auto const old = whole_number<std::uint32_t>(where.replace);
    if (!where.replace.empty() && !old)
        return fail(wrong(fmt::format("'{}' is no program's ID", escape(where.replace)),
                          "at xdp, --replace takes the ID of the program to put aside"));
    auto link = old ? replace_xdp(program.fd, where.interface, *mode, *old)
                    : attach_xdp(program.fd, where.interface, *mode);
    if (!link) return fail(link.error());
    auto out = by_link("xdp", where.interface, std::move(link->link));
    out->mode = link->mode == XdpMode::native ? "native" : "generic";
    if (old)
        out->note = fmt::format("XDP of '{}' was empty for {} microseconds",
                                escape(where.interface), link->gap.count());
    out->replaced = std::move(link->replaced);
    return out;
}

// ---- tc

std::string name_of_program(std::uint32_t id) {
    Fd const program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return {};
    return info.name;
}

// The program that --before or --after means.
Result<std::uint32_t> neighbour(std::string const& text, std::vector<std::uint32_t> const& there) {
    auto const written = whole_number<std::uint32_t>(text);
    std::uint32_t id = written.value_or(0);
    if (auto const pinned = find_pinned(text); !written && pinned) id = pinned->program();
    std::string known;
    for (std::uint32_t const other : there) {
        std::string const name = name_of_program(other);
        if (other == id || (id == 0 && name == text)) return other;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", other);
        if (!name.empty()) known += fmt::format(" '{}'", escape(name));
    }
    return fail(wrong(fmt::format("there is no program '{}' at this hook", escape(text)),
                      known.empty() ? "there is none at all" : "there are " + known));
}

Result<Attached> to_tcx(HookRow const& hook, Program const& program, Where const& where) {
    bool const egress = hook.hook == Hook::tc_egress;
    auto const index = interface_index(where.interface);
    if (!index) return fail(index.error());
    TcxOrder order;
    if (std::string const& other = where.before.empty() ? where.after : where.before;
        !other.empty()) {
        auto const there = tcx_programs(*index, egress);
        auto const id = neighbour(other, there.value_or(std::vector<std::uint32_t>{}));
        if (!id) return fail(id.error());
        order = {*id, !where.before.empty()};
    }
    Fd link = link_tcx(program.fd, *index, egress, order);
    if (!link) return fail(refused(hook, where.interface, errno));
    auto out = by_link("tcx", where.interface, std::move(link));
    out->mode = "tcx";
    return out;
}

// ---- Control groups, netfilter, sockets

Result<Attached> to_cgroup(HookRow const& hook, Program const& program, Where const& where) {
    Fd const folder(open(where.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) {
        auto out = system_error(fmt::format("cannot open control group '{}'", escape(where.cgroup)),
                                errno);
        out.fault = Fault::input;
        return fail(std::move(out));
    }
    LibbpfWords const words;
    Fd link(bpf_link_create(program.fd, folder.get(),
                            static_cast<bpf_attach_type>(hook.attach_type), nullptr));
    if (link) return by_link("cgroup", where.cgroup, std::move(link));
    auto out = refused(hook, where.cgroup, errno);
    if (errno == EBADF || errno == EINVAL)
        out.notes.push_back({"it has to be a folder of cgroup version 2", std::nullopt});
    return fail(std::move(out));
}

Result<Attached> to_netfilter(HookRow const& hook, Program const& program, Where const& where) {
    auto place = parse_netfilter_family(where.netfilter);
    if (!place)
        return fail(wrong(fmt::format("'{}' is no netfilter family", escape(where.netfilter)),
                          "--nf takes ipv4 or ipv6, and a priority behind a colon: ipv4:-100"));
    place->hook = static_cast<std::uint32_t>(hook.hook) -
                  static_cast<std::uint32_t>(Hook::netfilter_prerouting);
    Fd link = link_netfilter(program.fd, *place);
    if (!link) return fail(refused(hook, where.netfilter, errno));
    return by_link("netfilter", where.netfilter, std::move(link));
}

Result<Attached> to_packet_socket(HookRow const&, Program const& program, Where const& where) {
    auto socket = packet_socket(where.interface, program.fd, where.direction);
    if (!socket) return fail(socket.error());
    return Attached{.kind = "socket",
                    .target = where.interface,
                    .mode = "ebpf",
                    .lifetime = Lifetime::fd,
                    .holder = std::move(*socket)};
}

// ---- What stays without a link

Attached by_table(std::string_view kind, std::string target) {
    return {.kind = std::string(kind),
            .target = std::move(target),
            .mode = std::string(kind),
            .lifetime = Lifetime::sticky};
}

Result<Facts> prepare_clsact(HookRow const&, Program const&, Where const& where) {
    auto const index = interface_index(where.interface);
    if (!index) return fail(index.error());
    return Facts{
        {"target", where.interface}, {"mode", "clsact"}, {"ifindex", std::to_string(*index)}};
}
Result<Attached> to_clsact(HookRow const& hook, Program const& program, Where const& where) {
    auto const index = interface_index(where.interface);
    if (!index) return fail(index.error());
    if (auto added =
            add_tc_filter(program.fd, *index, hook.hook == Hook::tc_egress, where.priority);
        !added)
        return fail(added.error());
    return by_table("clsact", where.interface);
}
Result<void> from_clsact(Pinned const& pinned) {
    return remove_tc_filter(pinned.program(), number_in<std::uint32_t>(pinned, "ifindex"),
                            fact(pinned.about, "hook") == row(Hook::tc_egress).name);
}

// The program's ID is nobody else's, so that it serves as the action's.
Result<Facts> prepare_action(HookRow const&, Program const& program, Where const&) {
    std::string const index = std::to_string(program.id);
    return Facts{{"target", index}, {"mode", "action"}, {"index", index}};
}
Result<Attached> to_action(HookRow const&, Program const& program, Where const&) {
    if (auto made = add_tc_action(program.fd, program.id, program.name); !made)
        return fail(made.error());
    auto out = by_table("action", fmt::format("{}", program.id));
    out.note = fmt::format("filters of tc run it by `action bpf index {}`", program.id);
    return out;
}
Result<void> from_action(Pinned const& pinned) {
    return remove_tc_action(number_in<std::uint32_t>(pinned, "index"));
}

// As libbpf names tc's filters; what is looked for again.
std::string name_of(Program const& program) {
    return fmt::format("{}:[{}]", program.name, program.id);
}
Result<Facts> prepare_route(HookRow const&, Program const& program, Where const& where) {
    return Facts{{"target", where.route}, {"mode", "route"}, {"name", name_of(program)}};
}
Result<Attached> to_route(HookRow const& hook, Program const& program, Where const& where) {
    if (auto added = add_to_route(program.fd, where.route, hook.hook, name_of(program)); !added)
        return fail(added.error());
    return by_table("route", where.route);
}
Result<void> from_route(Pinned const& pinned) {
    return remove_from_route(std::string(fact(pinned.about, "target")),
                             std::string(fact(pinned.about, "name")));
}

// ---- Sockets of other processes

constexpr std::string_view uses[] = {"filter", "reuseport", "fanout"};
std::string_view name_of(SocketUse use) { return uses[static_cast<std::size_t>(use)]; }

std::string socket_name(Where const& where) {
    return fmt::format("{}:{}", where.process, where.fd);
}

Result<Facts> prepare_socket(HookRow const&, Program const& program, Where const& where) {
    auto const socket = ProcessSocket::open(where.process, where.fd);
    if (!socket) return fail(socket.error());
    Facts facts{{"target", socket_name(where)},
                {"mode", program.fd < 0 ? "classic" : "ebpf"},
                {"process", std::to_string(where.process)},
                {"fd", std::to_string(where.fd)},
                {"cookie", std::to_string(socket->cookie())},
                {"use", std::string(name_of(where.use))}};
    if (where.use != SocketUse::filter) return facts;
    if (socket->locked())
        return fail(
            {"the socket's filter is locked (SO_LOCK_FILTER): it stays until the socket is "
             "closed",
             std::nullopt,
             {},
             Fault::system});
    auto const old = socket->filter();
    if (old && !old->insns.empty()) facts.emplace_back("replaced", cbpf::bytecode(*old));
    if (old || where.replace == "ebpf") return facts;
    Diagnostic why = old.error();
    why.notes.push_back(
        {"an eBPF filter cannot be saved: `--replace ebpf` gives it up", std::nullopt});
    return fail(std::move(why));
}

Result<Attached> to_socket(HookRow const&, Program const& program, Where const& where) {
    auto const socket = ProcessSocket::open(where.process, where.fd);
    if (!socket) return fail(socket.error());
    bool const classic = program.fd < 0;
    auto const set =
        classic ? socket->set(where.use, program.classic) : socket->set(where.use, program.fd);
    if (!set) return fail(set.error());
    auto out = by_table("process", socket_name(where));
    out.mode = classic ? "classic" : "ebpf";
    if (!where.lock) return out;
    if (auto locked = socket->lock(); !locked) {
        static_cast<void>(socket->clear(where.use));
        return fail(locked.error());
    }
    out.note = "the filter is locked: it stays until the socket is closed";
    return out;
}

// A socket that is closed took its filter along.
Result<void> from_socket(Pinned const& pinned) {
    auto const socket =
        ProcessSocket::open(number_in<pid_t>(pinned, "process"), number_in<int>(pinned, "fd"));
    if (!socket && socket.error().fault == Fault::input) return {};
    if (!socket) return fail(socket.error());
    if (std::to_string(socket->cookie()) != fact(pinned.about, "cookie")) return {};
    auto const* use = std::find(std::begin(uses), std::end(uses), fact(pinned.about, "use"));
    auto const old = fact(pinned.about, "replaced");
    if (old.empty()) return socket->clear(static_cast<SocketUse>(use - std::begin(uses)));
    auto const program = cbpf::read(std::string(old));
    if (!program) return fail(program.error());
    return socket->set(SocketUse::filter, program->insns);
}

// ---- The table

constexpr auto link = Lifetime::link, sticky = Lifetime::sticky;
constexpr Kind kinds[] = {
    {"xdp", link, Needs::interface, to_xdp},
    {"tcx", link, Needs::interface, to_tcx},
    {"clsact", sticky, Needs::interface, to_clsact, prepare_clsact, from_clsact, true},
    {"action", sticky, Needs::nothing, to_action, prepare_action, from_action, true},
    {"cgroup", link, Needs::cgroup, to_cgroup},
    {"netfilter", link, Needs::netfilter, to_netfilter},
    {"route", sticky, Needs::route, to_route, prepare_route, from_route, true},
    {"socket", Lifetime::fd, Needs::interface, to_packet_socket},
    {"process", sticky, Needs::process, to_socket, prepare_socket, from_socket},
};

}  // namespace

Kind const* find_kind(std::string_view name) {
    auto const* at = std::find_if(std::begin(kinds), std::end(kinds),
                                  [&](Kind const& kind) { return kind.name == name; });
    return at == std::end(kinds) ? nullptr : at;
}

}  // namespace tamis::runtime
