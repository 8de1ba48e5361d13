#!/usr/bin/env python3
"""Objects that `tamis compile` writes, in the hands of those who load them.  Usage: objects_test.py PATH-OF-TAMIS CAPTURE"""
# What C programs are linked with, and what is put into them, must say of a packet what `tamis match` says.

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

TAMIS, CAPTURE = map(os.path.abspath, sys.argv[1:3])
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


def packets(capture):
    """The packets of a capture file (of this machine's byte order)."""
    with open(capture, "rb") as file:
        data = file.read()
    at = 24
    while at < len(data):
        size, = struct.unpack_from("=I", data, at + 8)
        yield data[at + 16:at + 16 + size]
        at += 16 + size


class InCPrograms(Objects):
    """Filters in an XDP program that clang compiles; it returns a bit for each of them."""

    EXPRESSIONS = ["", "tcp port 80", "(tcp[tcpflags] & tcp-syn != 0 or port 53) and not src net 10.0.0.0/9",
                   "ip[ip[0] & 15] < 100 or len > 90", "icmp or ip6"]

    def compiler(self, source, name, *arguments):
        if not shutil.which("clang"):
            if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
                self.fail("clang is not installed")
            self.skipTest("clang is not installed")
        path = os.path.join(self.folder, name)
        self.output("clang", "-g", "-O2", "-Wall", "-Werror", "-target", "bpf", "-I", f"/usr/include/{os.uname().machine}-linux-gnu",
                    "-I", self.folder, "-x", "c", "-c", "-", "-o", path + ".o", *arguments, input=source)
        return path + ".o"

    def verdicts(self, expression):
        said = run(TAMIS, "match", "--verdicts", "-r", CAPTURE, *(["--", expression] if expression else []))
        self.assertIn(said.returncode, (0, 1), said.stderr)
        return [line.split()[1] != "0" for line in said.stdout.splitlines()]

    def answers(self, path, program):
        """What the loaded program returns for each packet of the capture."""
        self.load(path)
        out = []
        for packet in packets(CAPTURE):
            path = os.path.join(self.folder, "packet")
            with open(path, "wb") as file:
                file.write(packet)
            said = self.output("bpftool", "-j", "prog", "run", "pinned", f"{self.pins}/{program}", "data_in", path)
            out.append(json.loads(said)["retval"])
        return out

    CALLER = '''
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        #include "by_context.h"
        #include "by_bounds.h"
        SEC("xdp") int caller(struct xdp_md *ctx) {
            return by_context(ctx) | by_bounds((void *)(long)ctx->data, (void *)(long)ctx->data_end) << 1;
        }
        char _license[] SEC("license") = "GPL";'''

    def function(self, name, *arguments):
        self.object("--function", name, "--header", os.path.join(self.folder, name + ".h"), *arguments, name=name + ".o")

    def test_functions_of_both_shapes(self):
        for expression in self.EXPRESSIONS:
            self.function("by_context", "--hook", "xdp", "--", expression)
            self.function("by_bounds", "--hook", "xdp", "--args", "data", "--", expression)
            linked = os.path.join(self.folder, "linked.o")
            self.output("bpftool", "gen", "object", linked, self.compiler(self.CALLER, "caller"),
                        *(os.path.join(self.folder, name) for name in ("by_context.o", "by_bounds.o")))
            self.assertEqual(self.answers(linked, "caller"), [3 * yes for yes in self.verdicts(expression)], expression)
            if expression == "tcp port 80":
                text = "; tcp port 80 [file:<filter> line_num:1 line_col:1]"
                self.assertGreaterEqual(self.source_lines("caller").count(text), 2)

    def test_function_refusals(self):
        for arguments, message in (
                (["--function", "int"], "'int' is a keyword of C"),
                (["--function", "f", "--match", "drop"], "--match is for programs, not for a function"),
                (["--function", "f", "-f", "a=ip"], "-f is for programs, not for a function"),
                (["--function", "f", "--priority", "7"], "--priority is for programs, not for a function"),
                (["--args", "data"], "--args and --header are for --function"),
                (["--hook", "socket", "--function", "f", "--args", "data"], "hook socket have no packet pointers"),
                (["--hook", "tc-ingress", "--function", "f", "--args", "data", "vlan"], "cannot be read"),
                (["--function", "f", "-d"], "--function wants the hook")):
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
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
