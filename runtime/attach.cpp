#include "runtime/attach.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iterator>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/core.h>

#include "runtime/libbpf_words.h"
#include "runtime/links.h"
#include "runtime/privilege.h"

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
                    .holder = std::move(link),
                    .note = {}};
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
    auto link = attach_xdp(program.fd, where.interface, *mode);
    if (!link) return fail(link.error());
    auto out = by_link("xdp", where.interface, std::move(link->link));
    out->mode = link->mode == XdpMode::native ? "native" : "generic";
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

std::uint32_t id_of_program(Pinned const& pinned) {
    auto const program = pinned.open("prog");
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!program || bpf_obj_get_info_by_fd(program->get(), &info, &size) != 0) return 0;
    return info.id;
}

// The program that --before or --after means.
Result<std::uint32_t> neighbour(std::string const& text, std::vector<std::uint32_t> const& there) {
    std::uint32_t id = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    bool const is_id = error == std::errc{} && end == text.data() + text.size();
    if (auto const pinned = find_pinned(text); !is_id && pinned) id = id_of_program(*pinned);
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
                    .holder = std::move(*socket),
                    .note = {}};
}

// ---- The table

enum class Needs : std::uint8_t { interface, cgroup, netfilter };

struct Kind {
    std::string_view name;
    Lifetime lifetime;
    Needs needs;
    Result<Attached> (*attach)(HookRow const&, Program const&, Where const&);
};
constexpr Kind kinds[] = {
    {"xdp", Lifetime::link, Needs::interface, to_xdp},
    {"tcx", Lifetime::link, Needs::interface, to_tcx},
    {"cgroup", Lifetime::link, Needs::cgroup, to_cgroup},
    {"netfilter", Lifetime::link, Needs::netfilter, to_netfilter},
    {"socket", Lifetime::fd, Needs::interface, to_packet_socket},
};

struct Option {
    Needs of;
    std::string_view name, what;
    std::string Where::*value;
};
constexpr Option options[] = {
    {Needs::interface, "-i IF", "a network interface", &Where::interface},
    {Needs::cgroup, "--cgroup PATH", "a control group", &Where::cgroup},
    {Needs::netfilter, "--nf FAMILY[:PRIORITY]", "a protocol family", &Where::netfilter},
};

std::string_view kind_name(Hook hook) {
    switch (hook) {
        case Hook::socket:
            return "socket";
        case Hook::xdp:
        case Hook::xdp_frags:
            return "xdp";
        case Hook::tc_ingress:
        case Hook::tc_egress:
            return "tcx";
        case Hook::cgroup_ingress:
        case Hook::cgroup_egress:
            return "cgroup";
        case Hook::netfilter_prerouting:
        case Hook::netfilter_input:
        case Hook::netfilter_forward:
        case Hook::netfilter_output:
        case Hook::netfilter_postrouting:
            return "netfilter";
        case Hook::tc_action:
        case Hook::lwt_in:
        case Hook::lwt_out:
        case Hook::lwt_xmit:
            return {};
    }
    return {};
}

Result<Kind const*> choose(HookRow const& hook, Where const& where) {
    auto const* kind = std::find_if(std::begin(kinds), std::end(kinds), [&](Kind const& row) {
        return row.name == kind_name(hook.hook);
    });
    if (kind == std::end(kinds))
        return fail(wrong(fmt::format("attaching at {} is not supported yet", hook.name),
                          "compile an object with -o and load it with tc or ip"));
    for (Option const& option : options) {
        bool const said = !(where.*option.value).empty();
        if (option.of == kind->needs && !said)
            return fail(wrong(fmt::format("the hook '{}' needs {}", hook.name, option.what),
                              fmt::format("name it with {}", option.name)));
        if (option.of != kind->needs && said)
            return fail(wrong(fmt::format("the hook '{}' takes no {}", hook.name, option.name),
                              "docs/hooks.md says what each hook takes"));
    }
    if (kind->name != "tcx" && !(where.before.empty() && where.after.empty()))
        return fail(wrong(fmt::format("the hook '{}' has no order of programs", hook.name),
                          "--before and --after are for tcx"));
    return kind;
}

}  // namespace

Result<void> check(HookRow const& hook, Where const& where) {
    if (auto const kind = choose(hook, where); !kind) return fail(kind.error());
    return {};
}

std::string program_name(std::string const& pin) {
    std::string name = ("tamis_" + pin).substr(0, 15);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

Result<Attached> attach(HookRow const& hook, Program const& program, Where const& where) {
    auto const kind = choose(hook, where);
    if (!kind) return fail(kind.error());
    if ((*kind)->lifetime == Lifetime::sticky)
        return fail(wrong(fmt::format("what is attached at {} stays when tamis ends", hook.name),
                          "give it a name to find it by, with --pin NAME"));
    return (*kind)->attach(hook, program, where);
}

Result<Attached> attach_pinned(HookRow const& hook, Program const& program, Where const& where,
                               std::string const& name, Facts about) {
    auto const kind = choose(hook, where);
    if (!kind) return fail(kind.error());
    if ((*kind)->lifetime == Lifetime::fd)
        return fail(wrong("a socket of our own ends with us: it cannot be pinned",
                          "leave --pin out, or name another process's socket"));
    auto pin = Pin::create(name);
    if (!pin) return fail(pin.error());
    if (auto added = pin->add("prog", program.fd); !added) return fail(added.error());
    if (auto added = pin->add("counters", program.counters); !added) return fail(added.error());
    auto attached = (*kind)->attach(hook, program, where);
    if (!attached) return attached;
    Facts facts{{"kind", attached->kind},
                {"hook", std::string(hook.name)},
                {"target", attached->target},
                {"mode", attached->mode}};
    facts.insert(facts.end(), about.begin(), about.end());
    if (auto described = pin->describe(facts); !described) return fail(described.error());
    if (auto added = pin->add("link", attached->holder.get()); !added) return fail(added.error());
    pin->keep();
    return attached;
}

Result<void> detach(Pinned const& pinned) { return unpin(pinned); }

}  // namespace tamis::runtime
