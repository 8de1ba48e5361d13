// Programs at a control group.
#include "count.h"

SEC("cgroup_skb/ingress") int in(struct __sk_buff *ctx) { return count(0), 1; }
SEC("cgroup_skb/egress") int out(struct __sk_buff *ctx) { return count(1), 1; }
SEC("cgroup/sock_create") int create(struct bpf_sock *ctx) { return count(2), 1; }
SEC("cgroup/sock_release") int release(struct bpf_sock *ctx) { return count(3), 1; }
SEC("cgroup/post_bind4") int bound(struct bpf_sock *ctx) { return count(4), 1; }
SEC("cgroup/bind4") int bind4(struct bpf_sock_addr *ctx) { return count(5), 1; }
SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { return count(6), 1; }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { return count(7), 1; }
SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx) { return count(8), 1; }
SEC("cgroup/getpeername4") int peer(struct bpf_sock_addr *ctx) { return count(9), 1; }
SEC("cgroup/getsockname4") int name(struct bpf_sock_addr *ctx) { return count(10), 1; }
SEC("cgroup/sysctl") int sysctl(struct bpf_sysctl *ctx) { return count(11), 1; }
SEC("cgroup/getsockopt") int get(struct bpf_sockopt *ctx) { return count(12), 1; }
SEC("cgroup/setsockopt") int set(struct bpf_sockopt *ctx) { return count(13), 1; }
SEC("cgroup/dev") int device(struct bpf_cgroup_dev_ctx *ctx) { return count(14), 1; }
SEC("sockops") int operation(struct bpf_sock_ops *ctx) { return count(15), 1; }
SEC("cgroup/bind6") int bind6(struct bpf_sock_addr *ctx) { return count(16), 1; }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) { return count(17), 1; }
SEC("cgroup/post_bind6") int bound6(struct bpf_sock *ctx) { return count(18), 1; }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) { return count(19), 1; }
SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx) { return count(20), 1; }
SEC("cgroup/getpeername6") int peer6(struct bpf_sock_addr *ctx) { return count(21), 1; }
SEC("cgroup/getsockname6") int name6(struct bpf_sock_addr *ctx) { return count(22), 1; }
SEC("cgroup/skb") int skb(struct __sk_buff *ctx) { return count(23), 1; }
SEC("cgroup/sock") int sock(struct bpf_sock *ctx) { return count(24), 1; }
