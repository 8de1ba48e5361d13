// What reads and writes its context: at once, in a function, and by a pointer that went over the stack.
#include "count.h"

static __attribute__((noinline)) int length(struct __sk_buff *ctx) { return ctx->len + ctx->tstamp; }

SEC("tc") int marks(struct __sk_buff *ctx) {
    struct __sk_buff *volatile kept = ctx;
    bpf_skb_pull_data(ctx, 0);
    ctx->mark = length(ctx);
    ctx->cb[2] = kept->hash;
    return *(__u8 *)&ctx->protocol;
}

// The same field may not be written here.
SEC("xdp") int overwrites(struct xdp_md *ctx) {
    ctx->ingress_ifindex = 1;
    return XDP_PASS;
}

SEC("tp_btf/netif_receive_skb") int argument(__u64 *ctx) { return ctx[0] == 0; }
