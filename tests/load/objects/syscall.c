// A program that runs when it is asked to.
#include "count.h"

SEC("syscall") int run(void *ctx) { return count(0), 0; }
