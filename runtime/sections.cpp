// Sources: libbpf's documentation of section names ("Program Types and ELF Sections"), linux/bpf.h,
// and the versions in which each attachment appeared.
#include "runtime/sections.h"

#include <linux/bpf.h>

namespace tamis::runtime {
namespace {

// Newer than the headers that we are built with.
constexpr std::uint32_t prog_type_netfilter = 32;
constexpr std::uint32_t attach_netfilter = 45, attach_tcx_ingress = 46, attach_tcx_egress = 47;
constexpr std::uint32_t attach_unix_connect = 49, attach_unix_sendmsg = 50,
                        attach_unix_recvmsg = 51, attach_unix_getpeername = 52,
                        attach_unix_getsockname = 53;
constexpr std::uint32_t attach_uprobe_multi = 48, attach_kprobe_session = 56,
                        attach_uprobe_session = 57;
constexpr std::uint32_t attach_netkit_primary = 54, attach_netkit_peer = 55;

using By = AttachBy;
using enum Tail;
constexpr auto kprobes = Part::kprobes, fprobes = Part::fprobes, uprobes = Part::uprobes,
               tracepoints = Part::tracepoints, trampolines = Part::trampolines, lsm = Part::lsm;

constexpr std::string_view by_route = "a route carries it: `ip route add PREFIX encap bpf ...`";
constexpr std::string_view by_map = "it runs when its entry in a map of the kernel's is used";

// clang-format off
constexpr SectionRow table[] = {
    // name                    tail      type                           expected attach type           attached by         target              since     part
    {"socket",                 any,      BPF_PROG_TYPE_SOCKET_FILTER,   0,                             By::packet_socket,  Target::interface,  {3, 19}},
    {"kprobe",                 required, BPF_PROG_TYPE_KPROBE,          0,                             By::kprobe,         Target::none,       {4, 1},   kprobes},
    {"kretprobe",              required, BPF_PROG_TYPE_KPROBE,          0,                             By::kprobe,         Target::none,       {4, 1},   kprobes},
    {"kprobe.multi",           required, BPF_PROG_TYPE_KPROBE,          BPF_TRACE_KPROBE_MULTI,        By::libbpf,         Target::none,       {5, 18},  fprobes},
    {"kretprobe.multi",        required, BPF_PROG_TYPE_KPROBE,          BPF_TRACE_KPROBE_MULTI,        By::libbpf,         Target::none,       {5, 18},  fprobes},
    {"kprobe.session",          required, BPF_PROG_TYPE_KPROBE,          attach_kprobe_session,         By::kprobe_session, Target::none,       {6, 10},  fprobes},
    {"ksyscall",               required, BPF_PROG_TYPE_KPROBE,          0,                             By::kprobe,         Target::none,       {4, 17},  kprobes},
    {"kretsyscall",            required, BPF_PROG_TYPE_KPROBE,          0,                             By::kprobe,         Target::none,       {4, 17},  kprobes},
    {"uprobe",                 optional, BPF_PROG_TYPE_KPROBE,          0,                             By::uprobe,         Target::binary,     {4, 17},  uprobes},
    {"uretprobe",              optional, BPF_PROG_TYPE_KPROBE,          0,                             By::uprobe,         Target::binary,     {4, 17},  uprobes},
    {"uprobe.s",               optional, BPF_PROG_TYPE_KPROBE,          0,                             By::uprobe,         Target::binary,     {6, 0},   uprobes},
    {"uretprobe.s",            optional, BPF_PROG_TYPE_KPROBE,          0,                             By::uprobe,         Target::binary,     {6, 0},   uprobes},
    {"uprobe.multi",            required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_multi,           By::uprobes,        Target::binary,     {6, 6},   uprobes},
    {"uretprobe.multi",         required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_multi,           By::uprobes,        Target::binary,     {6, 6},   uprobes},
    {"uprobe.multi.s",          required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_multi,           By::uprobes,        Target::binary,     {6, 6},   uprobes},
    {"uretprobe.multi.s",       required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_multi,           By::uprobes,        Target::binary,     {6, 6},   uprobes},
    {"uprobe.session",          required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_session,         By::uprobes,        Target::binary,     {6, 13},  uprobes},
    {"uprobe.session.s",        required, BPF_PROG_TYPE_KPROBE,          attach_uprobe_session,         By::uprobes,        Target::binary,     {6, 13},  uprobes},
    {"usdt",                   required, BPF_PROG_TYPE_KPROBE,          0,                             By::usdt,           Target::file,       {4, 17},  uprobes},
    {"tracepoint",             required, BPF_PROG_TYPE_TRACEPOINT,      0,                             By::tracepoint,     Target::none,       {4, 7},   tracepoints},
    {"tp",                     required, BPF_PROG_TYPE_TRACEPOINT,      0,                             By::tracepoint,     Target::none,       {4, 7},   tracepoints},
    {"raw_tracepoint",         required, BPF_PROG_TYPE_RAW_TRACEPOINT,  0,                             By::raw_tracepoint, Target::none,       {4, 17},  tracepoints},
    {"raw_tp",                 required, BPF_PROG_TYPE_RAW_TRACEPOINT,  0,                             By::raw_tracepoint, Target::none,       {4, 17},  tracepoints},
    {"raw_tracepoint.w",       required, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0,                     By::raw_tracepoint, Target::none,       {5, 2},   tracepoints},
    {"raw_tp.w",               required, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0,                     By::raw_tracepoint, Target::none,       {5, 2},   tracepoints},
    {"tp_btf",                 required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_RAW_TP,              By::libbpf,         Target::none,       {5, 5},   tracepoints},
    {"fentry",                 required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_FENTRY,              By::libbpf,         Target::none,       {5, 5},   trampolines},
    {"fexit",                  required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_FEXIT,               By::libbpf,         Target::none,       {5, 5},   trampolines},
    {"fmod_ret",               required, BPF_PROG_TYPE_TRACING,         BPF_MODIFY_RETURN,             By::libbpf,         Target::none,       {5, 7},   trampolines},
    {"fentry.s",               required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_FENTRY,              By::libbpf,         Target::none,       {5, 10},  trampolines},
    {"fexit.s",                required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_FEXIT,               By::libbpf,         Target::none,       {5, 10},  trampolines},
    {"fmod_ret.s",             required, BPF_PROG_TYPE_TRACING,         BPF_MODIFY_RETURN,             By::libbpf,         Target::none,       {5, 10},  trampolines},
    {"lsm",                    required, BPF_PROG_TYPE_LSM,             BPF_LSM_MAC,                   By::libbpf,         Target::none,       {5, 7},   lsm},
    {"lsm.s",                  required, BPF_PROG_TYPE_LSM,             BPF_LSM_MAC,                   By::libbpf,         Target::none,       {5, 10},  lsm},
    {"lsm_cgroup",             required, BPF_PROG_TYPE_LSM,             BPF_LSM_CGROUP,                By::cgroup,         Target::cgroup,     {6, 0},   lsm},
    {"iter",                   required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_ITER,                By::iterator,       Target::none,       {5, 8}},
    {"iter.s",                 required, BPF_PROG_TYPE_TRACING,         BPF_TRACE_ITER,                By::iterator,       Target::none,       {5, 10}},
    {"perf_event",             any,      BPF_PROG_TYPE_PERF_EVENT,      0,                             By::perf_event,     Target::event,      {4, 9}},
    {"xdp",                    any,      BPF_PROG_TYPE_XDP,             BPF_XDP,                       By::xdp,            Target::interface,  {5, 9}},
    {"xdp.frags",              none,     BPF_PROG_TYPE_XDP,             BPF_XDP,                       By::xdp,            Target::interface,  {5, 18}},
    {"xdp/devmap",             none,     BPF_PROG_TYPE_XDP,             BPF_XDP_DEVMAP,                By::nobody,         Target::none,       {5, 8},   Part::none, by_map},
    {"xdp.frags/devmap",       none,     BPF_PROG_TYPE_XDP,             BPF_XDP_DEVMAP,                By::nobody,         Target::none,       {5, 18},  Part::none, by_map},
    {"xdp/cpumap",             none,     BPF_PROG_TYPE_XDP,             BPF_XDP_CPUMAP,                By::nobody,         Target::none,       {5, 9},   Part::none, by_map},
    {"xdp.frags/cpumap",       none,     BPF_PROG_TYPE_XDP,             BPF_XDP_CPUMAP,                By::nobody,         Target::none,       {5, 18},  Part::none, by_map},
    {"tc",                     none,     BPF_PROG_TYPE_SCHED_CLS,       0,                             By::tcx,            Target::interface,  {6, 6}},
    {"classifier",             any,      BPF_PROG_TYPE_SCHED_CLS,       0,                             By::tcx,            Target::interface,  {6, 6}},
    {"tc/ingress",             none,     BPF_PROG_TYPE_SCHED_CLS,       attach_tcx_ingress,            By::tcx,            Target::interface,  {6, 6}},
    {"tc/egress",              none,     BPF_PROG_TYPE_SCHED_CLS,       attach_tcx_egress,             By::tcx,            Target::interface,  {6, 6}},
    {"tcx/ingress",            none,     BPF_PROG_TYPE_SCHED_CLS,       attach_tcx_ingress,            By::tcx,            Target::interface,  {6, 6}},
    {"tcx/egress",             none,     BPF_PROG_TYPE_SCHED_CLS,       attach_tcx_egress,             By::tcx,            Target::interface,  {6, 6}},
    {"netkit/primary",         none,     BPF_PROG_TYPE_SCHED_CLS,       attach_netkit_primary,         By::netkit,         Target::interface,  {6, 7}},
    {"netkit/peer",            none,     BPF_PROG_TYPE_SCHED_CLS,       attach_netkit_peer,            By::netkit,         Target::interface,  {6, 7}},
    {"action",                 none,     BPF_PROG_TYPE_SCHED_ACT,       0,                             By::nobody,         Target::none,       {4, 1},   Part::none, "tc attaches it: `tc filter add ... action bpf object-file FILE`"},
    {"lwt_in",                 none,     BPF_PROG_TYPE_LWT_IN,          0,                             By::nobody,         Target::none,       {4, 10},  Part::none, by_route},
    {"lwt_out",                none,     BPF_PROG_TYPE_LWT_OUT,         0,                             By::nobody,         Target::none,       {4, 10},  Part::none, by_route},
    {"lwt_xmit",               none,     BPF_PROG_TYPE_LWT_XMIT,        0,                             By::nobody,         Target::none,       {4, 10},  Part::none, by_route},
    {"lwt_seg6local",          none,     BPF_PROG_TYPE_LWT_SEG6LOCAL,   0,                             By::nobody,         Target::none,       {4, 18},  Part::none, by_route},
    {"flow_dissector",         none,     BPF_PROG_TYPE_FLOW_DISSECTOR,  BPF_FLOW_DISSECTOR,            By::netns,          Target::none,       {5, 7}},
    {"sk_lookup",              none,     BPF_PROG_TYPE_SK_LOOKUP,       BPF_SK_LOOKUP,                 By::netns,          Target::none,       {5, 9}},
    {"sk_reuseport",           none,     BPF_PROG_TYPE_SK_REUSEPORT,    BPF_SK_REUSEPORT_SELECT,       By::nobody,         Target::none,       {4, 19},  Part::none, "its sockets' owner attaches it: SO_ATTACH_REUSEPORT_EBPF"},
    {"sk_reuseport/migrate",   none,     BPF_PROG_TYPE_SK_REUSEPORT,    BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, By::nobody,    Target::none,       {5, 14},  Part::none, "its sockets' owner attaches it: SO_ATTACH_REUSEPORT_EBPF"},
    {"cgroup/skb",             none,     BPF_PROG_TYPE_CGROUP_SKB,      BPF_CGROUP_INET_INGRESS,       By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup_skb/ingress",     none,     BPF_PROG_TYPE_CGROUP_SKB,      BPF_CGROUP_INET_INGRESS,       By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup_skb/egress",      none,     BPF_PROG_TYPE_CGROUP_SKB,      BPF_CGROUP_INET_EGRESS,        By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/sock_create",     none,     BPF_PROG_TYPE_CGROUP_SOCK,     BPF_CGROUP_INET_SOCK_CREATE,   By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/sock",            none,     BPF_PROG_TYPE_CGROUP_SOCK,     BPF_CGROUP_INET_SOCK_CREATE,   By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/sock_release",    none,     BPF_PROG_TYPE_CGROUP_SOCK,     BPF_CGROUP_INET_SOCK_RELEASE,  By::cgroup,         Target::cgroup,     {5, 9}},
    {"cgroup/post_bind4",      none,     BPF_PROG_TYPE_CGROUP_SOCK,     BPF_CGROUP_INET4_POST_BIND,    By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/post_bind6",      none,     BPF_PROG_TYPE_CGROUP_SOCK,     BPF_CGROUP_INET6_POST_BIND,    By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/bind4",           none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND,        By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/bind6",           none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_BIND,        By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/connect4",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT,     By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/connect6",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT,     By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/sendmsg4",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG,      By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/sendmsg6",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_SENDMSG,      By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/recvmsg4",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_RECVMSG,      By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/recvmsg6",        none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_RECVMSG,      By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/getpeername4",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME, By::cgroup,         Target::cgroup,     {5, 8}},
    {"cgroup/getpeername6",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_GETPEERNAME, By::cgroup,         Target::cgroup,     {5, 8}},
    {"cgroup/getsockname4",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETSOCKNAME, By::cgroup,         Target::cgroup,     {5, 8}},
    {"cgroup/getsockname6",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_GETSOCKNAME, By::cgroup,         Target::cgroup,     {5, 8}},
    {"cgroup/connect_unix",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_unix_connect,          By::cgroup,         Target::cgroup,     {6, 7}},
    {"cgroup/sendmsg_unix",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_unix_sendmsg,          By::cgroup,         Target::cgroup,     {6, 7}},
    {"cgroup/recvmsg_unix",    none,     BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_unix_recvmsg,          By::cgroup,         Target::cgroup,     {6, 7}},
    {"cgroup/getpeername_unix", none,    BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_unix_getpeername,      By::cgroup,         Target::cgroup,     {6, 7}},
    {"cgroup/getsockname_unix", none,    BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attach_unix_getsockname,      By::cgroup,         Target::cgroup,     {6, 7}},
    {"cgroup/sysctl",          none,     BPF_PROG_TYPE_CGROUP_SYSCTL,   BPF_CGROUP_SYSCTL,             By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/getsockopt",      none,     BPF_PROG_TYPE_CGROUP_SOCKOPT,  BPF_CGROUP_GETSOCKOPT,         By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/setsockopt",      none,     BPF_PROG_TYPE_CGROUP_SOCKOPT,  BPF_CGROUP_SETSOCKOPT,         By::cgroup,         Target::cgroup,     {5, 7}},
    {"cgroup/dev",             none,     BPF_PROG_TYPE_CGROUP_DEVICE,   BPF_CGROUP_DEVICE,             By::cgroup,         Target::cgroup,     {5, 7}},
    {"sockops",                any,      BPF_PROG_TYPE_SOCK_OPS,        BPF_CGROUP_SOCK_OPS,           By::cgroup,         Target::cgroup,     {5, 7}},
    {"sk_skb/stream_parser",   none,     BPF_PROG_TYPE_SK_SKB,          BPF_SK_SKB_STREAM_PARSER,      By::socket_map,     Target::map,        {4, 14}},
    {"sk_skb/stream_verdict",  none,     BPF_PROG_TYPE_SK_SKB,          BPF_SK_SKB_STREAM_VERDICT,     By::socket_map,     Target::map,        {4, 14}},
    {"sk_skb",                 none,     BPF_PROG_TYPE_SK_SKB,          0,                             By::socket_map,     Target::map,        {5, 13}},
    {"sk_msg",                 none,     BPF_PROG_TYPE_SK_MSG,          BPF_SK_MSG_VERDICT,            By::socket_map,     Target::map,        {4, 17}},
    {"netfilter",              none,     prog_type_netfilter,           attach_netfilter,              By::netfilter,      Target::netfilter,  {6, 4}},
    {"lirc_mode2",             none,     BPF_PROG_TYPE_LIRC_MODE2,      BPF_LIRC_MODE2,                By::nobody,         Target::none,       {4, 18},  Part::none, "`ir-keytable --read --protocol FILE` attaches it to a receiver of infrared light"},
    {"freplace",               required, BPF_PROG_TYPE_EXT,             0,                             By::nobody,         Target::none,       {5, 6},   trampolines, "it replaces a function of a program that is loaded already: its loader attaches it"},
    {"struct_ops",             optional, BPF_PROG_TYPE_STRUCT_OPS,      0,                             By::nobody,         Target::none,       {5, 6},   trampolines, "it is part of a table of the kernel's functions, which `bpftool struct_ops register` loads"},
    {"struct_ops.s",           optional, BPF_PROG_TYPE_STRUCT_OPS,      0,                             By::nobody,         Target::none,       {6, 0},   trampolines, "it is part of a table of the kernel's functions, which `bpftool struct_ops register` loads"},
    {"syscall",                none,     BPF_PROG_TYPE_SYSCALL,         0,                             By::nobody,         Target::none,       {5, 14},  Part::none, "it runs when its loader asks for it: BPF_PROG_TEST_RUN"},
};

constexpr TargetRow targets[] = {
    {Target::none,      "nothing",              ""},
    {Target::interface, "an interface",         "-i IF"},
    {Target::cgroup,    "a control group",      "--cgroup PATH"},
    {Target::map,       "a socket map",         "--map NAME"},
    {Target::event,     "an event",             "--event cpu-clock:99"},
    {Target::binary,    "a program's function", "--binary FILE:FUNCTION"},
    {Target::file,      "a program",            "--binary FILE"},
    {Target::netfilter, "a netfilter hook",     "--nf ipv4:prerouting"},
};
// clang-format on

bool fits(SectionRow const& row, std::string_view section) {
    if (!section.starts_with(row.name)) return false;
    std::string_view const rest = section.substr(row.name.size());
    bool const names_something = rest.size() > 1 && rest[0] == '/';
    switch (row.tail) {
        case none:
            return rest.empty();
        case required:
            return names_something;
        case optional:
            return rest.empty() || names_something;
        case any:
            return true;
    }
    return false;
}

}  // namespace

std::span<SectionRow const> sections() { return table; }

TargetRow const& row(Target target) { return targets[static_cast<std::size_t>(target)]; }

Section find_section(std::string_view section) {
    if (section.starts_with('?')) section.remove_prefix(1);
    SectionRow const* best = nullptr;
    for (SectionRow const& row : table)
        if (fits(row, section) && (!best || row.name.size() > best->name.size())) best = &row;
    if (!best) return {nullptr, {}};
    std::string_view tail = section.substr(best->name.size());
    if (tail.starts_with('/')) tail.remove_prefix(1);
    return {best, tail};
}

}  // namespace tamis::runtime
