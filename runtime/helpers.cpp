// Sources: the numbers and names of linux/bpf.h; the kernel's history for the version that brought
// each; for who may call what, Linux 6.1, 6.12 and 6.18, where every helper was tried in a program
// of every type (tests/runtime/program_types_test.cpp does that on the running kernel).
#include "runtime/helpers.h"

#include <algorithm>
#include <iterator>

#include <linux/bpf.h>

#include "runtime/word_list.h"

namespace tamis::runtime {
namespace {

// linux/bpf.h lists the helpers in a macro; two are newer than Debian's.
#define TAMIS_NAME(name) "bpf_" #name
constexpr std::string_view names[] = {__BPF_FUNC_MAPPER(TAMIS_NAME) "bpf_cgrp_storage_get",
                                      "bpf_cgrp_storage_delete"};
#undef TAMIS_NAME
static_assert(std::size(names) == 212, "linux/bpf.h has become newer: leave out what it has now");

// Numbers were given in order, so each release is known by its first.  There will be no more: what
// came after 6.2 are functions with types (kfuncs).
struct Newcomers {
    std::uint32_t first;
    Release since;
};
constexpr Newcomers releases[] = {
    {1, {3, 19}},   {4, {4, 1}},    {12, {4, 2}},   {17, {4, 3}},   {23, {4, 4}},   {26, {4, 5}},
    {27, {4, 6}},   {31, {4, 8}},   {37, {4, 9}},   {42, {4, 10}},  {45, {4, 11}},  {46, {4, 12}},
    {48, {4, 13}},  {51, {4, 14}},  {54, {4, 15}},  {58, {4, 16}},  {60, {4, 17}},  {65, {4, 18}},
    {81, {4, 19}},  {84, {4, 20}},  {91, {5, 0}},   {93, {5, 1}},   {99, {5, 2}},   {109, {5, 3}},
    {111, {5, 5}},  {116, {5, 6}},  {119, {5, 7}},  {125, {5, 8}},  {136, {5, 9}},  {142, {5, 10}},
    {156, {5, 11}}, {163, {5, 12}}, {164, {5, 13}}, {166, {5, 14}}, {169, {5, 15}}, {176, {5, 16}},
    {180, {5, 17}}, {186, {5, 18}}, {194, {5, 19}}, {204, {6, 0}},  {208, {6, 1}},  {210, {6, 2}},
};

using Types = std::uint64_t;  // a bit per type
constexpr Types bit(std::uint32_t type) { return Types{1} << type; }
constexpr Types socket_filter = bit(BPF_PROG_TYPE_SOCKET_FILTER),
                kprobe = bit(BPF_PROG_TYPE_KPROBE), xdp = bit(BPF_PROG_TYPE_XDP),
                tracepoint = bit(BPF_PROG_TYPE_TRACEPOINT),
                perf_event = bit(BPF_PROG_TYPE_PERF_EVENT),
                cgroup_skb = bit(BPF_PROG_TYPE_CGROUP_SKB),
                cgroup_sock = bit(BPF_PROG_TYPE_CGROUP_SOCK), lwt_in = bit(BPF_PROG_TYPE_LWT_IN),
                lwt_out = bit(BPF_PROG_TYPE_LWT_OUT), lwt_xmit = bit(BPF_PROG_TYPE_LWT_XMIT),
                sock_ops = bit(BPF_PROG_TYPE_SOCK_OPS), sk_skb = bit(BPF_PROG_TYPE_SK_SKB),
                cgroup_device = bit(BPF_PROG_TYPE_CGROUP_DEVICE),
                sk_msg = bit(BPF_PROG_TYPE_SK_MSG),
                raw_tracepoint = bit(BPF_PROG_TYPE_RAW_TRACEPOINT),
                cgroup_sock_addr = bit(BPF_PROG_TYPE_CGROUP_SOCK_ADDR),
                lwt_seg6local = bit(BPF_PROG_TYPE_LWT_SEG6LOCAL),
                lirc_mode2 = bit(BPF_PROG_TYPE_LIRC_MODE2),
                sk_reuseport = bit(BPF_PROG_TYPE_SK_REUSEPORT),
                flow_dissector = bit(BPF_PROG_TYPE_FLOW_DISSECTOR),
                cgroup_sysctl = bit(BPF_PROG_TYPE_CGROUP_SYSCTL),
                raw_tracepoint_writable = bit(BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
                cgroup_sockopt = bit(BPF_PROG_TYPE_CGROUP_SOCKOPT),
                tracing = bit(BPF_PROG_TYPE_TRACING), struct_ops = bit(BPF_PROG_TYPE_STRUCT_OPS),
                lsm = bit(BPF_PROG_TYPE_LSM), sk_lookup = bit(BPF_PROG_TYPE_SK_LOOKUP),
                syscall = bit(BPF_PROG_TYPE_SYSCALL),
                netfilter = bit(32);  // newer than Debian's linux/bpf.h
// Groups of types that the kernel's own sources treat alike.
constexpr Types classifiers = bit(BPF_PROG_TYPE_SCHED_CLS) | bit(BPF_PROG_TYPE_SCHED_ACT),
                tunnels = lwt_in | lwt_out | lwt_xmit | lwt_seg6local,
                cgroups =
                    cgroup_sock | cgroup_device | cgroup_sock_addr | cgroup_sysctl | cgroup_sockopt,
                tracers = kprobe | tracepoint | perf_event | raw_tracepoint |
                          raw_tracepoint_writable | tracing | lsm | syscall;
constexpr Types all = ~Types{0};
constexpr Release from_the_start{0, 0};  // as far as the helper and the type go back

// Who may call what.  Some of it only in some sections: `bind` in cgroup/connect4 and 6,
// get_func_ret in fexit.  Where more types were let in later, the version is the first of those we
// tried.
struct Grant {
    Types types;
    Release since;
    std::string_view helpers;
};
// clang-format off
constexpr Grant grants[] = {
    {all, from_the_start,
     "map_lookup_elem map_update_elem map_delete_elem ktime_get_ns trace_printk "
     "get_prandom_u32 get_smp_processor_id tail_call get_current_task get_numa_node_id "
     "map_push_elem map_pop_elem map_peek_elem spin_lock spin_unlock strtol strtoul "
     "probe_read_user probe_read_kernel probe_read_user_str probe_read_kernel_str jiffies64 "
     "ktime_get_boot_ns ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard "
     "ringbuf_query snprintf_btf per_cpu_ptr this_cpu_ptr get_current_task_btf "
     "for_each_map_elem snprintf timer_init timer_set_callback timer_start timer_cancel "
     "task_pt_regs trace_vprintk loop strncmp kptr_xchg map_lookup_percpu_elem dynptr_from_mem "
     "ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read "
     "dynptr_write dynptr_data ktime_get_tai_ns user_ringbuf_drain cgrp_storage_get "
     "cgrp_storage_delete"},
    {tracers, from_the_start,
     "probe_read perf_event_read get_stackid probe_write_user current_task_under_cgroup "
     "probe_read_str perf_event_read_value get_stack send_signal send_signal_thread "
     "get_ns_current_pid_tgid get_task_stack copy_from_user task_storage_get "
     "task_storage_delete get_func_ip get_branch_snapshot find_vma copy_from_user_task"},
    {classifiers | lwt_xmit | sk_skb, from_the_start,
     "skb_store_bytes skb_change_tail skb_change_head"},
    {classifiers | lwt_xmit, from_the_start,
     "l3_csum_replace l4_csum_replace clone_redirect skb_get_tunnel_key skb_set_tunnel_key "
     "skb_get_tunnel_opt skb_set_tunnel_opt csum_update set_hash_invalid csum_level"},
    {tracers | cgroups | sk_msg, from_the_start,
     "get_current_pid_tgid get_current_uid_gid get_current_cgroup_id "
     "get_current_ancestor_cgroup_id"},
    {all, {6, 12},
     "get_current_pid_tgid get_current_cgroup_id get_ns_current_pid_tgid "
     "get_current_ancestor_cgroup_id"},
    {all, {6, 18},
     "get_current_uid_gid get_current_comm perf_event_read current_task_under_cgroup "
     "perf_event_read_value send_signal send_signal_thread get_task_stack copy_from_user "
     "task_storage_get task_storage_delete get_branch_snapshot find_vma copy_from_user_task"},
    {tracers | cgroups, from_the_start,
     "get_current_comm"},
    {classifiers | cgroups | tunnels | sk_msg, from_the_start,
     "get_cgroup_classid"},
    {all, {6, 18},
     "get_cgroup_classid"},
    {classifiers, from_the_start,
     "skb_vlan_push skb_vlan_pop skb_change_proto skb_change_type set_hash skb_get_xfrm_state "
     "skb_cgroup_classid redirect_neigh redirect_peer skb_set_tstamp"},
    {classifiers | xdp | lwt_xmit, from_the_start,
     "redirect"},
    {classifiers | tunnels, from_the_start,
     "get_route_realm skb_under_cgroup get_hash_recalc"},
    {all & ~(sk_reuseport | flow_dissector | struct_ops | netfilter), from_the_start,
     "perf_event_output"},
    {classifiers | tunnels | socket_filter | cgroup_skb | sk_skb | sk_reuseport | flow_dissector, from_the_start,
     "skb_load_bytes"},
    {classifiers | tunnels | xdp, from_the_start,
     "csum_diff"},
    {cgroups, {6, 12},
     "current_task_under_cgroup"},
    {classifiers | lwt_in | lwt_out | lwt_xmit | sk_skb, from_the_start,
     "skb_pull_data"},
    {lwt_seg6local, {6, 18},
     "skb_pull_data"},
    {xdp, from_the_start,
     "xdp_adjust_head redirect_map xdp_adjust_meta xdp_adjust_tail xdp_load_bytes "
     "xdp_store_bytes"},
    {classifiers | socket_filter | cgroup_skb | cgroup_sock | sock_ops | sk_skb | cgroup_sock_addr | sk_reuseport | tracing | lsm | syscall, from_the_start,
     "get_socket_cookie"},
    {classifiers | socket_filter | cgroup_skb | sk_skb, from_the_start,
     "get_socket_uid"},
    {sock_ops | cgroup_sock_addr | cgroup_sockopt | struct_ops, from_the_start,
     "setsockopt getsockopt"},
    {classifiers | sk_skb, from_the_start,
     "skb_adjust_room"},
    {sk_skb, from_the_start,
     "sk_redirect_map sk_redirect_hash"},
    {sock_ops, from_the_start,
     "sock_map_update sock_ops_cb_flags_set sock_hash_update load_hdr_opt store_hdr_opt "
     "reserve_hdr_opt"},
    {perf_event, from_the_start,
     "perf_prog_read_value read_branch_records"},
    {kprobe, from_the_start,
     "override_return"},
    {sk_msg, from_the_start,
     "msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data msg_redirect_hash "
     "msg_push_data msg_pop_data"},
    {cgroup_sock_addr, from_the_start,
     "bind"},
    {classifiers | socket_filter | cgroup_skb | sk_reuseport, from_the_start,
     "skb_load_bytes_relative"},
    {classifiers | xdp, from_the_start,
     "fib_lookup tcp_check_syncookie tcp_gen_syncookie check_mtu tcp_raw_gen_syncookie_ipv4 "
     "tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6"},
    {lwt_in | lwt_xmit, from_the_start,
     "lwt_push_encap"},
    {lwt_seg6local, from_the_start,
     "lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action"},
    {lirc_mode2, from_the_start,
     "rc_repeat rc_keydown rc_pointer_rel"},
    {classifiers | cgroup_skb, from_the_start,
     "skb_cgroup_id skb_ancestor_cgroup_id sk_fullsock skb_ecn_set_ce get_listener_sock"},
    {cgroups | cgroup_skb | sock_ops | lsm, from_the_start,
     "get_local_storage"},
    {sk_reuseport, from_the_start,
     "sk_select_reuseport"},
    {classifiers | xdp | cgroup_skb | sk_skb | cgroup_sock_addr, from_the_start,
     "sk_lookup_tcp sk_lookup_udp skc_lookup_tcp"},
    {classifiers | xdp | cgroup_skb | sk_skb | cgroup_sock_addr | sk_lookup, from_the_start,
     "sk_release"},
    {classifiers | cgroup_skb | sock_ops | cgroup_sockopt, from_the_start,
     "tcp_sock"},
    {cgroup_sysctl, from_the_start,
     "sysctl_get_name sysctl_get_current_value sysctl_get_new_value sysctl_set_new_value"},
    {classifiers | cgroup_skb | cgroup_sock | sock_ops | sk_msg | cgroup_sock_addr | cgroup_sockopt | tracing | struct_ops | lsm | syscall, from_the_start,
     "sk_storage_get"},
    {classifiers | cgroup_skb | sock_ops | sk_msg | cgroup_sock_addr | cgroup_sockopt | tracing | struct_ops | lsm | syscall, from_the_start,
     "sk_storage_delete"},
    {tracing | lsm | syscall, from_the_start,
     "skb_output xdp_output d_path sock_from_file"},
    {struct_ops, from_the_start,
     "tcp_send_ack"},
    {cgroup_sock | sock_ops | sk_msg | cgroup_sock_addr | cgroup_sockopt, from_the_start,
     "get_netns_cookie"},
    {classifiers | socket_filter | cgroup_skb, {6, 18},
     "get_netns_cookie"},
    {classifiers | sk_lookup, from_the_start,
     "sk_assign"},
    {tracing, from_the_start,
     "seq_printf seq_write seq_printf_btf"},
    {cgroup_skb, from_the_start,
     "sk_cgroup_id sk_ancestor_cgroup_id"},
    {classifiers | tunnels | socket_filter | xdp | cgroup_skb | sock_ops | sk_skb | sk_msg | cgroup_sock_addr | flow_dissector | tracing | lsm | sk_lookup | syscall, from_the_start,
     "skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock "
     "skc_to_udp6_sock skc_to_unix_sock skc_to_mptcp_sock"},
    {lsm, from_the_start,
     "inode_storage_get inode_storage_delete bprm_opts_set ima_inode_hash ima_file_hash"},
    {all & ~(tracers | cgroup_device | cgroup_sockopt | netfilter), from_the_start,
     "ktime_get_coarse_ns"},
    {syscall, from_the_start,
     "sys_bpf btf_find_by_name_kind sys_close kallsyms_lookup_name"},
    {kprobe | tracepoint | perf_event | tracing | lsm, from_the_start,
     "get_attach_cookie"},
    {raw_tracepoint | raw_tracepoint_writable, {6, 12},
     "get_attach_cookie"},
    {tracing | lsm, from_the_start,
     "get_func_arg get_func_ret get_func_arg_cnt"},
    {cgroups | lsm, from_the_start,
     "get_retval set_retval"},
    {xdp | tracing | lsm | syscall, from_the_start,
     "xdp_get_buff_len"},
};
// clang-format on

}  // namespace

std::string_view helper_name(std::uint32_t helper) {
    return helper > 0 && helper < std::size(names) ? names[helper] : std::string_view{};
}

std::uint32_t helper_count() { return std::size(names); }

std::optional<Release> helper_since(std::uint32_t helper) {
    if (helper == 0 || helper >= std::size(names)) return std::nullopt;
    auto const* next =
        std::upper_bound(std::begin(releases), std::end(releases), helper,
                         [](std::uint32_t number, Newcomers r) { return number < r.first; });
    return std::prev(next)->since;
}

std::optional<Release> helper_since(std::uint32_t type, std::uint32_t helper) {
    std::optional<Release> const itself = helper_since(helper);
    constexpr std::uint32_t bits = 64;
    if (!itself || type >= bits) return std::nullopt;
    std::string_view const name = helper_name(helper).substr(std::string_view("bpf_").size());
    std::optional<Release> out;
    for (Grant const& grant : grants) {
        if ((grant.types & bit(type)) == 0 || !lists(grant.helpers, name)) continue;
        Release const since = std::max({grant.since, *itself, program_type(type).since});
        out = std::min(out.value_or(since), since);
    }
    return out;
}

}  // namespace tamis::runtime
