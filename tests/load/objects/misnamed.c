// Names that no kernel has, near to some that it has.
#include "count.h"

SEC("tp/net/netif_recive_skb") int at_tp(void *ctx) { return 0; }
SEC("raw_tp/netif_recive_skb") int at_raw(void *ctx) { return 0; }
SEC("tp_btf/netif_recive_skb") int at_typed(void *ctx) { return 0; }
SEC("fentry/vfs_raed") int at_function(void *ctx) { return 0; }
SEC("lsm/file_opne") int at_lsm(void *ctx) { return 0; }
SEC("iter/taks") int at_iterator(void *ctx) { return 0; }
