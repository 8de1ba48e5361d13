// Programs at many functions of a program.
#include "count.h"

SEC("uprobe.multi/tamis_test_*") int at_entries(void *ctx) { return count(0), 0; }
SEC("uretprobe.multi/tamis_test_*") int at_returns(void *ctx) { return count(1), 0; }
SEC("uprobe.multi.s/tamis_test_*") int at_entries_sleeping(void *ctx) { return count(2), 0; }
SEC("uretprobe.multi.s/tamis_test_*") int at_returns_sleeping(void *ctx) { return count(3), 0; }
