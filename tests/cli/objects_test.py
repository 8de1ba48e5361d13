#!/usr/bin/env python3
"""Objects that `tamis compile` writes, in the hands of those who load them.  Usage: objects_test.py PATH-OF-TAMIS"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TAMIS = os.path.abspath(sys.argv[1])
BPFFS = "/sys/fs/bpf"


def why_not():
    """The reason why this machine cannot run the tests, or None."""
    if os.environ.get("TAMIS_KERNEL") == "no":
        return "TAMIS_KERNEL=no"
    if os.geteuid() != 0:
        return "loading programs needs root"
    if not shutil.which("bpftool"):
        return "bpftool is not installed"
    if not os.path.ismount(BPFFS):
        return f"no BPF file system at {BPFFS}"
    return None


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


class Objects(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.pins = f"{BPFFS}/tamis-objects-{os.getpid()}"
        self.addCleanup(shutil.rmtree, self.pins, ignore_errors=True)

    def output(self, *command, **options):
        result = run(*command, **options)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        return result.stdout

    def object(self, *arguments, name="f.o"):
        path = os.path.join(self.folder, name)
        self.assertEqual(self.output(TAMIS, "compile", "-o", path, *arguments), "")
        return path

    def load(self, path):
        """Loads all programs of an object; returns what bpftool knows about them, by name."""
        shutil.rmtree(self.pins, ignore_errors=True)
        self.output("bpftool", "prog", "loadall", path, self.pins)
        return {program: json.loads(self.output("bpftool", "-j", "prog", "show", "pinned", f"{self.pins}/{program}"))
                for program in os.listdir(self.pins)}

    def source_lines(self, program="tamis_filter"):
        said = self.output("bpftool", "prog", "dump", "xlated", "pinned", f"{self.pins}/{program}", "linum")
        return [line for line in said.splitlines() if line.startswith("; ")]


class LineInfo(Objects):
    def test_shows_the_filters_terms(self):
        for hook in ("socket", "xdp", "tc-ingress", "tc-egress"):
            self.load(self.object("--hook", hook, "tcp dst port 80 and src net 10.0.0.0/8 and ip[8] > 60"))
            lines = self.source_lines()
            for line in ("; tcp dst port 80 [file:<filter> line_num:1 line_col:1]",
                         "; src net 10.0.0.0/8 [file:<filter> line_num:1 line_col:21]",
                         "; ip[8] > 60 [file:<filter> line_num:1 line_col:44]"):
                self.assertIn(line, lines, hook)
            self.assertRegex(lines[0], r"^; int tamis_filter\(struct (xdp_md|__sk_buff) \*ctx\) ")

    def test_a_files_lines_and_columns(self):
        path = os.path.join(self.folder, "web.filter")
        with open(path, "w") as file:
            file.write("# the web\ntcp port 80\n  and host 10.0.0.1\n")
        self.load(self.object("--hook", "xdp", "-F", path))
        self.assertIn(f"; tcp port 80 [file:{path} line_num:2 line_col:1]", self.source_lines())
        self.assertIn(f"; host 10.0.0.1 [file:{path} line_num:3 line_col:7]", self.source_lines())

    def test_of_5000_terms(self):
        path = os.path.join(self.folder, "long.filter")
        with open(path, "w") as file:
            file.write("\n  or ".join(f"len = {7 * i}" for i in range(5000)))
        self.load(self.object("--hook", "socket", "-O", "-F", path))
        lines = set(self.source_lines())
        for i in range(5000):
            self.assertIn(f"; len = {7 * i} [file:{path} line_num:{i + 1} line_col:{6 if i else 1}]", lines)

    def test_is_left_out_on_request(self):
        self.load(self.object("--hook", "xdp", "--strip", "tcp port 80"))
        self.assertEqual(len(self.source_lines()), 1)
        with open(self.object("--hook", "xdp", "--strip", "tcp port 80"), "rb") as file:
            self.assertNotIn(b"port 80", file.read())


if __name__ == "__main__":
    reason = why_not()
    if reason and os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
        sys.exit(f"cannot run: {reason}")
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
