// Filters as people write them, for `tamis prove --object`.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} packets SEC(".maps");

const volatile __u16 wanted = 80;
static __u64 total;

static __always_inline void *begin(struct xdp_md *ctx) { return (void *)(long)ctx->data; }
static __always_inline void *end(struct xdp_md *ctx) { return (void *)(long)ctx->data_end; }

// A function of its own, which looks at the packet again.
static __noinline int port(struct xdp_md *ctx, __u32 offset) {
    __u16 *ports = begin(ctx) + offset;
    if (offset > 200 || (void *)(ports + 2) > end(ctx)) return 0;
    return ports[0] == bpf_htons(wanted) || ports[1] == bpf_htons(wanted);
}

static __always_inline int tcp_port(struct xdp_md *ctx, int with_fragments) {
    struct ethhdr *eth = begin(ctx);
    if ((void *)(eth + 1) > end(ctx)) return 0;
    if (eth->h_proto == bpf_htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if ((void *)(ip + 1) > end(ctx) || ip->protocol != IPPROTO_TCP) return 0;
        if (!with_fragments && (ip->frag_off & bpf_htons(0x1fff))) return 0;
        __u32 source = ip->saddr;
        __u64 *value = bpf_map_lookup_elem(&seen, &source);
        if (value) __sync_fetch_and_add(value, 1);
        return port(ctx, sizeof *eth + 4 * ip->ihl);
    }
    if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip = (void *)(eth + 1);
        if ((void *)(ip + 1) > end(ctx) || ip->nexthdr != IPPROTO_TCP) return 0;
        return port(ctx, sizeof *eth + sizeof *ip);
    }
    return 0;
}

static __always_inline int answer(int match) {
    __u32 key = match;
    __u64 *value = bpf_map_lookup_elem(&packets, &key);
    if (value) ++*value;
    total += 1;
    return match ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int tcp_port_80(struct xdp_md *ctx) { return answer(tcp_port(ctx, 0)); }

// Later fragments have no ports.
SEC("xdp") int planted_bug(struct xdp_md *ctx) { return answer(tcp_port(ctx, 1)); }

SEC("xdp") int drops_udp(struct xdp_md *ctx) {
    struct ethhdr *eth = begin(ctx);
    struct iphdr *ip = (void *)(eth + 1);
    if ((void *)(ip + 1) > end(ctx)) return XDP_PASS;
    int udp = eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP;
    return udp ? XDP_DROP : XDP_TX;
}

// What the verifier would refuse.
SEC("xdp") int no_bounds(struct xdp_md *ctx) {
    struct ethhdr *eth = begin(ctx);
    return eth->h_proto == bpf_htons(ETH_P_ARP) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int moves_the_packet(struct xdp_md *ctx) {
    return bpf_xdp_adjust_head(ctx, 14) ? XDP_DROP : XDP_PASS;
}

// Depends on what the map holds.
SEC("xdp") int unseen(struct xdp_md *ctx) {
    __u32 key = 1;
    return bpf_map_lookup_elem(&seen, &key) ? XDP_DROP : XDP_PASS;
}

SEC("tc") int net_by_mask(struct __sk_buff *skb) {
    struct iphdr ip;
    __u16 type;
    if (bpf_skb_load_bytes(skb, 12, &type, sizeof type)) return 2;
    if (type != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, 14, &ip, sizeof ip)) return 2;
    return (ip.daddr & bpf_htonl(0xfffff000)) == bpf_htonl(0xac101000) ? 0 : 2;
}

// Pointers see what is linear, and nothing else.
SEC("tc") int linear_udp(struct __sk_buff *skb) {
    struct ethhdr *eth = (void *)(long)skb->data;
    struct iphdr *ip = (void *)(eth + 1);
    if ((void *)(ip + 1) > (void *)(long)skb->data_end) return 2;
    return eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP ? -1 : 2;
}

SEC("socket") int udp_at_socket(struct __sk_buff *skb) {
    __u16 type;
    __u8 protocol;
    if (bpf_skb_load_bytes(skb, 12, &type, sizeof type)) return 0;
    if (bpf_skb_load_bytes(skb, 23, &protocol, sizeof protocol)) return 0;
    return type == bpf_htons(ETH_P_IP) && protocol == IPPROTO_UDP ? skb->len : 0;
}

SEC("kprobe/tcp_v4_rcv") int no_packets(void *ctx) { return 0; }
SEC("mine") int no_type(void *ctx) { return 0; }

char gpl[] SEC("license") = "GPL";
