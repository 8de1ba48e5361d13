// Programs at both ends of a netkit pair.
#include "count.h"

SEC("netkit/primary") int primary(struct __sk_buff *ctx) { return count(0), -1; }
SEC("netkit/peer") int peer(struct __sk_buff *ctx) { return count(1), -1; }
