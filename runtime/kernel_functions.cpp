// Source: the kernel's history, for those that programs for packets and tracing are likely to call.
#include "runtime/kernel_functions.h"

#include "runtime/word_list.h"

namespace tamis::runtime {
namespace {

struct Arrivals {
    Release since;
    std::string_view names;
};
// clang-format off
constexpr Arrivals arrivals[] = {
    {{5, 18}, "bpf_skb_ct_lookup bpf_xdp_ct_lookup bpf_ct_release"},
    {{6, 0},  "bpf_skb_ct_alloc bpf_xdp_ct_alloc bpf_ct_insert_entry bpf_ct_set_timeout "
              "bpf_ct_change_timeout bpf_ct_set_status bpf_ct_change_status"},
    {{6, 1},  "bpf_lookup_user_key bpf_lookup_system_key bpf_key_put bpf_verify_pkcs7_signature "
              "bpf_ct_set_nat_info"},
    {{6, 2},  "bpf_obj_new_impl bpf_obj_drop_impl bpf_list_push_front_impl bpf_list_push_back_impl "
              "bpf_list_pop_front bpf_list_pop_back bpf_task_acquire bpf_task_release "
              "bpf_task_from_pid bpf_cgroup_acquire bpf_cgroup_release bpf_cgroup_ancestor "
              "bpf_cast_to_kern_ctx bpf_rdonly_cast bpf_rcu_read_lock bpf_rcu_read_unlock "
              "bpf_skb_get_xfrm_info bpf_skb_set_xfrm_info"},
    {{6, 3},  "bpf_xdp_metadata_rx_timestamp bpf_xdp_metadata_rx_hash bpf_rbtree_add_impl "
              "bpf_rbtree_remove bpf_rbtree_first bpf_cpumask_create bpf_cpumask_acquire "
              "bpf_cpumask_release bpf_cpumask_set_cpu bpf_cpumask_clear_cpu bpf_cpumask_test_cpu"},
    {{6, 4},  "bpf_dynptr_from_skb bpf_dynptr_from_xdp bpf_dynptr_slice bpf_dynptr_slice_rdwr "
              "bpf_iter_num_new bpf_iter_num_next bpf_iter_num_destroy bpf_refcount_acquire_impl "
              "bpf_skb_set_fou_encap bpf_skb_get_fou_encap bpf_cgroup_from_id"},
    {{6, 5},  "bpf_dynptr_adjust bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size "
              "bpf_dynptr_clone bpf_sock_destroy bpf_task_under_cgroup"},
    {{6, 6},  "bpf_map_sum_elem_count"},
    {{6, 7},  "bpf_throw bpf_iter_task_vma_new bpf_iter_task_vma_next bpf_iter_task_vma_destroy "
              "bpf_iter_css_new bpf_iter_css_next bpf_iter_css_destroy bpf_iter_task_new "
              "bpf_iter_task_next bpf_iter_task_destroy bpf_iter_css_task_new "
              "bpf_percpu_obj_new_impl bpf_percpu_obj_drop_impl"},
    {{6, 8},  "bpf_xdp_metadata_rx_vlan_tag bpf_get_file_xattr bpf_get_fsverity_digest "
              "bpf_xdp_get_xfrm_state bpf_xdp_xfrm_state_release bpf_task_get_cgroup1"},
    {{6, 9},  "bpf_arena_alloc_pages bpf_arena_free_pages bpf_sk_assign_tcp_reqsk"},
    {{6, 10}, "bpf_preempt_disable bpf_preempt_enable bpf_wq_init bpf_wq_start "
              "bpf_wq_set_callback_impl bpf_session_cookie bpf_session_is_return bpf_crypto_ctx_create "
              "bpf_crypto_ctx_acquire bpf_crypto_ctx_release bpf_crypto_encrypt bpf_crypto_decrypt "
              "bpf_iter_bits_new bpf_iter_bits_next bpf_iter_bits_destroy"},
    {{6, 12}, "bpf_copy_from_user_str bpf_get_dentry_xattr bpf_get_task_exe_file bpf_put_file "
              "bpf_path_d_path"},
};
// clang-format on

}  // namespace

std::optional<Release> kernel_function_since(std::string_view name) {
    for (Arrivals const& row : arrivals)
        if (lists(row.names, name)) return row.since;
    return std::nullopt;
}

}  // namespace tamis::runtime
