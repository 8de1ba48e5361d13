// Sources: linux/bpf.h for the contexts, the kernel's history for versions, capabilities(7).  Which
// fields can be read and written was tried on Linux 6.1, 6.12 and 6.18
// (tests/runtime/program_types_test.cpp).
#include "runtime/program_types.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>

#include "runtime/word_list.h"

namespace tamis::runtime {
namespace {

constexpr std::uint32_t netfilter = 32;  // BPF_PROG_TYPE_NETFILTER, newer than Debian's linux/bpf.h

constexpr std::string_view network = "CAP_NET_ADMIN", tracing = "CAP_PERFMON";

// clang-format off
constexpr KernelType prog_types[] = {
    {"",                        {0, 0}},
    {"socket_filter",           {3, 19}},
    {"kprobe",                  {4, 1},  tracing},
    {"sched_cls",               {4, 1},  network},
    {"sched_act",               {4, 1},  network},
    {"tracepoint",              {4, 7},  tracing},
    {"xdp",                     {4, 8},  network},
    {"perf_event",              {4, 9},  tracing},
    {"cgroup_skb",              {4, 10}, network},
    {"cgroup_sock",             {4, 10}, network},
    {"lwt_in",                  {4, 10}, network},
    {"lwt_out",                 {4, 10}, network},
    {"lwt_xmit",                {4, 10}, network},
    {"sock_ops",                {4, 13}, network},
    {"sk_skb",                  {4, 14}, network},
    {"cgroup_device",           {4, 15}, network},
    {"sk_msg",                  {4, 17}, network},
    {"raw_tracepoint",          {4, 17}, tracing},
    {"cgroup_sock_addr",        {4, 17}, network},
    {"lwt_seg6local",           {4, 18}, network},
    {"lirc_mode2",              {4, 18}, network},
    {"sk_reuseport",            {4, 19}, network},
    {"flow_dissector",          {4, 20}, network},
    {"cgroup_sysctl",           {5, 2},  network},
    {"raw_tracepoint_writable", {5, 2},  tracing},
    {"cgroup_sockopt",          {5, 3},  network},
    {"tracing",                 {5, 5},  tracing},
    {"struct_ops",              {5, 6},  network},
    {"ext",                     {5, 6},  network},
    {"lsm",                     {5, 7},  tracing},
    {"sk_lookup",               {5, 9},  network},
    {"syscall",                 {5, 14}},
    {"netfilter",               {6, 4},  network},
};

constexpr KernelType map_type_rows[] = {
    {"", {0, 0}}, {"hash", {3, 19}}, {"array", {3, 19}}, {"prog_array", {4, 2}},
    {"perf_event_array", {4, 3}}, {"percpu_hash", {4, 6}}, {"percpu_array", {4, 6}},
    {"stack_trace", {4, 6}}, {"cgroup_array", {4, 8}}, {"lru_hash", {4, 10}},
    {"lru_percpu_hash", {4, 10}}, {"lpm_trie", {4, 11}}, {"array_of_maps", {4, 12}},
    {"hash_of_maps", {4, 12}}, {"devmap", {4, 14}, network}, {"sockmap", {4, 14}, network},
    {"cpumap", {4, 15}, network}, {"xskmap", {4, 18}, network}, {"sockhash", {4, 18}, network},
    {"cgroup_storage", {4, 19}}, {"reuseport_sockarray", {4, 19}},
    {"percpu_cgroup_storage", {4, 20}}, {"queue", {4, 20}}, {"stack", {4, 20}},
    {"sk_storage", {5, 2}}, {"devmap_hash", {5, 4}, network}, {"struct_ops", {5, 6}},
    {"ringbuf", {5, 8}}, {"inode_storage", {5, 10}}, {"task_storage", {5, 11}},
    {"bloom_filter", {5, 16}}, {"user_ringbuf", {6, 1}}, {"cgrp_storage", {6, 2}},
    {"arena", {6, 9}},
};

// ---- Contexts

#define FIELD(type, name, major, minor) \
    {#name, offsetof(type, name), sizeof(static_cast<type*>(nullptr)->name), {major, minor}}

constexpr ContextField sk_buff[] = {
    FIELD(__sk_buff, len, 4, 1),             FIELD(__sk_buff, pkt_type, 4, 1),
    FIELD(__sk_buff, mark, 4, 1),            FIELD(__sk_buff, queue_mapping, 4, 1),
    FIELD(__sk_buff, protocol, 4, 1),        FIELD(__sk_buff, vlan_present, 4, 1),
    FIELD(__sk_buff, vlan_tci, 4, 1),        FIELD(__sk_buff, vlan_proto, 4, 1),
    FIELD(__sk_buff, priority, 4, 1),        FIELD(__sk_buff, ingress_ifindex, 4, 2),
    FIELD(__sk_buff, ifindex, 4, 2),         FIELD(__sk_buff, tc_index, 4, 2),
    FIELD(__sk_buff, cb, 4, 2),              FIELD(__sk_buff, hash, 4, 3),
    FIELD(__sk_buff, tc_classid, 4, 4),      FIELD(__sk_buff, data, 4, 7),
    FIELD(__sk_buff, data_end, 4, 7),        FIELD(__sk_buff, napi_id, 4, 12),
    FIELD(__sk_buff, family, 4, 14),         FIELD(__sk_buff, remote_ip4, 4, 14),
    FIELD(__sk_buff, local_ip4, 4, 14),      FIELD(__sk_buff, remote_ip6, 4, 14),
    FIELD(__sk_buff, local_ip6, 4, 14),      FIELD(__sk_buff, remote_port, 4, 14),
    FIELD(__sk_buff, local_port, 4, 14),     FIELD(__sk_buff, data_meta, 4, 15),
    FIELD(__sk_buff, flow_keys, 4, 20),      FIELD(__sk_buff, tstamp, 5, 0),
    FIELD(__sk_buff, wire_len, 5, 0),        FIELD(__sk_buff, gso_segs, 5, 1),
    FIELD(__sk_buff, sk, 5, 1),              FIELD(__sk_buff, gso_size, 5, 7),
    FIELD(__sk_buff, tstamp_type, 5, 18),    FIELD(__sk_buff, hwtstamp, 5, 16),
};
constexpr ContextField xdp_md_fields[] = {
    FIELD(xdp_md, data, 4, 8),             FIELD(xdp_md, data_end, 4, 8),
    FIELD(xdp_md, data_meta, 4, 15),       FIELD(xdp_md, ingress_ifindex, 4, 16),
    FIELD(xdp_md, rx_queue_index, 4, 16),  FIELD(xdp_md, egress_ifindex, 5, 8),
};
constexpr ContextField sock[] = {
    FIELD(bpf_sock, bound_dev_if, 4, 10),  FIELD(bpf_sock, family, 4, 10),
    FIELD(bpf_sock, type, 4, 10),          FIELD(bpf_sock, protocol, 4, 10),
    FIELD(bpf_sock, mark, 4, 14),          FIELD(bpf_sock, priority, 4, 14),
    FIELD(bpf_sock, src_ip4, 4, 17),       FIELD(bpf_sock, src_ip6, 4, 17),
    FIELD(bpf_sock, src_port, 4, 17),      FIELD(bpf_sock, dst_port, 5, 1),
    FIELD(bpf_sock, dst_ip4, 5, 1),        FIELD(bpf_sock, dst_ip6, 5, 1),
    FIELD(bpf_sock, state, 5, 1),          FIELD(bpf_sock, rx_queue_mapping, 5, 8),
};
constexpr ContextField sock_addr[] = {
    FIELD(bpf_sock_addr, user_family, 4, 17), FIELD(bpf_sock_addr, user_ip4, 4, 17),
    FIELD(bpf_sock_addr, user_ip6, 4, 17),    FIELD(bpf_sock_addr, user_port, 4, 17),
    FIELD(bpf_sock_addr, family, 4, 17),      FIELD(bpf_sock_addr, type, 4, 17),
    FIELD(bpf_sock_addr, protocol, 4, 17),    FIELD(bpf_sock_addr, msg_src_ip4, 4, 18),
    FIELD(bpf_sock_addr, msg_src_ip6, 4, 18), FIELD(bpf_sock_addr, sk, 5, 3),
};
constexpr ContextField sock_ops[] = {
    FIELD(bpf_sock_ops, op, 4, 13),              FIELD(bpf_sock_ops, args, 4, 13),
    FIELD(bpf_sock_ops, family, 4, 13),          FIELD(bpf_sock_ops, remote_ip4, 4, 13),
    FIELD(bpf_sock_ops, local_ip4, 4, 13),       FIELD(bpf_sock_ops, remote_ip6, 4, 13),
    FIELD(bpf_sock_ops, local_ip6, 4, 13),       FIELD(bpf_sock_ops, remote_port, 4, 13),
    FIELD(bpf_sock_ops, local_port, 4, 13),      FIELD(bpf_sock_ops, is_fullsock, 4, 16),
    FIELD(bpf_sock_ops, snd_cwnd, 4, 16),        FIELD(bpf_sock_ops, srtt_us, 4, 16),
    FIELD(bpf_sock_ops, bpf_sock_ops_cb_flags, 4, 16), FIELD(bpf_sock_ops, state, 4, 16),
    FIELD(bpf_sock_ops, rtt_min, 4, 16),         FIELD(bpf_sock_ops, snd_ssthresh, 4, 16),
    FIELD(bpf_sock_ops, rcv_nxt, 4, 16),         FIELD(bpf_sock_ops, snd_nxt, 4, 16),
    FIELD(bpf_sock_ops, snd_una, 4, 16),         FIELD(bpf_sock_ops, mss_cache, 4, 16),
    FIELD(bpf_sock_ops, ecn_flags, 4, 16),       FIELD(bpf_sock_ops, rate_delivered, 4, 16),
    FIELD(bpf_sock_ops, rate_interval_us, 4, 16), FIELD(bpf_sock_ops, packets_out, 4, 16),
    FIELD(bpf_sock_ops, retrans_out, 4, 16),     FIELD(bpf_sock_ops, total_retrans, 4, 16),
    FIELD(bpf_sock_ops, segs_in, 4, 16),         FIELD(bpf_sock_ops, data_segs_in, 4, 16),
    FIELD(bpf_sock_ops, segs_out, 4, 16),        FIELD(bpf_sock_ops, data_segs_out, 4, 16),
    FIELD(bpf_sock_ops, lost_out, 4, 16),        FIELD(bpf_sock_ops, sacked_out, 4, 16),
    FIELD(bpf_sock_ops, sk_txhash, 4, 16),       FIELD(bpf_sock_ops, bytes_received, 4, 16),
    FIELD(bpf_sock_ops, bytes_acked, 4, 16),     FIELD(bpf_sock_ops, sk, 5, 3),
    FIELD(bpf_sock_ops, skb_data, 5, 10),        FIELD(bpf_sock_ops, skb_data_end, 5, 10),
    FIELD(bpf_sock_ops, skb_len, 5, 10),         FIELD(bpf_sock_ops, skb_tcp_flags, 5, 10),
    {"skb_hwtstamp", sizeof(bpf_sock_ops), 8, {6, 2}},  // newer than Debian's linux/bpf.h
};
constexpr ContextField msg[] = {
    FIELD(sk_msg_md, data, 4, 17),        FIELD(sk_msg_md, data_end, 4, 17),
    FIELD(sk_msg_md, family, 4, 18),      FIELD(sk_msg_md, remote_ip4, 4, 18),
    FIELD(sk_msg_md, local_ip4, 4, 18),   FIELD(sk_msg_md, remote_ip6, 4, 18),
    FIELD(sk_msg_md, local_ip6, 4, 18),   FIELD(sk_msg_md, remote_port, 4, 18),
    FIELD(sk_msg_md, local_port, 4, 18),  FIELD(sk_msg_md, size, 5, 0),
    FIELD(sk_msg_md, sk, 5, 8),
};
constexpr ContextField reuseport[] = {
    FIELD(sk_reuseport_md, data, 4, 19),        FIELD(sk_reuseport_md, data_end, 4, 19),
    FIELD(sk_reuseport_md, len, 4, 19),         FIELD(sk_reuseport_md, eth_protocol, 4, 19),
    FIELD(sk_reuseport_md, ip_protocol, 4, 19), FIELD(sk_reuseport_md, bind_inany, 4, 19),
    FIELD(sk_reuseport_md, hash, 4, 19),        FIELD(sk_reuseport_md, sk, 5, 14),
    FIELD(sk_reuseport_md, migrating_sk, 5, 14),
};
constexpr ContextField lookup[] = {
    FIELD(bpf_sk_lookup, sk, 5, 9),          FIELD(bpf_sk_lookup, family, 5, 9),
    FIELD(bpf_sk_lookup, protocol, 5, 9),    FIELD(bpf_sk_lookup, remote_ip4, 5, 9),
    FIELD(bpf_sk_lookup, remote_ip6, 5, 9),  FIELD(bpf_sk_lookup, remote_port, 5, 9),
    FIELD(bpf_sk_lookup, local_ip4, 5, 9),   FIELD(bpf_sk_lookup, local_ip6, 5, 9),
    FIELD(bpf_sk_lookup, local_port, 5, 9),  FIELD(bpf_sk_lookup, ingress_ifindex, 5, 17),
};
constexpr ContextField device[] = {
    FIELD(bpf_cgroup_dev_ctx, access_type, 4, 15), FIELD(bpf_cgroup_dev_ctx, major, 4, 15),
    FIELD(bpf_cgroup_dev_ctx, minor, 4, 15),
};
constexpr ContextField sysctl[] = {
    FIELD(bpf_sysctl, write, 5, 2), FIELD(bpf_sysctl, file_pos, 5, 2),
};
constexpr ContextField sockopt[] = {
    FIELD(bpf_sockopt, sk, 5, 3),      FIELD(bpf_sockopt, optval, 5, 3),
    FIELD(bpf_sockopt, optval_end, 5, 3), FIELD(bpf_sockopt, level, 5, 3),
    FIELD(bpf_sockopt, optname, 5, 3), FIELD(bpf_sockopt, optlen, 5, 3),
    FIELD(bpf_sockopt, retval, 5, 3),
};
constexpr ContextField perf[] = {
    FIELD(bpf_perf_event_data, sample_period, 4, 9), FIELD(bpf_perf_event_data, addr, 4, 17),
};
constexpr ContextField nf[] = {
    {"state", 0, 8, {6, 4}}, {"skb", 8, 8, {6, 4}},
};

constexpr std::uint64_t at(std::uint32_t attach_type) { return std::uint64_t{1} << attach_type; }
constexpr std::uint64_t every = 0;
constexpr std::uint64_t ip4_addresses =
    at(BPF_CGROUP_INET4_BIND) | at(BPF_CGROUP_INET4_CONNECT) | at(BPF_CGROUP_UDP4_RECVMSG) |
    at(BPF_CGROUP_INET4_GETPEERNAME) | at(BPF_CGROUP_INET4_GETSOCKNAME);
constexpr std::uint64_t ip6_addresses =
    at(BPF_CGROUP_INET6_BIND) | at(BPF_CGROUP_INET6_CONNECT) | at(BPF_CGROUP_UDP6_RECVMSG) |
    at(BPF_CGROUP_INET6_GETPEERNAME) | at(BPF_CGROUP_INET6_GETSOCKNAME);

constexpr std::uint64_t probe_sessions = at(56) | at(57);  // BPF_TRACE_KPROBE_SESSION, _UPROBE_SESSION
// BPF_CGROUP_UNIX_*, newer than Debian's linux/bpf.h: connect, sendmsg, recvmsg, getpeername, getsockname
constexpr std::uint64_t unix_answers = at(51) | at(52) | at(53);
constexpr std::uint64_t unix_addresses = at(49) | at(50) | unix_answers;

constexpr std::string_view not_in_tunnels =
    "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port tc_classid data_meta "
    "flow_keys tstamp wire_len tstamp_type hwtstamp";
constexpr Context context_rows[] = {
    {BPF_PROG_TYPE_SOCKET_FILTER, every, "__sk_buff", sk_buff,
     "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port tc_classid data data_end "
     "data_meta flow_keys tstamp wire_len tstamp_type hwtstamp",
     "cb"},
    {BPF_PROG_TYPE_SCHED_CLS, every, "__sk_buff", sk_buff,
     "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port flow_keys",
     "mark queue_mapping priority tc_index cb tc_classid tstamp"},
    {BPF_PROG_TYPE_SCHED_ACT, every, "__sk_buff", sk_buff,
     "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port flow_keys",
     "mark queue_mapping priority tc_index cb tc_classid tstamp"},
    {BPF_PROG_TYPE_XDP, at(BPF_XDP_DEVMAP), "xdp_md", xdp_md_fields, "", ""},
    {BPF_PROG_TYPE_XDP, every, "xdp_md", xdp_md_fields, "egress_ifindex", ""},
    {BPF_PROG_TYPE_CGROUP_SKB, every, "__sk_buff", sk_buff,
     "tc_classid data_meta flow_keys wire_len tstamp_type", "mark priority cb tstamp"},
    {BPF_PROG_TYPE_LWT_IN, every, "__sk_buff", sk_buff, not_in_tunnels, "mark priority cb"},
    {BPF_PROG_TYPE_LWT_OUT, every, "__sk_buff", sk_buff, not_in_tunnels, "mark priority cb"},
    {BPF_PROG_TYPE_LWT_XMIT, every, "__sk_buff", sk_buff, not_in_tunnels, "mark priority cb"},
    {BPF_PROG_TYPE_LWT_SEG6LOCAL, every, "__sk_buff", sk_buff, not_in_tunnels, "mark priority cb"},
    {BPF_PROG_TYPE_SK_SKB, every, "__sk_buff", sk_buff,
     "mark tc_classid data_meta flow_keys tstamp wire_len tstamp_type hwtstamp",
     "tc_index priority"},
    {BPF_PROG_TYPE_FLOW_DISSECTOR, every, "__sk_buff", sk_buff,
     "len pkt_type mark queue_mapping protocol vlan_present vlan_tci vlan_proto priority "
     "ingress_ifindex ifindex tc_index cb hash tc_classid napi_id family remote_ip4 local_ip4 "
     "remote_ip6 local_ip6 remote_port local_port data_meta tstamp wire_len gso_segs sk gso_size "
     "tstamp_type hwtstamp",
     ""},
    {BPF_PROG_TYPE_CGROUP_SOCK, at(BPF_CGROUP_INET_SOCK_CREATE) | at(BPF_CGROUP_INET_SOCK_RELEASE),
     "bpf_sock", sock, "src_ip4 src_ip6 src_port", "bound_dev_if mark priority"},
    {BPF_PROG_TYPE_CGROUP_SOCK, at(BPF_CGROUP_INET4_POST_BIND), "bpf_sock", sock,
     "bound_dev_if mark priority src_ip6", ""},
    {BPF_PROG_TYPE_CGROUP_SOCK, at(BPF_CGROUP_INET6_POST_BIND), "bpf_sock", sock,
     "bound_dev_if mark priority src_ip4", ""},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, ip4_addresses, "bpf_sock_addr", sock_addr,
     "user_ip6 msg_src_ip4 msg_src_ip6", "user_ip4 user_port"},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, ip6_addresses, "bpf_sock_addr", sock_addr,
     "user_ip4 msg_src_ip4 msg_src_ip6", "user_ip6 user_port"},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, at(BPF_CGROUP_UDP4_SENDMSG), "bpf_sock_addr", sock_addr,
     "user_ip6 msg_src_ip6", "user_ip4 user_port msg_src_ip4"},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, at(BPF_CGROUP_UDP6_SENDMSG), "bpf_sock_addr", sock_addr,
     "user_ip4 msg_src_ip4", "user_ip6 user_port msg_src_ip6"},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, unix_addresses, "bpf_sock_addr", sock_addr,
     "user_ip4 user_ip6 msg_src_ip4 msg_src_ip6", "user_port", {6, 7}},
    {BPF_PROG_TYPE_SOCK_OPS, every, "bpf_sock_ops", sock_ops, "", "args sk_txhash"},
    {BPF_PROG_TYPE_SK_MSG, every, "sk_msg_md", msg, "", ""},
    {BPF_PROG_TYPE_SK_REUSEPORT, every, "sk_reuseport_md", reuseport, "", ""},
    {BPF_PROG_TYPE_SK_LOOKUP, every, "bpf_sk_lookup", lookup, "", ""},
    {BPF_PROG_TYPE_CGROUP_DEVICE, every, "bpf_cgroup_dev_ctx", device, "", ""},
    {BPF_PROG_TYPE_CGROUP_SYSCTL, every, "bpf_sysctl", sysctl, "", "file_pos"},
    {BPF_PROG_TYPE_CGROUP_SOCKOPT, at(BPF_CGROUP_GETSOCKOPT), "bpf_sockopt", sockopt, "",
     "optlen retval"},
    {BPF_PROG_TYPE_CGROUP_SOCKOPT, at(BPF_CGROUP_SETSOCKOPT), "bpf_sockopt", sockopt, "retval",
     "level optname optlen"},
    {BPF_PROG_TYPE_PERF_EVENT, every, "bpf_perf_event_data", perf, "", ""},
    {netfilter, every, "bpf_nf_ctx", nf, "", ""},
    // Arguments: registers, or what the trace point records, by the kernel's own layout.
    {BPF_PROG_TYPE_KPROBE, every, "pt_regs", {}, "", ""},
    {BPF_PROG_TYPE_TRACEPOINT, every, "the trace point's record", {}, "", ""},
    {BPF_PROG_TYPE_RAW_TRACEPOINT, every, "arguments", {}, "", ""},
    {BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, every, "arguments", {}, "", ""},
    {BPF_PROG_TYPE_TRACING, every, "arguments", {}, "", ""},
    {BPF_PROG_TYPE_LSM, every, "arguments", {}, "", ""},
    {BPF_PROG_TYPE_STRUCT_OPS, every, "arguments", {}, "", ""},
};

