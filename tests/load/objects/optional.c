// Two programs for one place, of which the second is loaded only where it is named.
#include "count.h"

SEC("xdp") int first(struct xdp_md *ctx) { return count(0), XDP_PASS; }
SEC("?xdp") int second(struct xdp_md *ctx) { return count(1), XDP_PASS; }
