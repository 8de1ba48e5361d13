#!/usr/bin/env python3
"""`tamis match -r F -w O EXPR` beside `tcpdump -r F -w O EXPR` on the same file.

Usage: match_bench.py PATH-OF-TAMIS CAPTURE [MEGABYTES]

The capture is repeated until it has so many bytes (200 million by default), whole, and with its packets cut to 60
bytes; for each filter both programs take turns, five times.  What is printed is the best time of each, elapsed and of
the processor, and the ratio: below 1 tamis is faster.  Both must write the same bytes.
"""
import filecmp
import os
import struct
import subprocess
import sys
import tempfile
import time

FILTERS = ("", "ip", "tcp port 80", "host 10.0.0.1 and not port 22")


def records(data, most):
    """The packets of a little-endian pcap, each cut to `most` bytes."""
    at, out = 24, b""
    while at < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, at)
        kept = min(captured, most)
        out += struct.pack("<IIII", seconds, fraction, kept, length) + data[at + 16:at + 16 + kept]
        at += 16 + captured
    return out


def seconds(command):
    """Elapsed, and of the processor."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    elapsed = time.monotonic() - start
    if status not in (0, 256):
        sys.exit(f"{' '.join(command)}: status {status}")
    return elapsed, used.ru_utime + used.ru_stime


def main():
    tamis, capture = sys.argv[1:3]
    size = int(sys.argv[3]) * 1_000_000 if len(sys.argv) > 3 else 200_000_000
    with open(capture, "rb") as file:
        data = file.read()
    print(f"{'packets':<10}{'filter':<32}{'tamis s':>9}{'tcpdump s':>11}{'ratio':>7}{'cpu s':>8}{'cpu s':>8}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        source, ours, theirs = (os.path.join(folder, name) for name in ("in", "ours", "theirs"))
        for name, most in (("whole", 1 << 18), ("60 bytes", 60)):
            packets = records(data, most)
            with open(source, "wb") as file:
                file.write(data[:24])
                for _ in range(size // len(packets)):
                    file.write(packets)
            for text in FILTERS:
                pairs = [(seconds([tamis, "match", "-r", source, "-w", ours, text]),
                          seconds(["tcpdump", "-r", source, "-w", theirs, text])) for _ in range(5)]
                if not filecmp.cmp(ours, theirs, shallow=False):
                    sys.exit(f"{text}: the two wrote different files")
                (wall, cpu), (their_wall, their_cpu) = (tuple(map(min, zip(*side))) for side in zip(*pairs))
                print(f"{name:<10}{text:<32}{wall:>9.2f}{their_wall:>11.2f}{wall / their_wall:>7.2f}"
                      f"{cpu:>8.2f}{their_cpu:>8.2f}{cpu / their_cpu:>7.2f}", flush=True)


main()
