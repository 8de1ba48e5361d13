// Programs of map entries, and the program whose verdict uses the entries: small packets by the device,
// large ones by the processor.  Compiled twice, for the sections xdp and xdp.frags.
#include "count.h"

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct bpf_devmap_val));
} devices SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_CPUMAP);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct bpf_cpumap_val));
} processors SEC(".maps");

SEC(XDP "/devmap") int device(struct xdp_md *ctx) { return count(0), XDP_DROP; }
SEC(XDP "/cpumap") int processor(struct xdp_md *ctx) { return count(1), XDP_PASS; }
SEC(XDP) int redirect(struct xdp_md *ctx) {
    count(2);
    return ctx->data_end - ctx->data < 100 ? bpf_redirect_map(&devices, 0, 0) : bpf_redirect_map(&processors, 0, 0);
}
