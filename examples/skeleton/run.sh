#!/usr/bin/env bash
# A C program with a filter inside: object, skeleton, program, and what it counts.
#   run.sh [TAMIS]
set -euo pipefail

tamis=$(realpath "$(command -v "${1:-tamis}")")
here=$(cd "$(dirname "$0")" && pwd)

skip() {
    echo "$1"
    [ "${TAMIS_REQUIRE_KERNEL:-}" = 1 ] && exit 1
    exit 77 # what meson takes for a skipped test
}
[ "${TAMIS_KERNEL:-}" != no ] || { echo "TAMIS_KERNEL=no" && exit 77; }
[ "$(id -u)" -eq 0 ] || skip "loading a program needs root (CAP_BPF and CAP_NET_ADMIN)"
for tool in bpftool cc ip ping; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
ip netns add "tamis-skeleton-$$" 2>/dev/null || skip "network namespaces need CAP_SYS_ADMIN"

ns=tamis-skeleton-$$ peer=tamis-skeleton-peer-$$ folder=$(mktemp -d)
clean_up() {
    ip netns del "$ns"
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT
cd "$folder"

"$tamis" compile --hook xdp -f pings='icmp[icmptype] = icmp-echo' -o filter.o
bpftool gen skeleton filter.o name filter >filter.skel.h
cc -O2 -Wall -I . "$here/counts.c" -o counts -lbpf

ip netns add "$peer"
ip link add veth0 netns "$ns" type veth peer name veth0 netns "$peer"
ip -n "$ns" address add 10.80.0.1/24 dev veth0
ip -n "$peer" address add 10.80.0.2/24 dev veth0
ip -n "$ns" link set veth0 up
ip -n "$peer" link set veth0 up

coproc ip netns exec "$ns" ./counts veth0
read -r -u "${COPROC[0]}" answer && echo "$answer"
ip netns exec "$peer" ping -q -c 3 -i 0.1 -W 1 10.80.0.1 >/dev/null && echo "three pings came through"
exec {COPROC[1]}>&-
cat <&"${COPROC[0]}"
