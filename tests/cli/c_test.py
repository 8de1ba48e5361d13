#!/usr/bin/env python3
"""The C of filters, as functions of bytes: it compiles without a warning, and says of every packet what `tamis match`
says.  The packets are those of a capture, whole and cut at every length.
Usage: c_test.py PATH-OF-TAMIS CAPTURE EXPRESSIONS"""

import os
import struct
import subprocess
import sys
import tempfile
import unittest

TAMIS, CAPTURE, EXPRESSIONS = map(os.path.abspath, sys.argv[1:4])

MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
struct packet { unsigned char const *bytes; size_t size; uint32_t length; };
%s
static int (*const filters[])(struct packet const *) = {%s};
int main(void) {
    uint32_t header[4];
    fseek(stdin, 24, SEEK_SET);
    while (fread(header, sizeof header, 1, stdin) == 1) {
        /* A copy of its own size, so that a sanitizer sees what reads behind it. */
        unsigned char *copy = malloc(header[2] + 1);
        if (fread(copy, 1, header[2], stdin) != header[2]) return 1;
        struct packet packet = {copy, header[2], header[3]};
        for (size_t i = 0; i < sizeof filters / sizeof *filters; ++i) putchar('0' + filters[i](&packet));
        putchar('\\n');
        free(copy);
    }
    return 0;
}
"""


def output(*command, **options):
    result = subprocess.run(command, capture_output=True, timeout=120, **options)
    if result.returncode not in (0, 1) or (result.returncode and "match" not in command):
        raise AssertionError(f"{command}: {result.stderr.decode()}")
    return result.stdout.decode()


def cut_packets(path):
    """Writes the capture's packets again, each at its own and at every smaller length."""
    with open(CAPTURE, "rb") as capture, open(path, "wb") as out:
        data = capture.read()
        out.write(data[:24])
        at = 24
        while at < len(data):
            seconds, micros, size, length = struct.unpack_from("=4I", data, at)
            packet = data[at + 16:at + 16 + size]
            for cut in range(min(size, 100) + 1):
                out.write(struct.pack("=4I", seconds, micros, cut, length) + packet[:cut])
            if size > 100:
                out.write(struct.pack("=4I", seconds, micros, size, length) + packet)
            at += 16 + size


class SameVerdicts(unittest.TestCase):
    def compare(self, options, stride):
        with open(EXPRESSIONS) as file:
            lines = [line.strip() for line in file]
        expressions = ["", "ip[2] / ip[0] = 1 or 1 << ip[0] = 2 or 100 >> ip[8] > 3 or ip[ip[2:2]] = 7 or ip[ip[12:4]] = 1",
                       *[line for line in lines if line and line[0] != "#"][::stride]]
        with tempfile.TemporaryDirectory() as folder:
            def path(name):
                return os.path.join(folder, name)
            compiled = []
            for expression in expressions:
                source, made = path("f.c"), f"f{len(compiled)}"
                said = subprocess.run([TAMIS, "compile", "-q", "--emit", "c", "-o", source, *options, "--", expression],
                                      capture_output=True, text=True, timeout=60)
                if said.returncode != 0:
                    # Only what bytes in memory cannot tell, or what is no filter at all.
                    refused = subprocess.run([TAMIS, "compile", "-q", *options, "--", expression], capture_output=True, timeout=60)
                    self.assertTrue(refused.returncode == 2 or "cannot be read in memory" in said.stderr, said.stderr)
                    continue
                output("cc", "-O0", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-Dtamis_filter={made}", "-c", source, "-o", path(made + ".o"))
                compiled.append(expression)
            self.assertGreater(len(compiled), 50)
            names = [f"f{i}" for i in range(len(compiled))]
            with open(path("main.c"), "w") as file:
                file.write(MAIN % ("\n".join(f"int {name}(struct packet const *);" for name in names), ", ".join(names)))
            output("cc", "-O1", "-Wall", "-Werror", path("main.c"), *(path(name + ".o") for name in names), "-o", path("main"))
            cut_packets(path("cut.pcap"))
            with open(path("cut.pcap"), "rb") as capture:
                rows = output(path("main"), stdin=capture).splitlines()
            self.assertGreater(len(rows), 500)
            both = 0
            for number, expression in enumerate(compiled):
                said = output(TAMIS, "match", "-q", "--verdicts", "-r", path("cut.pcap"), *options, "--", expression)
                wanted = [int(line.split()[1] != "0") for line in said.splitlines()]
                self.assertEqual([int(row[number]) for row in rows], wanted, expression)
                both += len(set(wanted)) == 2
            self.assertGreater(both, len(compiled) // 3)

    def test_optimised(self):
        self.compare([], 2)

    def test_unoptimised(self):
        self.compare(["-O"], 4)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
