// The hook table.  Numbers are the kernel's ABI (linux/bpf.h, linux/pkt_cls.h); ours, because
// distribution headers are older than the kernels that run.
#include "bpf/hooks.h"

#include <algorithm>
#include <array>
#include <iterator>

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

constexpr ContextFields sk_buff{.len = 0, .data = 76, .data_end = 80};
constexpr ContextFields xdp_md{.len = -1, .data = 0, .data_end = 4};

constexpr HookRow table[] = {
    {.hook = Hook::socket, .name = "socket", .prog_type = 1, .attach_type = 0, .section = "socket",
     .access = Access::ld_abs, .context = "__sk_buff", .fields = sk_buff, .softirq_only = false,
     .actions = socket_actions, .match = "keep", .no_match = "drop",
     .lifetime = Lifetime::fd, .capabilities = "CAP_NET_RAW and, for eBPF, CAP_BPF"},
    {.hook = Hook::xdp, .name = "xdp", .prog_type = 6, .attach_type = 37, .section = "xdp",
     .access = Access::pointer, .context = "xdp_md", .fields = xdp_md, .softirq_only = true,
     .actions = xdp_actions, .match = "pass", .no_match = "pass",
     .lifetime = Lifetime::link, .capabilities = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"},
    {.hook = Hook::tc_ingress, .name = "tc-ingress", .prog_type = 3, .attach_type = 0, .section = "tc",
     .access = Access::ld_abs, .context = "__sk_buff", .fields = sk_buff, .softirq_only = true,
     .actions = tc_actions, .match = "next", .no_match = "next",
     .lifetime = Lifetime::link, .capabilities = "CAP_BPF and CAP_NET_ADMIN"},
    {.hook = Hook::tc_egress, .name = "tc-egress", .prog_type = 3, .attach_type = 0, .section = "tc",
     .access = Access::ld_abs, .context = "__sk_buff", .fields = sk_buff, .softirq_only = true,
     .actions = tc_actions, .match = "next", .no_match = "next",
     .lifetime = Lifetime::link, .capabilities = "CAP_BPF and CAP_NET_ADMIN"},
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

}  // namespace tamis
