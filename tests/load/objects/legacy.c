// As the kernel's samples were written until libbpf 1.0: the maps in a section of their own.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct bpf_map_def {
    unsigned int type, key_size, value_size, max_entries, map_flags;
};
struct bpf_map_def SEC("maps") runs = {
    .type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 2};
struct bpf_map_def SEC("maps") seen = {
    .type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 100, .map_flags = 1};

SEC("socket1") int count(struct __sk_buff *ctx) {
    __u32 key = 1;
    __u64 one = 1, *value = bpf_map_lookup_elem(&runs, &key);
    if (value) __sync_fetch_and_add(value, 1);
    bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
    return 0;
}

char gpl[] SEC("license") = "GPL";
__u32 made_for SEC("version") = 1;
