// A section that names nothing.
#include "count.h"

SEC("xpd") int mistyped(struct xdp_md *ctx) { return XDP_PASS; }
