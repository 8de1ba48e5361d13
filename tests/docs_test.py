#!/usr/bin/env python3
"""What the documents claim, held against the program.  Usage: docs_test.py PATH-OF-TAMIS

- Every command in a ```console block of README.md prints what stands below it (UPDATE=1 rewrites).
- docs/json.md names exactly the kinds of objects that --json prints, and their fields.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TAMIS = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parent.parent


def output(*args):
    return subprocess.run([TAMIS, *args], capture_output=True, text=True, timeout=60).stdout


class Readme(unittest.TestCase):
    def test_commands_print_what_it_says(self):
        path = ROOT / "README.md"
        text = path.read_text()
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(TAMIS, os.path.join(folder, "tamis"))
            self.environment = {**os.environ, "PATH": folder + ":" + os.environ["PATH"]}
            now, blocks = re.subn(r"(?<=```console\n).*?(?=```)", self.run_block, text, flags=re.S)
        self.assertGreater(blocks, 0)
        if os.environ.get("UPDATE"):
            path.write_text(now)
        self.assertMultiLineEqual(path.read_text(), now)

    def run_block(self, block):
        """The block's commands, each followed by what it prints now."""
        said = ""
        for command in re.findall(r"^\$ (.*)\n", block[0], re.M):
            done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=self.environment, text=True,
                                  capture_output=True, timeout=60)
            said += f"$ {command}\n{done.stdout}{done.stderr}"
        return said


def shape(value, prefix=""):
    """Names of the fields of an object: `field`, `field.inner`, `field[].inner`."""
    for key, inner in value.items():
        yield prefix + key
        if isinstance(inner, dict):
            yield from shape(inner, prefix + key + ".")
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            yield from shape(inner[0], prefix + key + "[].")


class Json(unittest.TestCase):
    """The kinds of docs/json.md: a heading each, and a table row for every field."""

    def documented(self):
        kinds = {}
        for kind, section in re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", self.text, re.M | re.S):
            kinds[kind] = set(re.findall(r"^\| `([\w.\[\]]+)` \|", section, re.M))
        return kinds

    def setUp(self):
        self.text = (ROOT / "docs/json.md").read_text()

    def check(self, lines):
        kinds, seen = self.documented(), set()
        for line in lines.splitlines():
            thing = json.loads(line)
            self.assertEqual(thing["tamis"], 1)
            self.assertIn(thing["kind"], kinds)
            self.assertEqual(set(shape(thing)) - {"tamis", "kind"}, kinds[thing["kind"]], thing["kind"])
            seen.add(thing["kind"])
        return seen

    def need_root(self):
        if os.geteuid() == 0 and os.environ.get("TAMIS_KERNEL") != "no":
            return
        if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
            self.fail("needs root")
        self.skipTest("needs root")

    def test_every_kind_is_documented(self):
        made = set()
        for source in (ROOT / "cli").glob("*.cpp"):
            made |= set(re.findall(r'object_of\("([^"]+)"\)', source.read_text()))
        self.assertEqual(set(self.documented()), made)

    def test_compile_and_match(self):
        seen = self.check(output("compile", "--json", "--hook", "xdp", "tcp port 80"))
        seen |= self.check(output("compile", "--json", "--hook", "kernel", "tcp port 80"))
        seen |= self.check(output("match", "-r", str(ROOT / "examples/capture.pcap"), "--json", "arp"))
        self.assertEqual(seen, {"program", "kernel_form", "packet", "match"})

    def test_help(self):
        self.assertEqual(self.check(output("load", "--help-json")), {"verb"})

    def test_prove(self):
        lines = output("prove", "--json", "--disjoint", "ip", "tcp")
        if not lines:
            self.skipTest("built without a solver")
        self.assertEqual(self.check(lines), {"proof"})

    def test_check(self):
        self.need_root()
        seen = self.check(output("check", "--json", "tcp port 80") + output("check", "--json", "--random", "9"))
        self.assertEqual(seen, {"check", "random_check"})

    def test_attach(self):
        self.need_root()
        process = subprocess.Popen([TAMIS, "attach", "-i", "lo", "--hook", "socket", "--json", "--interval", "0.1",
                                    "icmp"], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.check(process.communicate(timeout=10)[0]), {"attached", "counters"})

    def test_list(self):
        self.need_root()
        # A network and a BPF file system of its own.
        script = ('ip link set lo up; "$0" attach -i lo --hook tc-ingress --pin docs icmp && "$0" list --json; '
                  '"$0" detach docs')
        lines = subprocess.run(["unshare", "-mn", "sh", "-c", script, TAMIS], capture_output=True, text=True).stdout
        self.assertEqual(self.check(lines), {"pinned"})

    def test_load(self):
        self.need_root()
        with tempfile.TemporaryDirectory() as folder:
            output("compile", "--hook", "socket", "-o", f"{folder}/f.o", "icmp")
            seen = self.check(output("load", "--json", "--dry-run", f"{folder}/f.o"))
            process = subprocess.Popen([TAMIS, "load", "-i", "lo", "--json", "--dump", "counters", f"{folder}/f.o"],
                                       stdout=subprocess.PIPE, text=True)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            seen |= self.check(process.communicate(timeout=10)[0])
            seen |= self.check(output("load", "--json", "--explain", f"{folder}/f.o"))
        self.assertEqual(seen, {"load_plan", "loaded", "map_entry", "need"})
        self.assertEqual(self.check(output("features", "--json", "--type", "xdp")), {"feature"})

    def test_watch(self):
        self.need_root()
        with tempfile.TemporaryDirectory() as folder:
            output("compile", "--hook", "socket", "-o", f"{folder}/f.o", "icmp")
            process = subprocess.Popen([TAMIS, "watch", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
            process.stderr.readline()
            output("load", "--no-attach", f"{folder}/f.o")
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            self.assertEqual(self.check(process.communicate(timeout=10)[0]), {"bpf_program", "watch"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
