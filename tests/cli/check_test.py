#!/usr/bin/env python3
"""`tamis check` and `compile --hook kernel` as a user meets them.  Usage: check_test.py PATH-OF-TAMIS"""

import ctypes
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

TAMIS = os.path.abspath(sys.argv[1])
SO_ATTACH_FILTER = 26


def tamis(*args, **kwargs):
    return subprocess.run([TAMIS, *args], capture_output=True, timeout=60, text=True, **kwargs)


def needs_root(test):
    """Skips without root, or fails where the kernel is required."""

    def run(self):
        if os.environ.get("TAMIS_KERNEL") == "no":
            self.skipTest("TAMIS_KERNEL=no")
        if os.geteuid() != 0:
            if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
                self.fail("needs root")
            self.skipTest("needs root")
        test(self)

    run.__name__ = test.__name__
    return run


def filtered_socket(*insns):
    """A unix socket with a classic filter of (code, jt, jf, k)."""
    code = bytearray(b"".join(struct.pack("HBBI", *insn) for insn in insns))
    buffer = (ctypes.c_char * len(code)).from_buffer(code)
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    holder.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                      struct.pack("HL", len(insns), ctypes.addressof(buffer)))
    return holder


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def same(self, *args, **kwargs):
        result = tamis("check", *args, **kwargs)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        return result.stdout

    @needs_root
    def test_listings_stand_beside_each_other(self):
        said = self.same("tcp port 80")
        self.assertRegex(said, r"\n\(000\) ldh      \[12\] +(tcp port )?80\n")
        self.assertRegex(said, r"\n +3 r8 = \*\(u64 \*\)\(skb \+ data\) +r8 = \*\(u64 \*\)\(r6 \+\d+\)\n")
        self.assertRegex(said, r"\n +\d+ call bpf_skb_load_helper_16 +call bpf_skb_load_helper_16\n")
        self.assertRegex(said, r"\nkernel form: \d+ instructions, the same as the kernel's\n"
                               r"socket form: \d+ instructions, \d+ behind the verifier, all as foretold\n"
                               r"verdicts: 256 random packets, \d+ kept, no difference\n$")
        self.assertNotIn("\n!", said)

    @needs_root
    def test_random_programs(self):
        self.assertRegex(self.same("--random", "300", "--seed", "9"),
                         r"^300 programs that the kernel accepts .* 0 differ; \d+ programs/s, seed 9\n$")
        said = json.loads(self.same("--random", "300", "--seed", "9", "--json"))
        self.assertEqual((said["accepted"], said["differing"]), (300, 0))
        self.assertGreater(said["refused"], 0)

    @needs_root
    def test_a_program_that_the_kernel_refuses(self):
        said = self.same("--cbpf", "-", input="ldh [12]\nlsh #40\nret #1\n")
        self.assertEqual(said, "refused by the kernel and by tamis alike (EINVAL): "
                               "instruction 1: 'lsh' takes a number up to 31 here, not 40\n")
        long = "".join("ldh [12]\n" for _ in range(2340)) + "ja 1\nret #0\nret #1\n"
        self.assertNotIn("EINVAL", self.same("--cbpf", "-", input=long))
        self.assertIn("(EINVAL): instruction 2341: its translation puts a jump at instruction 32781; ",
                      self.same("--cbpf", "-", input="ldh [12]\n" + long))

    @needs_root
    def test_what_a_process_has_attached(self):
        holder = filtered_socket((0x28, 0, 0, 12), (0x15, 0, 1, 0x800), (6, 0, 0, 96), (6, 7, 8, 0))
        self.addCleanup(holder.close)
        said = self.same("--pid", str(os.getpid()))
        self.assertIn("(001) jeq      #0x800           jt 2 jf 3\n", said)
        line = rf"process {os.getpid()} \(python3\) fd {holder.fileno()}: 4 classic instructions; kernel form: 26 "
        self.assertRegex(said, line)
        self.assertRegex(said, r"\n1 classic filters on sockets, 0 differ\n$")
        self.assertRegex(self.same("--all"), line)
        shown = [json.loads(text) for text in self.same("--all", "--json").splitlines()]
        mine = [filter for filter in shown if filter["process"] == os.getpid()]
        self.assertEqual([(f["fd"], len(f["classic"]), f["same"]) for f in mine], [(holder.fileno(), 4, True)])
        gone = tamis("check", "--pid", "4194304")
        self.assertEqual(gone.returncode, 3)
        self.assertIn("cannot look at process 4194304: No such process", gone.stderr)

    def with_other(self, path, change, *args):
        """The check where the kernel seems to say something else in a file."""
        other = os.path.join(self.folder.name, "other")
        with open(path) as real, open(other, "w") as file:
            file.write(change(real.read()))
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", other, path, TAMIS, "check", *args],
                              capture_output=True, text=True, timeout=60)

    # An address that is wrong by 16, a limit that is not the kernel's.
    @needs_root
    def test_a_difference_is_shown(self):
        def shifted(text):
            return re.sub(r"^(\w+)(?= T bpf_skb_load_helper_16$)", lambda at: f"{int(at[1], 16) + 16:x}", text,
                          flags=re.M)

        result = self.with_other("/proc/kallsyms", shifted, "ip")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(re.findall(r"^! +(\d+)", result.stdout, re.M), ["17"])
        self.assertIn("kernel form: first difference at instruction 17: another instruction\n", result.stdout)
        result = self.with_other("/proc/kallsyms", shifted, "--random", "200")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stdout, r"^the first program that differs:\n\d+\n")

        result = self.with_other("/proc/sys/net/core/optmem_max", lambda _: "200\n", "ip")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("the kernel takes what should be refused: its translation takes 304 bytes", result.stdout)

    @needs_root
    def test_a_missing_capability_is_named(self):
        if not shutil.which("setpriv"):
            self.skipTest("setpriv is not installed")
        for lost, named in (("-bpf,-perfmon,-sys_admin", "CAP_BPF and CAP_PERFMON"), ("-syslog", "CAP_SYSLOG")):
            result = subprocess.run(["setpriv", "--bounding-set", lost, TAMIS, "check", "ip"], capture_output=True,
                                    text=True, timeout=20)
            self.assertEqual(result.returncode, 3, result.stdout)
            self.assertIn(named, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_mistakes(self):
        for args, message in ((["--random", "5", "ip"], "more than one of EXPR, --random, --pid and --all"),
                              (["--random", "0"], "--random"), (["--pid", "x"], "--pid"),
                              (["-y", "ETHER", "ip"], "unknown link type 'ETHER'"),
                              (["ip and"], "filter:1:7: error:")):
            result = tamis("check", *args)
            self.assertEqual((result.returncode, result.stdout), (2, ""), args)
            self.assertIn(message, result.stderr)


class KernelHook(unittest.TestCase):
    def test_the_listing_has_symbols(self):
        result = tamis("compile", "--hook", "kernel", "ip host 10.0.0.1")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("\n   4: (61) r9 = *(u32 *)(skb + len)\n", result.stdout)
        self.assertRegex(result.stdout, r"\n +\d+: \(85\) call bpf_skb_load_helper_16\n")
        listed = json.loads(tamis("compile", "--hook", "kernel", "--json", "ip").stdout)
        self.assertEqual((listed["kind"], len(listed["ebpf"])), ("kernel_form", 26))

    @needs_root
    def test_raw_is_what_the_kernel_has(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "raw")
            result = tamis("compile", "--hook", "kernel", "--emit", "raw", "-o", path, "ip")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            with open(path, "rb") as file:
                raw = file.read()
        self.assertEqual(len(raw), 26 * 8)
        with open("/proc/kallsyms") as file:
            called = {name: int(address, 16) for address, name in re.findall(
                r"^(\w+) T (__bpf_call_base|bpf_skb_load_helper_16)$", file.read(), re.M)}
        self.assertEqual(struct.unpack_from("<BBhi", raw, 17 * 8),
                         (0x85, 0, 0, called["bpf_skb_load_helper_16"] - called["__bpf_call_base"]))

    def test_there_is_nothing_to_load(self):
        for args in (["--emit", "object"], ["-o", "f.o"], ["--match", "drop"], ["--no-stats"], ["-d"]):
            result = tamis("compile", "--hook", "kernel", *args, "ip")
            self.assertEqual((result.returncode, result.stdout), (2, ""), args)
        result = tamis("compile", "--hook", "kernel", "--emit", "object", "ip")
        self.assertIn("no form 'object' with --hook kernel\nnote: --emit takes ebpf", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
