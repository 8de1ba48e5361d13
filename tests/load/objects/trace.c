// Programs at trace points, events and functions of processes.
#include "count.h"

SEC("tracepoint/net/netif_receive_skb") int at_tracepoint(void *ctx) { return count(0), 0; }
SEC("tp/net/net_dev_queue") int at_tp(void *ctx) { return count(1), 0; }
SEC("raw_tracepoint/netif_receive_skb") int at_raw(void *ctx) { return count(2), 0; }
SEC("raw_tp/net_dev_queue") int at_raw_tp(void *ctx) { return count(3), 0; }
SEC("raw_tracepoint.w/bpf_test_finish") int at_writable(void *ctx) { return count(4), 0; }
SEC("raw_tp.w/bpf_test_finish") int at_writable_tp(void *ctx) { return count(5), 0; }
SEC("tp_btf/netif_receive_skb") int at_tp_btf(void *ctx) { return count(6), 0; }
SEC("perf_event") int at_event(void *ctx) { return count(7), 0; }
SEC("uprobe/tamis_test_function") int at_function(void *ctx) { return count(8), 0; }
SEC("uretprobe/tamis_test_function") int at_return(void *ctx) { return count(9), 0; }
SEC("uprobe.s/tamis_test_function") int at_function_sleeping(void *ctx) { return count(10), 0; }
SEC("uretprobe.s/tamis_test_function") int at_return_sleeping(void *ctx) { return count(11), 0; }
