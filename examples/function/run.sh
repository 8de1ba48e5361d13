#!/usr/bin/env bash
# Filters as functions: compiles two, links them with a C program that calls them, loads and runs it.
#   run.sh [TAMIS]
. "$(dirname "$0")/../support.sh"

tamis=$(realpath "$(command -v "${1:-tamis}")")
here=$(cd "$(dirname "$0")" && pwd)
need bpftool clang ip tc ping
two_networks function 10.79.0
cd "$folder"

echo "Two filters, a C program that calls them, and all of it in one object:"
"$tamis" compile --hook xdp --function is_ping -o is_ping.o --header is_ping.h 'icmp[icmptype] = icmp-echo'
"$tamis" compile --hook tc-ingress --function is_dns --args data -o is_dns.o --header is_dns.h 'udp dst port 53'
clang -g -O2 -target bpf -I "/usr/include/$(uname -m)-linux-gnu" -I . -c "$here/watch.c" -o watch.o
bpftool gen object linked.o watch.o is_ping.o is_dns.o
bpftool prog loadall linked.o "/sys/fs/bpf/$ns"
ls "/sys/fs/bpf/$ns" | sed 's/^/  /'

# Not `ip -n`, which sees another /sys.
inside() { nsenter --net="/run/netns/$ns" "$@"; }
inside ip link set veth0 xdpgeneric pinned "/sys/fs/bpf/$ns/drop_pings"
inside tc qdisc add dev veth0 clsact
inside tc filter add dev veth0 ingress bpf direct-action pinned "/sys/fs/bpf/$ns/count_dns"

echo "Three pings, two datagrams to port 53 and one to port 54:"
ip netns exec "$peer" ping -q -c 3 -i 0.1 -W 1 10.79.0.1 >/dev/null && echo "  a ping came through"
for port in 53 54 53; do
    ip netns exec "$peer" bash -c "echo question >/dev/udp/10.79.0.1/$port"
done
sleep 0.2
map=$(bpftool -j prog show pinned "/sys/fs/bpf/$ns/count_dns" | grep -o '"map_ids":\[[0-9]*' | grep -o '[0-9]*$')
bpftool -j map dump id "$map" | python3 -c '
import json, sys
pings, dns = (entry["formatted"]["value"] for entry in json.load(sys.stdin))
print(f"  {pings} pings dropped, {dns} questions to a name server")'
