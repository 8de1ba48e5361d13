#!/bin/sh
# Objects and bytecode of tamis with other people's tools, where a kernel has what they need: libxdp's
# chain of programs, tc's classifier and tc's action.
# Run by kernels.py, as root in a machine of its own.
set -eu
PATH=$PATH:/usr/sbin

. tests/qemu/network.sh

make_network

# packets MAP: what it counted as matching, on all CPUs.
packets() {
    bpftool -j map dump name "$1" | grep -o '"key":1.*' | grep -o '"packets":[0-9]*' | tail -n 1 | grep -o '[0-9]*$'
}

# Two programs on one interface.  The first passes packets on, by what it says to libxdp; the second
# sees those, and drops pings.
tamis compile --hook xdp --priority 10 --chain pass,tx -f first=icmp -o /tmp/first.o
tamis compile --hook xdp --priority 20 --match drop -f second='icmp[icmptype] = icmp-echo' -o /tmp/second.o
xdp-loader load -m skb near /tmp/second.o /tmp/first.o >/tmp/loaded 2>&1 || fail "$(cat /tmp/loaded)"
xdp-loader status near >/tmp/status
grep -q 'xdp_dispatcher' /tmp/status || fail "not chained: $(cat /tmp/status)"
grep -Eq '^ => +10 +first .*XDP_PASS,XDP_TX' /tmp/status || fail "$(cat /tmp/status)"
grep -Eq '^ => +20 +second .*XDP_PASS' /tmp/status || fail "$(cat /tmp/status)"
! pings_from_peer || fail "the second program drops nothing"
[ "$(packets first_counters)" = 3 ] && [ "$(packets second_counters)" = 3 ] ||
    fail "counted $(packets first_counters) and $(packets second_counters) pings"
xdp-loader unload near --all
pings_from_peer || fail "still chained when unloaded"
echo "libxdp: two programs in a chain, each saw 3 pings"

# tc, as a classifier: the object, and the classic program itself.
tc qdisc add dev near clsact
stops() { # NAME ARGUMENTS...: tc's filter with these stops pings, and nothing stops them without it
    name=$1
    shift
    tc filter add dev near ingress "$@" || fail "$name: tc does not take it"
    ! pings_from_peer || fail "$name: lets pings through"
    tc filter del dev near ingress
    pings_from_peer || fail "$name: still there when deleted"
    echo "$name: stops pings"
}
tamis compile --hook tc-ingress --match shot -o /tmp/cls.o icmp
stops "cls_bpf, object" bpf direct-action object-file /tmp/cls.o section tc
stops "cls_bpf, bytecode" bpf bytecode "$(tamis compile --emit bytecode icmp)" flowid 1:1 action drop

# As an action.  A classic program's value is an action there: 0 lets the packet go, -1 means what is
# said on tc's command line.
tamis compile --hook tc-action --match shot -o /tmp/act.o icmp
stops "act_bpf, object" matchall action bpf object-file /tmp/act.o section action
stops "act_bpf, bytecode" matchall action bpf bytecode "$(tamis compile -s 4294967295 --emit bytecode icmp)" drop
remove_network
