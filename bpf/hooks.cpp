// The hook table.  Numbers are the kernel's ABI (linux/bpf.h, linux/pkt_cls.h); ours, because
// distribution headers are older than the kernels that run.
#include "bpf/hooks.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "bpf/link_types.h"

namespace tamis {
namespace {

// clang-format off
constexpr ActionName socket_actions[] = {
    {"keep", 0, Arg::bytes},  // the classic program's value, or that many bytes
    {"drop", 0},
};
constexpr ActionName xdp_actions[] = {
    {"abort", 0}, {"drop", 1}, {"pass", 2}, {"tx", 3}, {"redirect", 4, Arg::interface},
};
// TC_ACT_UNSPEC hands the packet to the next program; TC_ACT_OK ends the chain of programs and lets it go on.
constexpr ActionName tc_actions[] = {
    {"next", -1}, {"ok", 0}, {"shot", 2}, {"redirect", 7, Arg::interface},
};

constexpr ActionName tc_action_actions[] = {
    {"pipe", 3}, {"ok", 0}, {"shot", 2},
};
constexpr ActionName cgroup_actions[] = {
    {"drop", 0}, {"pass", 1},
};
constexpr ActionName lwt_actions[] = {
    {"ok", 0}, {"drop", 2},
};
constexpr ActionName netfilter_actions[] = {
    {"drop", 0}, {"accept", 1},
};

constexpr ContextFields sk_buff{.len = 0, .data = 76, .data_end = 80};
constexpr ContextFields xdp_md{.len = -1, .data = 0, .data_end = 4};
constexpr ContextFields nf_ctx{};

using cbpf::Anc;
constexpr Metadata sk_buff_metadata[] = {
    {Anc::pkttype, 4},   {Anc::mark, 8},     {Anc::queue, 12},  {Anc::protocol, 16, true}, {Anc::vlan_tag_present, 20},
    {Anc::vlan_tag, 24}, {Anc::vlan_tpid, 28, true}, {Anc::ifindex, 40}, {Anc::rxhash, 68},
};
// rx_queue_index is not skb->queue_mapping.
constexpr Metadata xdp_metadata[] = {{Anc::ifindex, 12}};

constexpr std::uint32_t xdp_has_frags = 1U << 5;  // BPF_F_XDP_HAS_FRAGS
constexpr std::string_view pointers_need = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";

constexpr HookRow xdp_row(Hook hook, std::string_view name, std::string_view section, bool linear) {
    return {.hook = hook, .name = name, .prog_type = 6, .attach_type = 37, .section = section,
            .access = Access::pointer, .start = Start::device, .vlan = VlanTag::packet, .context = "xdp_md",
            .fields = xdp_md, .metadata = xdp_metadata, .linear = linear, .flags = linear ? 0 : xdp_has_frags,
            .softirq_only = true, .actions = xdp_actions, .match = "pass", .no_match = "pass",
            .lifetime = Lifetime::link, .capabilities = pointers_need, .since = linear ? "4.8" : "5.18"};
}

struct Skb {
    Hook hook;
    std::string_view name;
    std::uint32_t prog_type, attach_type;
    std::string_view section;
    Start start;
    bool softirq_only;
    std::span<ActionName const> actions;
    std::string_view action;  // by default, either way: the packet goes on to the next program
    Lifetime lifetime;
    std::string_view since;
};
// Hooks that see a socket buffer through __sk_buff.
constexpr HookRow skb_row(Skb const& h) {
    return {.hook = h.hook, .name = h.name, .prog_type = h.prog_type, .attach_type = h.attach_type, .section = h.section,
            .access = Access::pointer, .start = h.start,
            .vlan = h.start == Start::device ? VlanTag::metadata : VlanTag::none, .context = "__sk_buff",
            .fields = sk_buff, .metadata = sk_buff_metadata, .linear = false, .flags = 0,
            .softirq_only = h.softirq_only, .actions = h.actions, .match = h.action, .no_match = h.action,
            .lifetime = h.lifetime, .capabilities = pointers_need, .since = h.since};
}

// bpf_dynptr_size, which 6.4 lacks, tells the length.
constexpr HookRow netfilter_row(Hook hook, std::string_view name) {
    return {.hook = hook, .name = name, .prog_type = 32, .attach_type = 45, .section = "netfilter",
            .access = Access::dynptr, .start = Start::network, .vlan = VlanTag::none, .context = "bpf_nf_ctx",
            .fields = nf_ctx, .metadata = {}, .linear = false, .flags = 0,
            .softirq_only = false, .actions = netfilter_actions, .match = "accept", .no_match = "accept",
            .lifetime = Lifetime::link, .capabilities = pointers_need, .since = "6.5"};
}

constexpr auto link = Lifetime::link, sticky = Lifetime::sticky;
constexpr auto device = Start::device, network = Start::network;

constexpr HookRow table[] = {
    {.hook = Hook::socket, .name = "socket", .prog_type = 1, .attach_type = 0, .section = "socket",
     .access = Access::ld_abs, .start = device, .vlan = VlanTag::metadata, .context = "__sk_buff", .fields = sk_buff,
     .metadata = sk_buff_metadata, .linear = false, .flags = 0, .softirq_only = false,
     .actions = socket_actions, .match = "keep", .no_match = "drop",
     .lifetime = Lifetime::fd, .capabilities = "CAP_NET_RAW and, for eBPF, CAP_BPF", .since = "3.19"},
    xdp_row(Hook::xdp, "xdp", "xdp", true),
    xdp_row(Hook::xdp_frags, "xdp-frags", "xdp.frags", false),
    skb_row({Hook::tc_ingress, "tc-ingress", 3, 0, "tc", device, true, tc_actions, "next", link, "4.5"}),
    skb_row({Hook::tc_egress, "tc-egress", 3, 0, "tc", device, true, tc_actions, "next", link, "4.5"}),
    skb_row({Hook::tc_action, "tc-action", 4, 0, "action", device, true, tc_action_actions, "pipe", sticky, "4.1"}),
    // On their way out packets are seen in process context.
    skb_row({Hook::cgroup_ingress, "cgroup-ingress", 8, 0, "cgroup_skb/ingress", network, false, cgroup_actions, "pass", link, "5.7"}),
    skb_row({Hook::cgroup_egress, "cgroup-egress", 8, 1, "cgroup_skb/egress", network, false, cgroup_actions, "pass", link, "5.7"}),
    skb_row({Hook::lwt_in, "lwt-in", 10, 0, "lwt_in", network, false, lwt_actions, "ok", sticky, "4.10"}),
    skb_row({Hook::lwt_out, "lwt-out", 11, 0, "lwt_out", network, false, lwt_actions, "ok", sticky, "4.10"}),
    skb_row({Hook::lwt_xmit, "lwt-xmit", 12, 0, "lwt_xmit", network, false, lwt_actions, "ok", sticky, "4.10"}),
    netfilter_row(Hook::netfilter_prerouting, "netfilter-prerouting"),
    netfilter_row(Hook::netfilter_input, "netfilter-input"),
    netfilter_row(Hook::netfilter_forward, "netfilter-forward"),
    netfilter_row(Hook::netfilter_output, "netfilter-output"),
    netfilter_row(Hook::netfilter_postrouting, "netfilter-postrouting"),
};
// clang-format on

constexpr bool in_order() {
    for (std::size_t i = 0; i < std::size(table); ++i)
        if (table[i].hook != static_cast<Hook>(i)) return false;
    return true;
}
static_assert(in_order(), "row(hook) is an index");

}  // namespace

std::span<HookRow const> hooks() { return table; }

HookRow const& row(Hook hook) { return table[static_cast<std::size_t>(hook)]; }

HookRow const* find_hook(std::string_view name) {
    auto const* at = std::find_if(std::begin(table), std::end(table),
                                  [&](HookRow const& h) { return h.name == name; });
    return at == std::end(table) ? nullptr : at;
}

ActionName const* find_action(HookRow const& hook, std::string_view name) {
    auto const at = std::find_if(hook.actions.begin(), hook.actions.end(),
                                 [&](ActionName const& a) { return a.name == name; });
    return at == hook.actions.end() ? nullptr : &*at;
}

int default_link_type(HookRow const& hook) {
    return hook.start == Start::device ? en10mb : dlt_raw;
}

HookRow bounds_only(HookRow const& hook, Access access) {
    HookRow out = hook;
    out.access = access;
    out.context = {};
    out.fields = {};
    out.metadata = {};
    out.linear = true;
    return out;
}

Metadata const* find_metadata(HookRow const& hook, cbpf::Anc number) {
    auto const at = std::find_if(hook.metadata.begin(), hook.metadata.end(),
                                 [&](Metadata const& m) { return m.number == number; });
    return at == hook.metadata.end() ? nullptr : &*at;
}

}  // namespace tamis
