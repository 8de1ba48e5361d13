#!/bin/sh
# tamis watch in a guest: it sees an object come and go.
# Usage: watch.sh OBJECT
set -eu

tamis watch >/tmp/out 2>/tmp/err &
for _ in $(seq 100); do
    ! grep -q '^watching' /tmp/err || break
    sleep 0.1
done
for _ in $(seq 20); do
    tamis load --no-attach "$1" 2>/tmp/loaded
    sed -n 's/^loaded pass id //p' /tmp/loaded >>/tmp/ids
done
sleep 1
kill -INT $!
wait $! || { cat /tmp/err && exit 1; }
while read -r id; do
    grep -q "^load $id .* pass tag .* by tamis " /tmp/out && grep -q "^unload $id .* pass .* by tamis " /tmp/out ||
        { echo "$id was not seen: $(cat /tmp/out)" && exit 1; }
done </tmp/ids
[ "$(wc -l </tmp/ids)" = 20 ] && grep ', 0 records lost' /tmp/err
