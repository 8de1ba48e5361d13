// In the manner of the kernel's samples until libbpf 1.0: the map is a struct of numbers in a section
// of its own, the format a string on the stack, and there is no BTF.  Without BTF nothing knows where
// the kernel keeps a packet's length, so this one counts.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct bpf_map_def {
    unsigned int type;
    unsigned int key_size;
    unsigned int value_size;
    unsigned int max_entries;
    unsigned int map_flags;
};

struct bpf_map_def SEC("maps") packets = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(__u64),
    .max_entries = 1,
};

SEC("kprobe/__netif_receive_skb_core")
int bpf_prog1(void *ctx) {
    char text[] = "packet %d\n";
    __u32 key = 0;
    __u64 *count = bpf_map_lookup_elem(&packets, &key);
    if (!count) return 0;
    __sync_fetch_and_add(count, 1);
    bpf_trace_printk(text, sizeof text, *count);
    return 0;
}

char gpl[] SEC("license") = "GPL";
__u32 made_for SEC("version") = 0;
