// One program, as the README loads it.
#include "count.h"

SEC("xdp") int pass(struct xdp_md *ctx) { return count(0), XDP_PASS; }
