// Programs at the kernel's functions.
#include "count.h"

SEC("kprobe/__netif_receive_skb_core") int at_entry(void *ctx) { return count(0), 0; }
SEC("kretprobe/ip_rcv") int at_return(void *ctx) { return count(1), 0; }
SEC("ksyscall/getppid") int at_system_call(void *ctx) { return count(2), 0; }
SEC("kprobe/ip_rcv") int at_ip(void *ctx) { return count(3), 0; }
SEC("kretsyscall/getppid") int at_system_call_return(void *ctx) { return count(4), 0; }
