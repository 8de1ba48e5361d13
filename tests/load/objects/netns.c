// Programs at a network namespace.
#include "count.h"

SEC("sk_lookup") int lookup(struct bpf_sk_lookup *ctx) { return count(0), SK_PASS; }
SEC("flow_dissector") int dissect(struct __sk_buff *ctx) { return count(1), BPF_OK; }
