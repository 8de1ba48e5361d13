// Programs at the kernel's functions, by BTF.
#include "count.h"

SEC("fentry/ip_rcv") int at_entry(void *ctx) { return count(0), 0; }
SEC("fexit/ip_rcv") int at_exit(void *ctx) { return count(1), 0; }
SEC("fmod_ret/security_file_open") int instead(void *ctx) { return count(2), 0; }
SEC("lsm/file_open") int asked(void *ctx) { return count(3), 0; }
SEC("lsm.s/file_open") int asked_sleeping(void *ctx) { return count(4), 0; }
