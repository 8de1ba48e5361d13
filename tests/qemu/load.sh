#!/bin/sh
# tamis load in a guest, where there are kprobes: what it says of them, what is newer than the kernel
# is refused in words, and nothing stays behind.  Whether programs run is attached_test's.
# Usage: load.sh FOLDER-OF-OBJECTS
set -eu
objects=$1

fail() {
    echo "$*"
    exit 1
}

# The process of the last tamis, when so many programs are attached.
start() {
    wanted=$1
    shift
    tamis load "$@" >/tmp/out 2>/tmp/err &
    tamis=$!
    for _ in $(seq 200); do
        [ "$(grep -c '^attached ' /tmp/err)" -lt "$wanted" ] || return 0
        kill -0 $tamis 2>/dev/null || break
        sleep 0.1
    done
    fail "$*: $(cat /tmp/err)"
}

traffic() {
    ping -c 3 -i 0.2 -W 2 127.0.0.1 >/tmp/ping || fail "no pings on lo"
    sh -c : # which asks for its parent's number
}

# ran OBJECT PROGRAMS OPTIONS...: attaches that many programs; all of them run.
ran() {
    object=$objects/$1 programs=$2
    shift 2
    start "$programs" --dump runs --interval 1000 "$@" "$object"
    traffic
    kill -INT $tamis
    wait $tamis || fail "$object: $(cat /tmp/err)"
    for number in $(seq 0 $((programs - 1))); do
        grep -q "^runs\[$number\]: [1-9]" /tmp/out || fail "$object: program $number never ran: $(cat /tmp/err)"
    done
    echo "$object $*: $(head -n "$programs" /tmp/out | tr '\n' ' ')"
}

# refused CODE WORDS OBJECT OPTIONS...
refused() {
    code=$1 words=$2 object=$objects/$3
    shift 3
    status=0
    tamis load "$@" "$object" >/tmp/out 2>/tmp/err || status=$?
    [ $status = "$code" ] && grep -qF "$words" /tmp/err || fail "$object: $status, $(cat /tmp/err)"
    echo "$object: $(head -n 1 /tmp/err)"
}

ran kprobe.o 5
clone="'__netif_receive_skb_core' is only there as its clone '__netif_receive_skb_core.constprop.0'"
grep -qF "note: $clone" /tmp/err || fail "the clone is not named: $(cat /tmp/err)"

# By trace events, which outlive whoever made them.
events() { grep -c ':tamis/' /sys/kernel/tracing/kprobe_events || true; }
ran kprobe.o 5 --kprobe-events
[ "$(events)" = 0 ] || fail "left: $(cat /sys/kernel/tracing/kprobe_events)"
start 5 --kprobe-events "$objects/kprobe.o"
[ "$(events)" = 5 ] || fail "not there: $(cat /sys/kernel/tracing/kprobe_events)"
kill -9 $tamis
wait $tamis || true
for _ in $(seq 100); do
    [ "$(events)" != 0 ] || break
    sleep 0.1
done
[ "$(events)" = 0 ] || fail "left by kill -9: $(cat /sys/kernel/tracing/kprobe_events)"
echo "kprobe_events: nothing left"

# Pinned probes go on when their loader has ended: a probe that only they have counts in their map.
tamis load --pin probes "$objects/kprobe.o" 2>/tmp/err || fail "pin: $(cat /tmp/err)"
ran trampoline.o 5 --reuse probes
grep -q '^runs\[4\]: [1-9]' /tmp/out || fail "the pinned probes do not run: $(cat /tmp/out)"
tamis list
tamis detach probes
[ -z "$(tamis list)" ] || fail "still there: $(tamis list)"

case $(uname -r) in
    6.1.*)
        refused 3 "such maps are in Linux 6.9; this is 6.1" newer_map.o --no-attach
        refused 3 "from Linux 6.4 on; this is 6.1" netfilter.o --nf ipv4:input
        refused 3 "from Linux 6.6 on; this is 6.1" tcx.o -i lo
        refused 3 "this kernel was built without fprobes" kprobe_multi.o
        refused 3 "from Linux 6.7 on; this is 6.1" netkit.o -i lo
        ;;
esac

# Whether programs may call a function of a module cannot be tried without its number there.
tamis load --explain "$objects/module.o" >/tmp/out || fail "module.o: $(cat /tmp/out)"
grep -q "unknown .*veth_open" /tmp/out || fail "module.o: $(cat /tmp/out)"
