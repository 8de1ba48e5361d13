// A program that calls a function of a kernel yet to come.
#include "count.h"

static long (*const no_such_helper)(void) = (void *)9999;
SEC("xdp") int later(struct xdp_md *ctx) { return no_such_helper(); }
