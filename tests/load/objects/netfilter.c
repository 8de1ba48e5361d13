// A program at a netfilter hook.
#include "count.h"

SEC("netfilter") int filter(void *ctx) { return count(0), 1; }
