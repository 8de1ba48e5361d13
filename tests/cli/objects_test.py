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


class SeveralFilters(Objects):
    def test_are_programs_with_counters_of_their_own(self):
        for hook in ("socket", "xdp", "tc-ingress"):
            programs = self.load(self.object("--hook", hook, "-f", "web=tcp port 80", "-f", "dns=udp port 53"))
            self.assertEqual(set(programs), {"web", "dns"})
            self.assertIn("; udp port 53 [file:<dns> line_num:1 line_col:1]", self.source_lines("dns"))
            maps = [program["map_ids"] for program in programs.values()]
            self.assertEqual(sum(map(len, maps)), 2, maps)
            self.assertNotEqual(*maps)
            for name, (number,) in zip(programs, maps):
                said = json.loads(self.output("bpftool", "-j", "map", "dump", "id", str(number)))
                self.assertEqual([entry["formatted"]["key"] for entry in said], [0, 1])
                self.assertEqual(said[0]["formatted"]["values"][0]["value"], {"packets": 0, "bytes": 0})
                shown = json.loads(self.output("bpftool", "-j", "map", "show", "id", str(number)))
                self.assertEqual(shown["name"], f"{name}_counters")

    def test_count_what_they_match(self):
        self.load(self.object("--hook", "xdp", "-f", "small=len < 100", "-f", "big=len >= 100"))
        packet = os.path.join(self.folder, "packet")
        with open(packet, "wb") as file:
            file.write(bytes(200))
        for name, index in (("small", 0), ("big", 1)):
            pin = f"{self.pins}/{name}"
            self.output("bpftool", "prog", "run", "pinned", pin, "data_in", packet, "repeat", "3")
            number, = json.loads(self.output("bpftool", "-j", "prog", "show", "pinned", pin))["map_ids"]
            said = json.loads(self.output("bpftool", "-j", "map", "dump", "id", str(number)))
            counted = [sum(cpu["value"]["packets"] for cpu in entry["formatted"]["values"]) for entry in said]
            self.assertEqual(counted, [3 * (index == 0), 3 * (index == 1)], name)

    def test_from_a_file(self):
        path = os.path.join(self.folder, "list")
        with open(path, "w") as file:
            file.write("# two\nweb = tcp port 80 # http\n\n  dns=udp port 53\n")
        self.assertEqual(set(self.load(self.object("--hook", "xdp", "--filters", path))), {"web", "dns"})
        self.assertIn(f"; udp port 53 [file:{path} line_num:4 line_col:7]", self.source_lines("dns"))

    def test_no_stats_leaves_the_maps_out(self):
        programs = self.load(self.object("--hook", "xdp", "--no-stats", "--match", "drop", "-f", "web=tcp port 80",
                                         "-f", "dns=udp port 53"))
        self.assertEqual([program.get("map_ids", []) for program in programs.values()], [[], []])

    def test_are_proved_one_by_one(self):
        result = run(TAMIS, "compile", "--hook", "xdp", "--prove", "-o", os.path.join(self.folder, "f.o"),
                     "-f", "web=tcp port 80", "-f", "ping=icmp")
        if "no solver" in result.stderr:
            self.skipTest("built without a solver")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_refusals(self):
        for arguments, message in (
                (["-f", "int=ip"], "'int' is a keyword of C"),
                (["-f", "1a=ip"], "'1a' cannot be a program's name"),
                (["-f", "=ip"], "'' cannot be a program's name"),
                (["-f", "averyverylongname=ip"], "the name 'averyverylongname' has more than 15 characters"),
                (["-f", "a=ip", "-f", "a=tcp"], "two filters called 'a'"),
                (["-f", "a_counters=tcp", "-f", "a=ip"],
                 "'a_counters' is the name of a filter and of the counters of 'a'"),
                (["-f", "nothing"], "'nothing' is no NAME=EXPR"),
                (["-f", "a=ip", "tcp"], "a filter beside those of -f and --filters"),
                (["-f", "a=ip", "--emit", "ebpf"], "-f and --filters are for objects"),
                (["-f", "a=tcp prot"], "a:1:5: error: 'prot' cannot follow 'tcp'"),
                (["--filters", "/dev/null"], "no filter in '/dev/null'"),
                (["--filters", "/nonexistent"], "cannot read '/nonexistent'"),
                (["--hook", "socket", "--priority", "7", "ip"], "--priority and --chain are for XDP"),
                (["--chain", "pass,keep", "ip"], "XDP has no action 'keep'")):
            result = run(TAMIS, "compile", *([] if "--hook" in arguments else ["--hook", "xdp"]), "-o",
                         os.path.join(self.folder, "x.o"), *arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn(message, result.stderr)
        self.assertEqual(os.listdir(self.folder), [])


class RunConfig(Objects):
    """What libxdp reads, in its own words."""

    def chain(self, *arguments):
        if not shutil.which("xdp-loader"):
            if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
                self.fail("xdp-loader is not installed")
            self.skipTest("xdp-loader is not installed")
        path = self.object("--hook", "xdp", *arguments)
        space = f"tamis-objects-{os.getpid()}"
        self.output("ip", "netns", "add", space)
        self.addCleanup(run, "ip", "netns", "delete", space)
        self.output("ip", "-n", space, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        said = run("ip", "netns", "exec", space, "xdp-loader", "load", "-v", "-m", "skb", "v0", path)
        status = self.output("ip", "netns", "exec", space, "xdp-loader", "status", "v0")
        run("ip", "netns", "delete", space)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn(" tamis_filter ", status)
        return re.search(r"Run prio: (\d+)\. Chain call actions: (\S*)", said.stdout + said.stderr).groups()

    def test_defaults(self):
        self.assertEqual(self.chain("tcp port 80"), ("50", "XDP_PASS"))

    def test_priority_and_actions(self):
        self.assertEqual(self.chain("--priority", "7", "--chain", "drop,tx", "tcp port 80"), ("7", "XDP_DROP,XDP_TX"))
        self.assertEqual(self.chain("--chain", "pass,abort", "tcp port 80"), ("50", "XDP_ABORTED,XDP_PASS"))


class Reproducible(Objects):
    def test_same_bytes(self):
        for hook in ("socket", "xdp", "tc-ingress", "tc-egress"):
            files = []
            for number, environment in enumerate(({}, {"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "MALLOC_PERTURB_": "85"})):
                path = os.path.join(self.folder, f"{number}.o")
                self.output(TAMIS, "compile", "--hook", hook, "-o", path, "-f", "web=tcp port 80 or net 10.0.0.0/8",
                            "-f", "dns=udp port 53", env={**os.environ, **environment}, cwd="/" if number else None)
                with open(path, "rb") as file:
                    files.append(file.read())
            self.assertEqual(*files)
            self.assertNotIn(self.folder.encode(), files[0])


if __name__ == "__main__":
    reason = why_not()
    if reason and os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
        sys.exit(f"cannot run: {reason}")
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
