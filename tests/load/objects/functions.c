// Calls of the kernel's functions by name: one that there is, one that there is not.
#include "count.h"

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, __u32 *type) __attribute__((section(".ksyms")));
extern int no_such_function(void) __attribute__((section(".ksyms")));

SEC("xdp") int call(struct xdp_md *ctx) {
    __u32 hash = 0, type = 0;
    return bpf_xdp_metadata_rx_hash(ctx, &hash, &type) + no_such_function();
}
