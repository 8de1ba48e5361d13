#!/bin/sh
# tamis attach in a guest: what is a link on newer kernels stays here and wants a name, actions of tc
# (the module act_bpf), and what the kernel lacks is refused in words.
set -eu

. tests/qemu/network.sh

make_network

counts() { # NAME: as listed
    tamis list >/tmp/list
    grep -A 2 "^$1: " /tmp/list | grep -q "matched $2 packets" || fail "$1: $(cat /tmp/list)"
}

# Filters at tc stop pings, and are gone when detached.
tamis attach --hook tc-egress -i near --match shot --pin stop 'icmp and dst host 10.77.0.2' 2>/tmp/err ||
    fail "tc-egress: $(cat /tmp/err)"
case $(uname -r) in
    6.1.*) grep -q "^attached tc-egress near clsact id" /tmp/err || fail "$(cat /tmp/err)" ;;
    *) grep -q "^attached tc-egress near tcx id" /tmp/err || fail "$(cat /tmp/err)" ;;
esac
cat /tmp/err
! pings || fail "the filter lets pings through"
counts stop 3
tamis detach stop
pings || fail "still there when detached"
! tc qdisc show dev near | grep -q clsact || fail "clsact is still there"

# An action that a filter of tc refers to.
tamis attach --hook tc-action --match shot --pin act icmp 2>/tmp/err || fail "tc-action: $(cat /tmp/err)"
cat /tmp/err
index=$(sed -n 's/.*`action bpf index \([0-9]*\)`.*/\1/p' /tmp/err)
tc actions list action bpf | grep -q tamis_act || fail "no action: $(tc actions list action bpf)"
tc qdisc add dev near clsact
tc filter add dev near egress matchall action bpf index "$index"
! pings || fail "the action lets pings through"
counts act 3
tc qdisc del dev near clsact
tamis detach act
# pipe hands the packet to the next action; ok ends their list, and with it what the next one would do.
for action in pipe ok; do
    tamis attach --hook tc-action --match $action --pin act icmp 2>/tmp/err || fail "tc-action: $(cat /tmp/err)"
    index=$(sed -n 's/.*`action bpf index \([0-9]*\)`.*/\1/p' /tmp/err)
    tc qdisc add dev near clsact
    tc filter add dev near egress matchall action bpf index "$index" action drop
    if [ $action = pipe ]; then
        ! pings || fail "pipe: the next action does not act"
    else
        pings || fail "ok: the next action acts"
    fi
    counts act 3
    tc qdisc del dev near clsact
    tamis detach act
done
[ -z "$(tc actions list action bpf)" ] || fail "left: $(tc actions list action bpf)"
pings || fail "still there when detached"

case $(uname -r) in
    6.1.*)
        status=0
        tamis attach --hook tc-egress -i near icmp 2>/tmp/err || status=$?
        [ $status = 2 ] && grep -q -- "--pin NAME" /tmp/err || fail "clsact in the foreground: $(cat /tmp/err)"
        status=0
        tamis attach --hook netfilter-input --nf ipv4 icmp 2>/tmp/err || status=$?
        [ $status = 3 ] && grep -q "needs Linux 6.5" /tmp/err || fail "netfilter: $status $(cat /tmp/err)"
        ;;
    *)
        tamis attach --hook netfilter-output --nf ipv4 --match drop --pin nf icmp
        ! pings || fail "netfilter-output lets pings through"
        tamis detach nf
        ;;
esac
remove_network
[ -z "$(tamis list)" ] || fail "left: $(tamis list)"
