#!/usr/bin/env python3
"""Objects that `tamis compile` writes, in the hands of those who load them.  Usage: objects_test.py PATH-OF-TAMIS CAPTURE"""
# What C programs are linked with, and what is put into them, must say of a packet what `tamis match` says.

import json
import os
import re
import shutil
import socket
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


def prove_object(path):
    """The command that proves it, in a list; none where this build has no solver and looks at no object."""
    has_solver = "no solver" not in run(TAMIS, "prove", "ip").stderr
    return [["prove", "--object", path, "tcp"]] if has_solver else []


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

    def test_what_is_not_proved_is_not_written(self):
        path = os.path.join(self.folder, "f.o")
        result = run(TAMIS, "compile", "--hook", "xdp-frags", "--prove", "--timeout", "0.001", "-o", path,
                     "geneve 1 and geneve 2 and udp")
        if "no solver" in result.stderr:
            self.skipTest("built without a solver")
        self.assertEqual(result.returncode, 3)
        self.assertIn("translation: undecided: ", result.stderr)
        self.assertFalse(os.path.exists(path))

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
        with open(path + ".c", "w") as file:
            file.write(source)
        self.output("clang", "-g", "-O2", "-Wall", "-Werror", "-target", "bpf", "-I", f"/usr/include/{os.uname().machine}-linux-gnu",
                    "-I", self.folder, "-c", path + ".c", "-o", path + ".o", *arguments)
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

    # Stubs as packet tracers have them, between functions that stay: `stub` in .text, where calls come
    # by relocation and from its neighbours; `local` beside the program that calls it.
    STUBS = '''
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        #ifdef TC
        #define CONTEXT struct __sk_buff
        #else
        #define CONTEXT struct xdp_md
        #endif
        const volatile int one = 1;
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); } map SEC(".maps");
        static __attribute__((noinline)) int first(int x) { return x + one; }
        static __attribute__((noinline)) _Bool stub(void *_skb, void *__skb, void *___skb, void *data, void *data_end) {
            return data != data_end && _skb == __skb && __skb == ___skb;
        }
        __attribute__((noinline)) int by_context(CONTEXT *ctx, int other) { return (ctx->ingress_ifindex ^ other) + 2; }
        static __attribute__((noinline)) int last(void *ctx, void *data, void *data_end, int x) {
            int key = 0, *value = bpf_map_lookup_elem(&map, &key);
            return first(x) + (value ? *value : 0) + 2 * stub(ctx, ctx, ctx, data, data_end);
        }
        SEC("SECTION") int caller(CONTEXT *ctx) {
            void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
            int key = 0, *value = bpf_map_lookup_elem(&map, &key);
            int both = stub(ctx, ctx, ctx, data, data_end) | (by_context(ctx, 0) == 1) << 1;
            return both | last(ctx, data, data_end, value ? *value : 0) << 4;
        }
        SEC("SECTION") int another(CONTEXT *ctx) { return 7; }
        char _license[] SEC("license") = "GPL";'''

    def inject(self, source, at, expression, *arguments, name="out.o"):
        path = os.path.join(self.folder, name)
        said = self.output(TAMIS, "inject", source, "--at", at, "-o", path, *arguments, "--", expression)
        self.assertEqual(said, "")
        return path

    def test_injected_into_stubs(self):
        for hook, definition in (("xdp", "XDP"), ("tc", "TC")):
            stubs = self.compiler(self.STUBS.replace('"SECTION"', f'"{hook}"'), hook, "-D" + definition)
            for expression in self.EXPRESSIONS:
                if hook == "tc" and expression != self.EXPRESSIONS[2]:
                    continue  # the kernel's frames for tc must hold whole IP headers; one filter shows that it works
                once = self.inject(stubs, "stub", expression, name="once.o")
                both = self.inject(once, "by_context", expression, name="both.o")
                verdicts = self.verdicts(expression)
                self.assertEqual(self.answers(both, "caller"), [3 * yes | (1 + 2 * yes) << 4 for yes in verdicts],
                                 (hook, expression))
                self.assertEqual(set(self.answers(both, "another")), {7})
                if expression == "tcp port 80":
                    lines = self.source_lines("caller")
                    text = "; tcp port 80 [file:<filter> line_num:1 line_col:1]"
                    self.assertGreaterEqual(lines.count(text), 2)
                    self.assertTrue(any("int key = 0" in line for line in lines), lines)

    # Where data and data_end are mere addresses: what pwru and its like look at.
    TRACER = '''
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        #include <bpf/bpf_core_read.h>
        struct sk_buff {
            unsigned char *head;
            unsigned tail;
            __u16 mac_header;
        } __attribute__((preserve_access_index));
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); } seen SEC(".maps");
        static __attribute__((noinline)) _Bool filter(void *_skb, void *data, void *data_end) { return data != data_end && _skb; }
        SEC("raw_tp/netif_receive_skb") int tracer(struct bpf_raw_tracepoint_args *ctx) {
            struct sk_buff *skb = (void *)ctx->args[0];
            unsigned char *head = BPF_CORE_READ(skb, head);
            int key = 0;
            long *count = bpf_map_lookup_elem(&seen, &key);
            if (count && filter(skb, head + BPF_CORE_READ(skb, mac_header), head + BPF_CORE_READ(skb, tail)))
                __sync_fetch_and_add(count, 1);
            return 0;
        }
        char _license[] SEC("license") = "GPL";'''

    def test_injected_into_a_tracing_program(self):
        port = 20000 + os.getpid() % 10000
        tracer = self.inject(self.compiler(self.TRACER, "tracer"), "filter",
                             f"ip[8] > 0 and udp[2:2] - 1 = {port - 1} and udp[8:4] = 0x74616d69")
        with subprocess.Popen([TAMIS, "load", tracer], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as loaded:
            self.addCleanup(loaded.kill)
            number = int(re.search(r" id (\d+)", loaded.stderr.readline())[1])
            self.check_tracer(number, port)
            loaded.terminate()

    def check_tracer(self, program, port):
        map_id, = json.loads(self.output("bpftool", "-j", "prog", "show", "id", str(program)))["map_ids"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for text in (b"tamis", b"others", b"tamis", b"tam"):
                out.sendto(text, ("127.0.0.1", port))
        counted, = json.loads(self.output("bpftool", "-j", "map", "dump", "id", str(map_id)))
        self.assertEqual(counted["formatted"]["value"], 2)

    def test_linked_after_injection(self):
        """What bpftool's linker makes of it, which checks all tables."""
        stubs = self.compiler(self.STUBS.replace('"SECTION"', '"xdp"'), "stubs")
        linked = os.path.join(self.folder, "linked.o")
        self.output("bpftool", "gen", "object", linked, self.inject(stubs, "stub", "tcp port 80"))
        self.assertEqual({answer & 1 for answer in self.answers(linked, "caller")}, {0, 1})

    def test_the_issue_s_order_of_words(self):
        stubs = self.compiler(self.STUBS.replace('"SECTION"', '"xdp"'), "stubs")
        path = os.path.join(self.folder, "behind.o")
        self.output(TAMIS, "inject", stubs, "--at", "stub", "tcp", "port", "80", "-o", path)
        with open(path, "rb") as one, open(self.inject(stubs, "stub", "tcp port 80"), "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_injection_refusals(self):
        stubs = self.compiler(self.STUBS.replace('"SECTION"', '"xdp"'), "stubs")
        bare = os.path.join(self.folder, "bare.o")
        self.output("clang", "-O2", "-target", "bpf", "-x", "c", "-c", "-", "-o", bare,
                    input='__attribute__((section("xdp"))) int f(void *c) { return 1; }')
        mixed = self.compiler(self.STUBS.replace('"SECTION"', '"xdp"') + '''
            SEC("raw_tp/sys_enter") int other(void *ctx) { return first(1); }''', "mixed")
        broken = os.path.join(self.folder, "broken.o")
        with open(stubs, "rb") as whole, open(broken, "wb") as half:
            half.write(whole.read()[:700])
        for source, arguments, message in (
                (stubs, ["--at", "nothing"], "it has no function 'nothing'"),
                (stubs, ["--at", "first"], "function 'first' is not given the packet"),
                (stubs, ["--at", "stub", "vlan 5 and inbound"], "cannot be read"),
                (stubs, ["--at", "stub", "tcp prot"], "'prot' cannot follow 'tcp'"),
                (bare, ["--at", "f"], "it has no type information (BTF)"),
                (mixed, ["--at", "stub"], "--access pointer or --access probe"),
                (broken, ["--at", "stub"], "broken.o'"),
                ("/bin/true", ["--at", "stub"], "no little-endian object for BPF"),
                (CAPTURE, ["--at", "stub"], "it is no ELF file"),
                ("/nonexistent", ["--at", "stub"], "cannot read '/nonexistent'"),
                (stubs, [], "inject wants an object, --at FUNC and -o FILE")):
            output = os.path.join(self.folder, "x.o")
            result = run(TAMIS, "inject", source, "-o", output, *arguments)
            self.assertEqual(result.returncode, 2, (arguments, result.stderr))
            self.assertIn(message, result.stderr)
            self.assertFalse(os.path.exists(output))

    def test_emitted_c(self):
        """The C beside the object, on the same packets; and that it loads at other hooks, counters and all."""
        for expression in self.EXPRESSIONS:
            arguments = ["--no-stats", "--match", "drop", "--", expression]
            source = self.output(TAMIS, "compile", "--emit", "c", "--hook", "xdp", *arguments)
            mine = self.answers(self.object("--hook", "xdp", *arguments), "tamis_filter")
            emitted = self.compiler(source, "emitted")
            self.assertEqual(self.answers(emitted, "tamis_filter"), mine, expression)
            proof = run(TAMIS, "prove", "--object", emitted, *arguments[1:])
            if "no solver" not in proof.stderr:
                self.assertEqual(proof.returncode, 0, proof.stdout + proof.stderr)
                self.assertIn("tamis_filter: proved: ", proof.stdout)
            self.assertEqual(mine, [2 - yes for yes in self.verdicts(expression)])
        for hook in ("socket", "tc-ingress", "cgroup-ingress", "lwt-xmit", "xdp-frags"):
            expression = self.EXPRESSIONS[2] if hook[0] != "c" and hook[0] != "l" else "tcp port 80 or net 10.0.0.0/8"
            source = self.output(TAMIS, "compile", "--emit", "c", "--hook", hook, expression)
            self.assertIn(f" *     {expression}\n", source)
            self.assertNotIn("goto", source)
            (program,) = self.load(self.compiler(source, "emitted")).values()
            number, = program["map_ids"]
            said = json.loads(self.output("bpftool", "-j", "map", "dump", "id", str(number)))
            self.assertEqual(said[1]["formatted"]["values"][0]["value"], {"packets": 0, "bytes": 0})

    def test_functions_for_every_hook(self):
        for hook, section in (("socket", "socket"), ("tc-egress", "tc"), ("tc-action", "action"), ("xdp-frags", "xdp.frags"),
                              ("cgroup-egress", "cgroup_skb/egress"), ("lwt-out", "lwt_out")):
            self.function("is_it", "--hook", hook, "-q", "--", "tcp port 80 or ip[8] > 3")
            caller = self.compiler('''
                #include <linux/bpf.h>
                #include <bpf/bpf_helpers.h>
                #include "is_it.h"
                SEC("%s") int caller(struct %s *ctx) { return is_it(ctx) ? 1 : 0; }
                char _license[] SEC("license") = "GPL";''' % (section, "xdp_md" if "xdp" in hook else "__sk_buff"), "caller")
            linked = os.path.join(self.folder, "linked.o")
            self.output("bpftool", "gen", "object", linked, caller, os.path.join(self.folder, "is_it.o"))
            self.assertEqual(set(self.load(linked)), {"caller"})

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


class BadObjects(Objects):
    """Objects of others that are none: an error in the input, nothing written, whoever reads them."""

    def refused(self, path):
        output = os.path.join(self.folder, "out.o")
        for arguments in (["load", path], ["load", "--dry-run", path], *prove_object(path),
                          ["inject", path, "--at", "tamis_filter", "-o", output, "tcp"]):
            result = run(TAMIS, *arguments)
            self.assertEqual(result.returncode, 2, (arguments, result.stderr))
            self.assertRegex(result.stderr, "^tamis: error: ")
            self.assertFalse(os.path.exists(output))

    def variant(self, content):
        path = os.path.join(self.folder, "variant.o")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def content(self, hook):
        with open(self.object("--hook", hook, "tcp port 80 or net 10.0.0.0/8"), "rb") as file:
            return file.read()

    def test_cut_anywhere(self):
        content = self.content("xdp")
        for size in range(0, len(content), len(content) // 16 + 1):
            self.refused(self.variant(content[:size]))

    def test_no_object_for_bpf(self):
        self.refused(TAMIS)
        self.refused(CAPTURE)
        content = self.content("xdp")
        for at, value in ((4, 1), (5, 2), (16, 2), (18, 62)):  # 32 bits, big-endian, a program, for x86-64
            self.refused(self.variant(content[:at] + bytes([value]) + content[at + 1:]))

    def test_a_type_of_program_that_nobody_knows(self):
        path = self.variant(self.content("lwt-xmit").replace(b"lwt_xmit\0", b"lwt_frob\0"))
        for arguments in (["load", path], *prove_object(path)):
            result = run(TAMIS, *arguments)
            self.assertEqual(result.returncode, 2, (arguments, result.stderr))
            self.assertIn("lwt_frob", result.stderr)


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
