#!/usr/bin/env bash
# A C program with a filter inside: object, skeleton, program, and what it counts.
#   run.sh [TAMIS]
. "$(dirname "$0")/../support.sh"

tamis=$(realpath "$(command -v "${1:-tamis}")")
here=$(cd "$(dirname "$0")" && pwd)
need bpftool cc ip ping
two_networks skeleton 10.80.0
cd "$folder"

"$tamis" compile --hook xdp -f pings='icmp[icmptype] = icmp-echo' -o filter.o
bpftool gen skeleton filter.o name filter >filter.skel.h
cc -O2 -Wall -I . "$here/counts.c" -o counts -lbpf

coproc ip netns exec "$ns" ./counts veth0
read -r -u "${COPROC[0]}" answer && echo "$answer"
ip netns exec "$peer" ping -q -c 3 -i 0.1 -W 1 10.80.0.1 >/dev/null && echo "three pings came through"
exec {COPROC[1]}>&-
cat <&"${COPROC[0]}"
