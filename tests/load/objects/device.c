// Programs at a network interface.
#include "count.h"

SEC("xdp") int at_xdp(struct xdp_md *ctx) { return count(0), XDP_PASS; }
SEC("tc") int at_tc(struct __sk_buff *ctx) { return count(1), -1; }
SEC("tcx/egress") int at_egress(struct __sk_buff *ctx) { return count(2), -1; }
SEC("socket") int at_socket(struct __sk_buff *ctx) { return count(3), 0; }
