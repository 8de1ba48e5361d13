// Nothing that is loaded by itself.
#include "count.h"

SEC("?xdp") int pass(struct xdp_md *ctx) { return count(0), XDP_PASS; }
