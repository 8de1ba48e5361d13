// Extended programs as text.  The words are those of the kernel's own listing (print_bpf_insn, as
// the verifier log shows it); a kernel test compares every form.  With a program at hand, maps and
// local functions get their names, in bpftool's manner.
#include "bpf/ebpf_text.h"

#include <algorithm>
#include <array>
#include <functional>

#include <fmt/core.h>

namespace tamis::ebpf {
namespace {

constexpr std::uint8_t u(auto e) { return static_cast<std::uint8_t>(e); }

// Helpers 0 to 211 in order, without their prefix `bpf_` (linux/bpf.h).
// clang-format off
constexpr std::string_view helper_words =
    "unspec map_lookup_elem map_update_elem map_delete_elem probe_read ktime_get_ns "
    "trace_printk get_prandom_u32 get_smp_processor_id skb_store_bytes l3_csum_replace "
    "l4_csum_replace tail_call clone_redirect get_current_pid_tgid get_current_uid_gid "
    "get_current_comm get_cgroup_classid skb_vlan_push skb_vlan_pop skb_get_tunnel_key "
    "skb_set_tunnel_key perf_event_read redirect get_route_realm perf_event_output "
    "skb_load_bytes get_stackid csum_diff skb_get_tunnel_opt skb_set_tunnel_opt "
    "skb_change_proto skb_change_type skb_under_cgroup get_hash_recalc get_current_task "
    "probe_write_user current_task_under_cgroup skb_change_tail skb_pull_data csum_update "
    "set_hash_invalid get_numa_node_id skb_change_head xdp_adjust_head probe_read_str "
    "get_socket_cookie get_socket_uid set_hash setsockopt skb_adjust_room redirect_map "
    "sk_redirect_map sock_map_update xdp_adjust_meta perf_event_read_value "
    "perf_prog_read_value getsockopt override_return sock_ops_cb_flags_set msg_redirect_map "
    "msg_apply_bytes msg_cork_bytes msg_pull_data bind xdp_adjust_tail skb_get_xfrm_state "
    "get_stack skb_load_bytes_relative fib_lookup sock_hash_update msg_redirect_hash "
    "sk_redirect_hash lwt_push_encap lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action "
    "rc_repeat rc_keydown skb_cgroup_id get_current_cgroup_id get_local_storage "
    "sk_select_reuseport skb_ancestor_cgroup_id sk_lookup_tcp sk_lookup_udp sk_release "
    "map_push_elem map_pop_elem map_peek_elem msg_push_data msg_pop_data rc_pointer_rel "
    "spin_lock spin_unlock sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock "
    "skc_lookup_tcp tcp_check_syncookie sysctl_get_name sysctl_get_current_value "
    "sysctl_get_new_value sysctl_set_new_value strtol strtoul sk_storage_get "
    "sk_storage_delete send_signal tcp_gen_syncookie skb_output probe_read_user "
    "probe_read_kernel probe_read_user_str probe_read_kernel_str tcp_send_ack "
    "send_signal_thread jiffies64 read_branch_records get_ns_current_pid_tgid xdp_output "
    "get_netns_cookie get_current_ancestor_cgroup_id sk_assign ktime_get_boot_ns seq_printf "
    "seq_write sk_cgroup_id sk_ancestor_cgroup_id ringbuf_output ringbuf_reserve "
    "ringbuf_submit ringbuf_discard ringbuf_query csum_level skc_to_tcp6_sock skc_to_tcp_sock "
    "skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock get_task_stack "
    "load_hdr_opt store_hdr_opt reserve_hdr_opt inode_storage_get inode_storage_delete d_path "
    "copy_from_user snprintf_btf seq_printf_btf skb_cgroup_classid redirect_neigh per_cpu_ptr "
    "this_cpu_ptr redirect_peer task_storage_get task_storage_delete get_current_task_btf "
    "bprm_opts_set ktime_get_coarse_ns ima_inode_hash sock_from_file check_mtu "
    "for_each_map_elem snprintf sys_bpf btf_find_by_name_kind sys_close timer_init "
    "timer_set_callback timer_start timer_cancel get_func_ip get_attach_cookie task_pt_regs "
    "get_branch_snapshot trace_vprintk skc_to_unix_sock kallsyms_lookup_name find_vma loop "
    "strncmp get_func_arg get_func_ret get_func_arg_cnt get_retval set_retval "
    "xdp_get_buff_len xdp_load_bytes xdp_store_bytes copy_from_user_task skb_set_tstamp "
    "ima_file_hash kptr_xchg map_lookup_percpu_elem skc_to_mptcp_sock dynptr_from_mem "
    "ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read "
    "dynptr_write dynptr_data tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6 "
    "tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6 ktime_get_tai_ns "
    "user_ringbuf_drain cgrp_storage_get cgrp_storage_delete ";
// clang-format on
constexpr std::size_t helper_count = 212;

constexpr auto helper_names = [] {
    std::array<std::string_view, helper_count> names;
    std::string_view rest = helper_words;
    for (std::string_view& name : names) {
        name = rest.substr(0, rest.find(' '));
        rest.remove_prefix(name.size() + 1);
    }
    return names;
}();
static_assert(helper_names.back() == "cgrp_storage_delete");

std::string reg(unsigned number, bool wide = true) {
    return fmt::format("{}{}", wide ? 'r' : 'w', number);
}

// The width in bits, as in u16.
unsigned bits(Insn const& insn) { return 8 * bytes(size_of(insn)); }

// `*(u16 *)(r8 +12)`
std::string memory(Insn const& insn, unsigned base, char sign = 'u') {
    return fmt::format("*({}{} *)(r{} {:+d})", sign, bits(insn), base, insn.off);
}

std::string end_text(Insn const& insn) {
    bool const bswap = class_of(insn) == Class::alu64;
    std::string_view const name = bswap ? "bswap" : source_is_reg(insn) ? "be" : "le";
    return fmt::format("r{0} = {1}{2} r{0}", insn.dst, name, insn.imm);
}

std::string mov_text(Insn const& insn, std::string const& dst, std::string const& src) {
    bool const wide = class_of(insn) == Class::alu64;
    if (wide && insn.off == 1)
        return fmt::format("{} = addr_space_cast({}, {}, {})", dst, src,
                           static_cast<std::uint32_t>(insn.imm) >> 16, insn.imm & 0xffff);
    if (wide && insn.off == -1) return fmt::format("{} = &(void __percpu *)({})", dst, src);
    bool const cast = insn.off == 8 || insn.off == 16 || insn.off == 32;
    return cast ? fmt::format("{} = (s{}){}", dst, insn.off, src)
                : fmt::format("{} = {}", dst, src);
}

std::string alu_text(Insn const& insn) {
    if (op_of(insn) == u(Alu::end)) return end_text(insn);
    bool const wide = class_of(insn) == Class::alu64;
    std::string const dst = reg(insn.dst, wide), src = reg(insn.src, wide);
    if (op_of(insn) == u(Alu::neg)) return fmt::format("{0} = -{0}", dst);
    AluOp const* op = find_alu(insn.code);
    if (op == nullptr) return "";
    if (op->op == Alu::mov && source_is_reg(insn)) return mov_text(insn, dst, src);
    bool const is_signed = insn.off == 1 && !op->sign_name.empty();
    return fmt::format("{} {} {}", dst, is_signed ? op->sign_name : op->name,
                       source_is_reg(insn) ? src : std::to_string(insn.imm));
}

std::string atomic_text(Insn const& insn) {
    AtomicOp const* op = find_atomic(insn.imm);
    if (op == nullptr) return "";
    return fmt::format(fmt::runtime(op->text), fmt::arg("dst", reg(insn.dst)),
                       fmt::arg("src", reg(insn.src)),
                       fmt::arg("off", fmt::format("{:+d}", insn.off)),
                       fmt::arg("size", fmt::format("u{}", bits(insn))),
                       fmt::arg("width", size_of(insn) == Size::dword ? "64" : ""));
}

// A 64-bit load of a map or of a place in a map's value; empty for all other loads, and for maps
// that the program does not have.
std::string map_text(Insn const& first, Insn const& second, Program const* program) {
    bool const value = first.src == u(Pseudo::map_index_value);
    if (program == nullptr || (first.src != u(Pseudo::map_index) && !value)) return "";
    auto const index = static_cast<std::uint32_t>(first.imm);
    if (index >= program->maps.size()) return "";
    std::string const name = fmt::format("map[{}]", program->maps[index].name);
    return value ? fmt::format("{}[0]{:+d}", name, second.imm) : name;
}

std::string ld_text(std::span<Insn const> insns, Program const* program) {
    Insn const& insn = insns[0];
    if (mode_of(insn) == Mode::abs)
        return fmt::format("r0 = *(u{} *)skb[{}]", bits(insn), insn.imm);
    if (mode_of(insn) == Mode::ind)
        return fmt::format("r0 = *(u{} *)skb[r{} + {}]", bits(insn), insn.src, insn.imm);
    if (!is_ld_imm64(insn) || insns.size() < 2) return "";
    std::string const map = map_text(insn, insns[1], program);
    if (!map.empty()) return fmt::format("r{} = {}", insn.dst, map);
    auto const high = static_cast<std::uint32_t>(insns[1].imm);
    auto const low = static_cast<std::uint32_t>(insn.imm);
    return fmt::format("r{} = 0x{:x}", insn.dst, std::uint64_t{high} << 32 | low);
}

// The function that starts where a local call goes; null when the program does not tell.
Function const* callee(Insn const& insn, Program const* program) {
    if (program == nullptr) return nullptr;
    Insn const* const begin = program->insns.data();
    Insn const* const end = begin + program->insns.size();
    if (std::less<>{}(&insn, begin) || !std::less<>{}(&insn, end)) return nullptr;
    std::int64_t const target = (&insn - begin) + std::int64_t{1} + insn.imm;
    auto const at = std::find_if(program->functions.begin(), program->functions.end(),
                                 [&](Function const& f) { return f.begin == target; });
    return at == program->functions.end() ? nullptr : &*at;
}

std::string call_text(Insn const& insn, Program const* program) {
    switch (static_cast<Callee>(insn.src)) {
        case Callee::helper:
            if (insn.imm < 0 || insn.imm >= static_cast<std::int32_t>(helper_count))
                return fmt::format("call unknown#{}", insn.imm);
            return fmt::format("call bpf_{}#{}", helper_names[static_cast<std::size_t>(insn.imm)],
                               insn.imm);
        case Callee::local:
            if (Function const* function = callee(insn, program))
                return fmt::format("call {}", function->name);
            return fmt::format("call pc{:+d}", insn.imm);
        case Callee::kfunc:  // in a program that a kernel holds, the name is in that kernel's BTF
            if (program != nullptr && insn.imm >= 0 && insn.imm < kfunc_count)
                return fmt::format("call {}", name_of(static_cast<Kfunc>(insn.imm)));
            return fmt::format("call kernel-function#{}", insn.imm);
    }
    return "";
}

std::string jump_text(Insn const& insn, Program const* program) {
    bool const wide = class_of(insn) == Class::jmp;
    switch (static_cast<Jump>(op_of(insn))) {
        case Jump::ja:
            return wide ? fmt::format("goto pc{:+d}", insn.off)
                        : fmt::format("gotol pc{:+d}", insn.imm);
        case Jump::call:
            return call_text(insn, program);
        case Jump::exit:
            return "exit";
        case Jump::may_goto:
            return fmt::format("may_goto pc{:+d}", insn.off);
    }
    JumpOp const* op = find_jump(insn.code);
    if (op == nullptr) return "";
    std::string const operand = source_is_reg(insn)
                                    ? reg(insn.src, wide)
                                    : fmt::format("0x{:x}", static_cast<std::uint32_t>(insn.imm));
    return fmt::format("if {} {} {} goto pc{:+d}", reg(insn.dst, wide), op->name, operand,
                       insn.off);
}

std::string memory_text(Insn const& insn) {
    bool const plain = mode_of(insn) == Mode::mem;
    switch (class_of(insn)) {
        case Class::ldx:
            if (!plain && mode_of(insn) != Mode::memsx) return "";
            return fmt::format("r{} = {}", insn.dst, memory(insn, insn.src, plain ? 'u' : 's'));
        case Class::st:
            return plain ? fmt::format("{} = {}", memory(insn, insn.dst), insn.imm) : "";
        case Class::stx:
            if (mode_of(insn) == Mode::atomic) return atomic_text(insn);
            return plain ? fmt::format("{} = r{}", memory(insn, insn.dst), insn.src) : "";
        case Class::ld:
        case Class::jmp:
        case Class::jmp32:
        case Class::alu:
        case Class::alu64:
            break;
    }
    return "";
}

// Empty where the kernel has no words either.  Reserved fields are not looked at: the kernel's own
// translation of classic programs leaves things there.
std::string text_of(std::span<Insn const> insns, Program const* program) {
    Insn const& insn = insns[0];
    switch (class_of(insn)) {
        case Class::ld:
            return ld_text(insns, program);
        case Class::ldx:
        case Class::st:
        case Class::stx:
            return memory_text(insn);
        case Class::jmp:
        case Class::jmp32:
            return jump_text(insn, program);
        case Class::alu:
        case Class::alu64:
            return alu_text(insn);
    }
    return "";
}

}  // namespace

std::string disassemble(std::span<Insn const> insns, Program const* program) {
    if (insns.empty()) return "";
    std::string text = text_of(insns, program);
    if (!text.empty()) return text;
    Insn const& insn = insns[0];
    return fmt::format("unknown: dst {}, src {}, off {}, imm {}", insn.dst, insn.src, insn.off,
                       insn.imm);
}

std::string listing(Program const& program) {
    std::string out;
    std::span<Insn const> const insns = program.insns;
    for (std::size_t i = 0; i < insns.size(); ++i) {
        if (program.functions.size() > 1)
            for (Function const& function : program.functions)
                if (function.begin == i) out += function.name + ":\n";
        out += fmt::format("{:4}: ({:02x}) {}\n", i, insns[i].code,
                           disassemble(insns.subspan(i), &program));
        if (is_ld_imm64(insns[i])) ++i;
    }
    return out;
}

}  // namespace tamis::ebpf
