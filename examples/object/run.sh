#!/usr/bin/env bash
# Compiles a filter to an object file and loads it with bpftool, ip and tc.
#   run.sh [TAMIS] [EXPR]
set -euo pipefail

tamis=${1:-tamis}
filter=${2:-icmp}

skip() {
    echo "$1"
    [ "${TAMIS_REQUIRE_KERNEL:-}" = 1 ] && exit 1
    exit 77 # what meson takes for a skipped test
}
[ "${TAMIS_KERNEL:-}" != no ] || { echo "TAMIS_KERNEL=no" && exit 77; }
[ "$(id -u)" -eq 0 ] || skip "loading a program needs root (CAP_BPF and CAP_NET_ADMIN)"
for tool in bpftool ip tc ping; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
ip netns add "tamis-object-$$" 2>/dev/null || skip "network namespaces need CAP_SYS_ADMIN"

ns=tamis-object-$$ peer=tamis-object-peer-$$ folder=$(mktemp -d)
clean_up() {
    ip netns del "$ns"
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$folder" "/sys/fs/bpf/$ns"
}
trap clean_up EXIT

ip netns add "$peer"
ip link add veth0 netns "$ns" type veth peer name veth0 netns "$peer"
ip -n "$ns" address add 10.78.0.1/24 dev veth0
ip -n "$peer" address add 10.78.0.2/24 dev veth0
ip -n "$ns" link set veth0 up
ip -n "$peer" link set veth0 up

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
