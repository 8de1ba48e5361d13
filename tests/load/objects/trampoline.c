// Programs at the kernel's functions, by BTF.
#include "count.h"

SEC("fentry/ip_rcv") int at_entry(void *ctx) { return count(0), 0; }
SEC("fexit/ip_rcv") int at_exit(void *ctx) { return count(1), 0; }
