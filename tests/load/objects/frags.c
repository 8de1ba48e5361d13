// A program that takes packets in several buffers.
#include "count.h"

SEC("xdp.frags") int at_xdp(struct xdp_md *ctx) { return count(0), XDP_PASS; }
