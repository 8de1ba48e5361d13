// The program that sees a socket map's packets without a parser.
#include "count.h"

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

SEC("sk_skb") int verdict(struct __sk_buff *ctx) { return count(0), SK_PASS; }
