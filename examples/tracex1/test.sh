#!/bin/sh
# Both ways of loading print the packets of pings on lo.  A kernel that has just booted may print
# (____ptrval____) for a pointer: it has no random numbers yet to hash it with.
#   test.sh TAMIS TRACEX1_MAIN OBJECT [WORDS]
set -eu
tamis=$(realpath "$1") main=$(realpath "$2") object=$3 words=${4:-skb [^ ]* len 84}

skip() {
    echo "$1"
    [ "${TAMIS_REQUIRE_KERNEL:-}" = 1 ] && exit 1
    exit 77
}
[ "${TAMIS_KERNEL:-}" != no ] || { echo "TAMIS_KERNEL=no" && exit 77; }
[ "$(id -u)" -eq 0 ] || skip "tracing needs root"
command -v ping >/dev/null || skip "ping is not installed"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The trace pipe is everybody's: others may be reading it now.
for _ in $(seq 20); do
    "$main" "$object" >"$folder/main"
    ! grep -q "$words" "$folder/main" || break
done
grep -m 1 "bpf_trace_printk: $words" "$folder/main"

"$tamis" load "$object" >"$folder/out" 2>"$folder/err" &
for _ in $(seq 100); do
    ! grep -q '^attached ' "$folder/err" || break
    sleep 0.1
done
for _ in $(seq 100); do
    ping -c 2 -i 0.2 127.0.0.1 >/dev/null
    ! grep -q "$words" "$folder/out" || break
done
kill -INT $!
wait $! || { cat "$folder/err" && exit 1; }
cat "$folder/err"
grep -m 1 "bpf_trace_printk: $words" "$folder/out"
