// Prints every packet on lo: a probe at the function that all received packets go through.
//
// Two things have changed since this was first written.  Since Linux 5.8 the function's first
// argument points to the pointer to the packet.  And the compiler makes a clone of the function, so
// that its own name is no symbol any more; `tamis load` finds the clone.
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Only what is read; the loader puts the running kernel's offsets in.
struct net_device {
    char name[16];
} __attribute__((preserve_access_index));
struct sk_buff {
    unsigned int len;
    struct net_device *dev;
} __attribute__((preserve_access_index));

SEC("kprobe/__netif_receive_skb_core")
int BPF_KPROBE(received, struct sk_buff **where) {
    struct sk_buff *skb = NULL;
    char device[3] = {};
    bpf_probe_read_kernel(&skb, sizeof skb, where);
    BPF_CORE_READ_INTO(&device, skb, dev, name);
    if (device[0] == 'l' && device[1] == 'o' && device[2] == '\0')
        bpf_printk("skb %p len %d", skb, BPF_CORE_READ(skb, len));
    return 0;
}

char gpl[] SEC("license") = "GPL";
