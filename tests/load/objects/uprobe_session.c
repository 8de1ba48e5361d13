// Programs at the entries and returns of many functions of a program.
#include "count.h"

SEC("uprobe.session/tamis_test_*") int session(void *ctx) { return count(0), 0; }
SEC("uprobe.session.s/tamis_test_*") int session_sleeping(void *ctx) { return count(1), 0; }
