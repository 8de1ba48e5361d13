// Programs at a control group, for unix sockets.
#include "count.h"

SEC("cgroup/connect_unix") int connect(struct bpf_sock_addr *ctx) { return count(0), 1; }
SEC("cgroup/sendmsg_unix") int sendmsg(struct bpf_sock_addr *ctx) { return count(1), 1; }
SEC("cgroup/recvmsg_unix") int recvmsg(struct bpf_sock_addr *ctx) { return count(2), 1; }
SEC("cgroup/getpeername_unix") int peer(struct bpf_sock_addr *ctx) { return count(3), 1; }
SEC("cgroup/getsockname_unix") int name(struct bpf_sock_addr *ctx) { return count(4), 1; }
