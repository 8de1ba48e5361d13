#!/usr/bin/env bash
# Compiles a filter to an object file and loads it with bpftool, ip and tc.
#   run.sh [TAMIS] [EXPR]
. "$(dirname "$0")/../support.sh"

tamis=${1:-tamis}
filter=${2:-icmp}
need bpftool ip tc ping
two_networks object 10.78.0

echo "An object, loaded and pinned by bpftool:"
"$tamis" compile --hook xdp -o "$folder/xdp.o" "$filter"
bpftool prog load "$folder/xdp.o" "/sys/fs/bpf/$ns"
bpftool -j prog show pinned "/sys/fs/bpf/$ns" |
    python3 -c 'import json, sys; p = json.load(sys.stdin); print(" ", p["type"], p["name"])'

echo "The same object, attached by ip:"
ip -n "$ns" link set veth0 xdpgeneric object "$folder/xdp.o" section xdp
ip -n "$ns" link show veth0 | grep -o 'prog/xdp' | sed 's/^/  /'

echo "Another one that drops what matches, attached by tc:"
"$tamis" compile --hook tc-ingress --match shot -o "$folder/tc.o" "$filter"
tc -n "$ns" qdisc add dev veth0 clsact
tc -n "$ns" filter add dev veth0 ingress bpf direct-action object-file "$folder/tc.o" section tc
tc -n "$ns" filter show dev veth0 ingress | grep -o 'direct-action' | sed 's/^/  /'

if ip netns exec "$peer" ping -q -c 1 -W 1 10.78.0.1 >/dev/null; then
    echo "  a ping came through"
else
    echo "  a ping did not come through"
fi
