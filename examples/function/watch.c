// An XDP program and a tc program that leave the looking at packets to filters of tamis.
#include <linux/bpf.h> // before those that use its types
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "is_dns.h"
#include "is_ping.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");

static void count(__u32 which) {
    __u64* counter = bpf_map_lookup_elem(&seen, &which);
    if (counter) __sync_fetch_and_add(counter, 1);
}

// A function that is given the context.
SEC("xdp")
int drop_pings(struct xdp_md* ctx) {
    if (!is_ping(ctx)) return XDP_PASS;
    count(0);
    return XDP_DROP;
}

// A function that is given where the packet's bytes are.
SEC("tc")
int count_dns(struct __sk_buff* skb) {
    bpf_skb_pull_data(skb, 0);  // all of it
    if (is_dns((void*)(long)skb->data, (void*)(long)skb->data_end)) count(1);
    return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
