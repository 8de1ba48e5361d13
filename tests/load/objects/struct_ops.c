// Part of a table of the kernel's functions, which is registered as a whole.
#include "count.h"

struct tcp_congestion_ops {
    char name[16];
    unsigned int (*ssthresh)(void *sk);
};

SEC("struct_ops/ssthresh") unsigned int ssthresh(__u64 *ctx) { return count(0), 2; }

SEC(".struct_ops") struct tcp_congestion_ops table = {.name = "tamis_test", .ssthresh = (void *)ssthresh};
