// A program at the entries and returns of many of the kernel's functions.
#include "count.h"

SEC("kprobe.session/ip_rcv*") int session(void *ctx) { return count(0), 0; }
