// A security hook of a control group.
#include "count.h"

SEC("lsm_cgroup/socket_bind") int bind(void *ctx) { return count(0), 1; }