// ---- Returns

struct ReturnRow {
    std::uint32_t program_type;
    std::uint64_t attach_types;
    Returns range;
};
constexpr ReturnRow return_rows[] = {
    {BPF_PROG_TYPE_CGROUP_SKB, at(BPF_CGROUP_INET_EGRESS), {0, 3}},
    {BPF_PROG_TYPE_CGROUP_SKB, every, {0, 1}},
    {BPF_PROG_TYPE_CGROUP_SOCK, every, {0, 1}},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
     at(BPF_CGROUP_UDP4_RECVMSG) | at(BPF_CGROUP_UDP6_RECVMSG) | at(BPF_CGROUP_INET4_GETPEERNAME) |
         at(BPF_CGROUP_INET6_GETPEERNAME) | at(BPF_CGROUP_INET4_GETSOCKNAME) |
         at(BPF_CGROUP_INET6_GETSOCKNAME) | unix_answers,
     {1, 1}},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, at(BPF_CGROUP_INET4_BIND) | at(BPF_CGROUP_INET6_BIND), {0, 3}},
    {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, every, {0, 1}},
    {BPF_PROG_TYPE_SOCK_OPS, every, {0, 1}},
    {BPF_PROG_TYPE_CGROUP_DEVICE, every, {0, 1}},
    {BPF_PROG_TYPE_CGROUP_SYSCTL, every, {0, 1}},
    {BPF_PROG_TYPE_CGROUP_SOCKOPT, every, {0, 1}},
    {BPF_PROG_TYPE_KPROBE, probe_sessions, {0, 1}},
    {BPF_PROG_TYPE_TRACING, at(BPF_TRACE_FENTRY) | at(BPF_TRACE_FEXIT), {0, 0}},
    {BPF_PROG_TYPE_TRACING, at(BPF_TRACE_ITER), {0, 1}},
    {BPF_PROG_TYPE_LSM, at(BPF_LSM_CGROUP), {0, 1}},
    {BPF_PROG_TYPE_SK_LOOKUP, every, {0, 1}},
    {netfilter, every, {0, 1}},
};
// clang-format on

