#!/bin/sh
# tamis attach with long lists on an XDP interface: the kernel takes them, and they count what they match.
# usage: lists.sh TERMS...
set -eu

. tests/qemu/network.sh

# list TERMS: addresses all over, and the two that ping each other.
list() {
    awk -v terms="$1" 'BEGIN {
        srand(1)
        for (i = 2; i < terms; ++i)
            printf "host %d.%d.%d.%d or\n", 11 + rand() * 200, rand() * 256, rand() * 256, rand() * 256
        print "host 10.77.0.1 or host 10.77.0.2"
    }'
}

make_network
for terms in "$@"; do
    list "$terms" >/tmp/list
    tamis attach --netns peer -i far --hook xdp -F /tmp/list >/tmp/counters 2>/tmp/attached &
    pid=$!
    for _ in $(seq 600); do
        ! grep -q "^attached xdp" /tmp/attached || break
        kill -0 $pid 2>/dev/null || fail "$terms: $(cat /tmp/attached)"
        sleep 0.1
    done
    pings || fail "$terms: the filter loses packets"
    kill -INT $pid
    wait $pid || fail "$terms: $(cat /tmp/attached)"
    line=$(tail -n 1 /tmp/counters)
    case $line in
        "matched 3 packets 294 bytes, "*) echo "$terms host: $line" ;;
        *) fail "$terms: $line" ;;
    esac
done
remove_network
