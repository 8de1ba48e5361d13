#!/bin/sh
# The tamis command in a guest: the engines of `match` agree, and filters at every hook see pings.
# Run by kernels.py, as root in a machine of its own.
set -eu

. tests/qemu/network.sh

for text in 'tcp port 80' 'udp port 53 or icmp6' 'ip[8] > 60 and not tcp' 'ip6'; do
    for engine in classic ebpf kernel; do
        tamis match -r examples/capture.pcap --engine $engine "$text" >/tmp/$engine 2>/tmp/summary ||
            [ $? -eq 1 ] || fail "$engine: $(cat /tmp/summary)"
    done
    cmp /tmp/classic /tmp/ebpf
    cmp /tmp/classic /tmp/kernel
    echo "$text: $(cat /tmp/summary)"
done

make_network

for hook in socket xdp; do
    tamis attach --netns peer -i far --hook $hook icmp >/tmp/counters 2>/tmp/attached &
    for _ in $(seq 100); do
        ! grep -q "^attached $hook" /tmp/attached || break
        sleep 0.1
    done
    pings || fail "$hook: the default actions lose packets"
    kill -INT $!
    wait $! || fail "$hook: $(cat /tmp/attached)"
    line=$(tail -n 1 /tmp/counters)
    # A socket sees the answers too.
    case $line in
        "matched 3 packets 294 bytes, "* | "matched 6 packets 588 bytes, "*) echo "$hook: $line" ;;
        *) fail "$hook: $line" ;;
    esac
done

# At tc, where the object is tc's to load: what matches goes no further.
tc qdisc add dev near clsact
for hook in ingress egress; do
    tamis compile --hook tc-$hook --match shot -o /tmp/filter.o 'icmp and host 10.77.0.2'
    tc filter add dev near $hook bpf direct-action object-file /tmp/filter.o section tc
    ! pings || fail "tc-$hook: the filter lets pings through"
    tc filter del dev near $hook
    pings || fail "tc-$hook: still there when deleted"
    echo "tc-$hook: stops pings"
done
tc qdisc del dev near clsact
remove_network
