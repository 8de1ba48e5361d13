// Programs at a function of processes.
#include "count.h"

SEC("uprobe/getppid") int at_entry(void *ctx) { return count(0), 0; }
SEC("uretprobe/getppid") int at_return(void *ctx) { return count(1), 0; }
