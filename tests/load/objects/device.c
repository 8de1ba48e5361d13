// Programs at a network interface, on every kernel.
#include "count.h"

SEC("xdp") int at_xdp(struct xdp_md *ctx) { return count(0), XDP_PASS; }
SEC("socket") int at_socket(struct __sk_buff *ctx) { return count(1), 0; }
