// A call of a function that only a module has: veth's.
#include "count.h"

extern int veth_open(void *device) __attribute__((section(".ksyms")));

SEC("xdp") int call(struct xdp_md *ctx) { return veth_open(ctx); }
