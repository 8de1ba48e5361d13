// An action of tc.
#include "count.h"

SEC("action") int act(struct __sk_buff *ctx) { return count(0), 0; }
