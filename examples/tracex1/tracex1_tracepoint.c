// The same by a trace point, for kernels without kprobes: packets on lo come through netif_rx.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

// /sys/kernel/tracing/events/net/netif_rx/format
struct netif_rx {
    __u64 common;
    void *skb;
    __u32 len;
    __u32 device;  // where the name is: the lower half is its offset from here on the whole
};

SEC("tracepoint/net/netif_rx")
int received(struct netif_rx *event) {
    char device[3] = {};
    bpf_probe_read_kernel(device, sizeof device, (char *)event + (event->device & 0xffff));
    if (device[0] == 'l' && device[1] == 'o' && device[2] == '\0')
        bpf_printk("skb %p len %d", event->skb, event->len);
    return 0;
}

char gpl[] SEC("license") = "GPL";
