// Programs at tc, under all the names.  Each lets the next one see the packet.
#include "count.h"

SEC("tc") int plain(struct __sk_buff *ctx) { return count(0), -1; }
SEC("classifier") int named(struct __sk_buff *ctx) { return count(1), -1; }
SEC("tc/ingress") int tc_in(struct __sk_buff *ctx) { return count(2), -1; }
SEC("tc/egress") int tc_out(struct __sk_buff *ctx) { return count(3), -1; }
SEC("tcx/ingress") int tcx_in(struct __sk_buff *ctx) { return count(4), -1; }
SEC("tcx/egress") int tcx_out(struct __sk_buff *ctx) { return count(5), -1; }
