// Programs at routes.
#include "count.h"

SEC("lwt_in") int in(struct __sk_buff *ctx) { return count(0), BPF_OK; }
SEC("lwt_out") int out(struct __sk_buff *ctx) { return count(1), BPF_OK; }
SEC("lwt_xmit") int xmit(struct __sk_buff *ctx) { return count(2), BPF_OK; }
SEC("lwt_seg6local") int segment(struct __sk_buff *ctx) { return count(3), BPF_OK; }
