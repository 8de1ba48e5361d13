// Programs at many of the kernel's functions.
#include "count.h"

SEC("kprobe.multi/ip_rcv*") int at_many(void *ctx) { return count(0), 0; }
SEC("kretprobe.multi/ip_rcv*") int at_many_returns(void *ctx) { return count(1), 0; }
