// A program at an event.
#include "count.h"

SEC("perf_event") int at_event(void *ctx) { return count(0), 0; }