// Whether a row is for programs of that type, attached in that way.
template <class Row>
bool is_for(Row const& row, std::uint32_t program_type, std::uint32_t attach_type) {
    return row.program_type == program_type &&
           (row.attach_types == every || (row.attach_types & at(attach_type)) != 0);
}

}  // namespace

Release Context::since(ContextField const& field) const {
    return std::max({field.since, runtime::program_type(program_type).since, newer});
}
bool Context::reads(ContextField const& field) const { return !lists(hidden, field.name); }
bool Context::writes(ContextField const& field) const { return lists(writable, field.name); }

std::string capabilities(KernelType const& type) {
    return type.capabilities.empty() ? "CAP_BPF" : "CAP_BPF " + std::string(type.capabilities);
}

std::span<KernelType const> program_types() { return prog_types; }
std::span<KernelType const> map_types() { return map_type_rows; }

KernelType program_type(std::uint32_t type) {
    return type < std::size(prog_types) ? prog_types[type] : KernelType{{}, {0, 0}};
}

KernelType map_type(std::uint32_t type) {
    return type < std::size(map_type_rows) ? map_type_rows[type] : KernelType{{}, {0, 0}};
}

std::span<Context const> contexts() { return context_rows; }

Context const* find_context(std::uint32_t program_type, std::uint32_t attach_type) {
    auto const* row =
        std::find_if(std::begin(context_rows), std::end(context_rows),
                     [&](Context const& c) { return is_for(c, program_type, attach_type); });
    return row == std::end(context_rows) ? nullptr : row;
}

ContextField const* find_field(Context const& context, std::uint32_t offset, std::uint32_t size) {
    for (ContextField const& field : context.fields)
        if (offset >= field.offset && offset + size <= std::uint32_t{field.offset} + field.size)
            return &field;
    return nullptr;
}

std::optional<Returns> returns(std::uint32_t program_type, std::uint32_t attach_type) {
    for (ReturnRow const& row : return_rows)
        if (is_for(row, program_type, attach_type)) return row.range;
    return std::nullopt;
}

}  // namespace tamis::runtime
