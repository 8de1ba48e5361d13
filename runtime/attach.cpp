#include "runtime/attach.h"

#include <algorithm>
#include <iterator>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>

#include "runtime/attach_kinds.h"
#include "runtime/links.h"
#include "runtime/netns.h"
#include "runtime/sticky.h"

namespace tamis::runtime {
namespace {

Diagnostic wrong(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

// ---- What the options say

struct Option {
    Needs of;
    std::string_view name, what;
    bool (*said)(Where const&);
};
constexpr Option options[] = {
    {Needs::interface, "-i IF", "a network interface",
     [](Where const& w) { return !w.interface.empty(); }},
    {Needs::cgroup, "--cgroup PATH", "a control group",
     [](Where const& w) { return !w.cgroup.empty(); }},
    {Needs::netfilter, "--nf FAMILY[:PRIORITY]", "a protocol family",
     [](Where const& w) { return !w.netfilter.empty(); }},
    {Needs::route, "--route PREFIX", "a route", [](Where const& w) { return !w.route.empty(); }},
    {Needs::process, "--pid PID --fd N", "a process and its descriptor",
     [](Where const& w) { return w.process > 0 && w.fd >= 0; }},
};

// Options that are for some kinds only.
struct Special {
    std::string_view name, kinds;
    bool (*said)(Where const&);
};
constexpr Special specials[] = {
    {"--mode", "xdp tcx clsact", [](Where const& w) { return w.mode != "auto"; }},
    {"--before and --after", "tcx",
     [](Where const& w) { return !w.before.empty() || !w.after.empty(); }},
    {"--priority", "clsact", [](Where const& w) { return w.priority != 0; }},
    {"--replace", "xdp process", [](Where const& w) { return !w.replace.empty(); }},
    {"--lock", "process", [](Where const& w) { return w.lock; }},
    {"--group", "process", [](Where const& w) { return w.use != SocketUse::filter; }},
};

Result<std::string_view> tc_kind(Where const& where) {
    if (where.mode == "tcx" || where.mode == "clsact") return std::string_view(where.mode);
    if (where.mode == "auto") return has_tcx() ? "tcx" : "clsact";
    return fail(wrong(fmt::format("unknown mode '{}'", escape(where.mode)),
                      "at tc, --mode takes auto, tcx or clsact"));
}

Result<std::string_view> kind_name(Hook hook, Where const& where) {
    switch (hook) {
        case Hook::socket:
            return where.process > 0 || where.fd >= 0 ? "process" : "socket";
        case Hook::xdp:
        case Hook::xdp_frags:
            return "xdp";
        case Hook::tc_ingress:
        case Hook::tc_egress:
            return tc_kind(where);
        case Hook::tc_action:
            return "action";
        case Hook::cgroup_ingress:
        case Hook::cgroup_egress:
            return "cgroup";
        case Hook::lwt_in:
        case Hook::lwt_out:
        case Hook::lwt_xmit:
            return "route";
        case Hook::netfilter_prerouting:
        case Hook::netfilter_input:
        case Hook::netfilter_forward:
        case Hook::netfilter_output:
        case Hook::netfilter_postrouting:
            return "netfilter";
    }
    return std::string_view();
}

Result<Kind const*> choose(HookRow const& hook, Where const& where) {
    auto const name = kind_name(hook.hook, where);
    if (!name) return fail(name.error());
    Kind const* kind = find_kind(*name);
    for (Option const& option : options) {
        if (option.of == kind->needs && !option.said(where))
            return fail(wrong(fmt::format("the hook '{}' needs {}", hook.name, option.what),
                              fmt::format("name it with {}", option.name)));
        if (option.of != kind->needs && option.said(where))
            return fail(wrong(fmt::format("the hook '{}' takes no {}", hook.name, option.name),
                              "docs/hooks.md says what each hook takes"));
    }
    for (Special const& option : specials)
        if (option.said(where) && option.kinds.find(kind->name) == option.kinds.npos)
            return fail(wrong(
                fmt::format("{} is not for what is attached here ({})", option.name, kind->name),
                fmt::format("it is for: {}", option.kinds)));
    return kind;
}

// Links of tcx and of control groups begin like those of XDP with the number of their target, which
// is 0 when that is gone; those of netfilter have no such target.
bool is_orphan(Fd const& link, std::string_view kind) {
    bpf_link_info info{};
    std::uint32_t size = sizeof info;
    bool const has_target = kind == "xdp" || kind == "tcx" || kind == "cgroup";
    return has_target && bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0 &&
           info.xdp.ifindex == 0;
}

// Into the network namespace of what is detached, if it says one, and back.
class NamespaceVisit {
  public:
    static Result<NamespaceVisit> enter(Pinned const& pinned) {
        NamespaceVisit out;
        std::string const name(fact(pinned.about, "netns"));
        auto const there = fact(pinned.about, "netns-inode");
        if (there.empty() || there == network_namespace()) return out;
        out.home_ = Fd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
        if (!name.empty())
            if (auto entered = enter_network_namespace(name);
                !entered && entered.error().fault != Fault::input)
                return fail(entered.error());
        if (network_namespace() == there) return out;
        out.gone = !name.empty();
        if (out.gone) return out;
        return fail({fmt::format("'{}' was attached in another network namespace", pinned.name),
                     std::nullopt,
                     {{"run `tamis detach` there", std::nullopt}},
                     Fault::system});
    }
    NamespaceVisit(NamespaceVisit&&) = default;
    NamespaceVisit& operator=(NamespaceVisit&&) = delete;
    ~NamespaceVisit() {
        if (home_) setns(home_.get(), CLONE_NEWNET);
    }
    bool gone = false;  // the namespace, and what was attached there with it

  private:
    NamespaceVisit() = default;
    Fd home_;
};

}  // namespace

Result<void> check(HookRow const& hook, Where const& where, std::string const& pin) {
    auto const kind = choose(hook, where);
    if (!kind) return fail(kind.error());
    if ((*kind)->lifetime == Lifetime::sticky && pin.empty())
        return fail(
            wrong(fmt::format("what is attached here ({}) stays when tamis ends", (*kind)->name),
                  "give it a name to find it by, with --pin NAME"));
    if ((*kind)->lifetime == Lifetime::fd && !pin.empty())
        return fail(wrong("a socket of our own ends with us: it cannot be pinned",
                          "leave --pin out, or name another process's socket"));
    return pin.empty() ? Result<void>() : check_pin_name(pin);
}

std::string program_name(std::string const& pin) {
    std::string name = ("tamis_" + pin).substr(0, 15);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

Result<Attached> attach(HookRow const& hook, Program const& program, Where const& where) {
    if (auto const good = check(hook, where, {}); !good) return fail(good.error());
    return (*choose(hook, where))->attach(hook, program, where);
}

Result<void> Attached::still_there() const {
    if (lifetime != Lifetime::link || !is_orphan(holder, kind)) return {};
    return fail({fmt::format("'{}' is gone, and the filter with it", escape(target)),
                 std::nullopt,
                 {},
                 Fault::system});
}

bool target_is_gone(Pinned const& pinned) {
    auto const link = pinned.has("link") ? pinned.open("link") : Result<Fd>(Fd());
    return link && is_orphan(*link, fact(pinned.about, "kind"));
}

Result<void> Attached::end() {
    if (!replaced) return {};
    bpf_link_detach(holder.get());  // what the kernel calls alone, libbpf says nothing about
    return put_back(*replaced);
}

Result<Attached> attach_pinned(HookRow const& hook, Program const& program, Where const& where,
                               std::string const& name, Facts about) {
    if (auto const good = check(hook, where, name); !good) return fail(good.error());
    Kind const& kind = **choose(hook, where);
    auto pin = Pin::create(name);
    if (!pin) return fail(pin.error());
    if (program.fd >= 0)
        if (auto added = pin->add("prog", program.fd); !added) return fail(added.error());
    if (program.counters >= 0)
        if (auto added = pin->add("counters", program.counters); !added) return fail(added.error());

    about.insert(about.begin(),
                 {{"kind", std::string(kind.name)}, {"hook", std::string(hook.name)}});
    about.emplace_back("netns-inode", network_namespace());
    if (kind.lifetime == Lifetime::sticky) {
        // What it takes to find it again is written down before it is there.
        auto const found = kind.prepare(hook, program, where);
        if (!found) return fail(found.error());
        about.insert(about.end(), found->begin(), found->end());
        if (auto described = pin->describe(about); !described) return fail(described.error());
        auto attached = kind.attach(hook, program, where);
        if (attached) pin->keep();
        return attached;
    }

    auto attached = kind.attach(hook, program, where);
    if (!attached) return attached;
    about.emplace_back("mode", attached->mode);
    about.emplace_back("target", attached->target);
    auto const kept = [&]() -> Result<void> {
        if (auto const& old = attached->replaced) {
            about.emplace_back("ifindex", std::to_string(old->interface));
            about.emplace_back("replaced-mode",
                               old->mode == XdpMode::native ? "native" : "generic");
            if (auto added = pin->add("replaced", old->program.get()); !added) return added;
        }
        if (auto described = pin->describe(about); !described) return described;
        return pin->add("link", attached->holder.get());
    }();
    if (!kept) {
        static_cast<void>(attached->end());
        return fail(kept.error());
    }
    pin->keep();
    return attached;
}

Result<void> detach(Pinned const& pinned) {
    Kind const* kind = find_kind(fact(pinned.about, "kind"));
    bool const replaced = pinned.has("replaced");
    auto const visit = NamespaceVisit::enter((kind && kind->local) || replaced ? pinned : Pinned{});
    if (!visit) return fail(visit.error());
    if (kind && kind->detach && !visit->gone)
        if (auto done = kind->detach(pinned); !done) return done;
    std::optional<XdpReplaced> old;
    if (replaced && !visit->gone)
        if (auto program = pinned.open("replaced"))
            old = XdpReplaced{std::move(*program), number_in<std::uint32_t>(pinned, "ifindex"),
                              fact(pinned.about, "replaced-mode") == "native" ? XdpMode::native
                                                                              : XdpMode::generic};
    if (auto done = unpin(pinned); !done) return done;
    return old ? put_back(*old) : Result<void>();
}

namespace {

Result<std::vector<Sticky>> unpinned() {
    auto all = sticky_tc_filters();
    if (!all) return all;
    auto const routes = sticky_routes();
    if (!routes) return routes;
    all->insert(all->end(), routes->begin(), routes->end());
    auto const pins = all_pinned();
    if (!pins) return fail(pins.error());
    for (Pinned const& pinned : *pins)
        std::erase_if(
            *all, [id = pinned.program()](Sticky const& sticky) { return sticky.program == id; });
    return all;
}

std::string bare_name(Sticky const& sticky) { return sticky.name.substr(0, sticky.name.find(':')); }

}  // namespace

Result<std::vector<Leftover>> leftovers() {
    auto const all = unpinned();
    if (!all) return fail(all.error());
    std::vector<Leftover> out;
    for (Sticky const& found : *all) out.push_back({bare_name(found), found.place});
    return out;
}

Result<std::size_t> remove_leftovers(std::string const& pin) {
    auto const all = unpinned();
    if (!all) return fail(all.error());
    std::size_t count = 0;
    for (Sticky const& found : *all) {
        if (bare_name(found) != program_name(pin)) continue;
        if (auto const done = remove(found); !done) return fail(done.error());
        ++count;
    }
    return count;
}

}  // namespace tamis::runtime
