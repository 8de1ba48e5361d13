// Programs that choose among the sockets of a port.
#include "count.h"

SEC("sk_reuseport") int select(struct sk_reuseport_md *ctx) { return count(0), SK_PASS; }
SEC("sk_reuseport/migrate") int migrate(struct sk_reuseport_md *ctx) { return count(1), SK_PASS; }
