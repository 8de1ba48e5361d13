// Programs at a function of the kernel's own tests, which may sleep.
#include "count.h"

SEC("fentry.s/bpf_fentry_test1") int at_entry(void *ctx) { return count(0), 0; }
SEC("fexit.s/bpf_fentry_test1") int at_exit(void *ctx) { return count(1), 0; }
SEC("fmod_ret.s/bpf_fentry_test1") int instead(void *ctx) { return count(2), 0; }
