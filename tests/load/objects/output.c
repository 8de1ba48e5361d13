// Output by the trace pipe, a ring buffer and a perf event array.
#include "count.h"

struct event {
    __u32 length;
    __u16 port;
    char name[6];
};
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
    __type(value, struct event);
} ring SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} perf SEC(".maps");

SEC("xdp") int report(struct xdp_md *ctx) {
    struct event event = {.length = ctx->data_end - ctx->data, .port = 80, .name = "tamis"};
    count(0);
    bpf_ringbuf_output(&ring, &event, sizeof event, 0);
    bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof event);
    bpf_printk("length %d", event.length);
    return XDP_PASS;
}
