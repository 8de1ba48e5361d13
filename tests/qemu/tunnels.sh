#!/bin/sh
# tamis attach on tunnels in a guest, whose modules the machine that runs the tests may lack: packets begin with
# the IP header at every hook of such a device, as filters for link type RAW want it.
set -eu

. tests/qemu/network.sh

make_network
ip -6 address add fd77::1/64 dev near nodad
ip -n peer -6 address add fd77::2/64 dev far nodad

# tunnel TYPE NEAR FAR PING-OPTION INNER-NEAR INNER-FAR FILTER ADDRESS-OPTION: every hook sees two requests or two answers.
tunnel() {
    ip link add inner type "$1" local "$2" remote "$3"
    ip -n peer link add inner type "$1" local "$3" remote "$2"
    ip address add "$5" dev inner $8
    ip -n peer address add "$6" dev inner $8
    ip link set inner up
    ip -n peer link set inner up
    for hook in xdp tc-ingress tc-egress; do
        mode=$([ $hook = xdp ] && echo --mode=generic || echo --mode=clsact)
        tamis attach --hook $hook -i inner $mode --pin $hook "$7" 2>/tmp/err || fail "$1 $hook: $(cat /tmp/err)"
    done
    tamis attach --hook socket -i inner "$7" >/tmp/out 2>/tmp/err &
    pid=$!
    for _ in $(seq 100); do
        ! grep -q ^attached /tmp/err || break
        sleep 0.1
    done
    ping "$4" -c 2 -i 0.2 -W 2 "${6%/*}" >/tmp/ping || fail "$1: $(cat /tmp/ping)"
    kill -INT $pid
    wait $pid || fail "$1 socket: $(cat /tmp/err)"
    grep -q "matched 4 packets" /tmp/out || fail "$1 socket: $(cat /tmp/out)"
    tamis list >/tmp/list
    [ "$(grep -c "matched 2 packets" /tmp/list)" = 3 ] || fail "$1: $(cat /tmp/list)"
    echo "$1: two at $(sed -n 's/^\([a-z-]*\): .*/\1/p' /tmp/list | tr '\n' ' ')and both ways on a socket"
    tamis detach --all >/tmp/out
    ip link del inner
    ip -n peer link del inner
}
echoes='icmp[icmptype] = icmp-echo or icmp[icmptype] = icmp-echoreply'
echoes6='icmp6[icmp6type] = icmp6-echo or icmp6[icmp6type] = icmp6-echoreply'
tunnel ipip 10.77.0.1 10.77.0.2 -4 10.78.0.1/24 10.78.0.2/24 "$echoes" ""
tunnel sit 10.77.0.1 10.77.0.2 -6 fd00::1/64 fd00::2/64 "$echoes6" nodad
tunnel gre 10.77.0.1 10.77.0.2 -4 10.78.0.1/24 10.78.0.2/24 "$echoes" ""
tunnel ip6gre fd77::1 fd77::2 -6 fd00::1/64 fd00::2/64 "$echoes6" nodad

ip link add many type gre local 10.77.0.1
ip link set many up
status=0
tamis attach --hook xdp -i many icmp 2>/tmp/err || status=$?
[ $status = 2 ] && grep -q "'many' is a GRE tunnel to many ends" /tmp/err || fail "many: $status $(cat /tmp/err)"
ip link del many
remove_network
