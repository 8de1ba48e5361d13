// Programs at a map of sockets.
#include "count.h"

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

SEC("sk_skb/stream_parser") int parser(struct __sk_buff *ctx) { return count(0), ctx->len; }
SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *ctx) { return count(1), SK_PASS; }
SEC("sk_msg") int message(struct sk_msg_md *ctx) { return count(2), SK_PASS; }
