#!/usr/bin/env python3
"""The command line as a user meets it: exit codes, messages, bytes on standard output, files that appear whole or not
at all.  Usage: cli_test.py PATH-OF-TAMIS PATH-OF-A-CAPTURE"""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest

from cli_base import CAPTURE, TAMIS, Base, tamis


class Usage(Base):
    def test_help_and_version_are_output(self):
        for args in (["--help"], ["compile", "--help"], ["match", "--help"], ["attach", "--help"], ["--version"]):
            result = tamis(*args)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertTrue(result.stdout)

    def test_mistakes_end_with_2(self):
        self.fails(2, r"^usage: tamis VERB")
        self.fails(2, r"^tamis: error: unknown verb 'comple'", "comple")
        self.fails(2, r"^tamis: error: unknown option '--nope'\nnote: .*'--'", "compile", "--nope", "ip")
        self.fails(2, r"^tamis: error: option '--hook' wants a value", "compile", "--hook")
        self.fails(2, r"unknown hook 'xpd'\nnote: the hooks are socket, xdp", "compile", "--hook", "xpd", "ip")
        self.fails(2, r"unknown link type 'ETHER'", "compile", "-y", "ETHER", "ip")
        self.fails(2, r"unknown form 'elf'\nnote: --emit takes classic", "compile", "--emit", "elf", "ip")
        self.fails(2, r"'object' is for a hook\nnote: .*--hook xdp", "compile", "--emit", "object", "ip")
        self.fails(2, r"more than one of EXPR, -F and --cbpf", "compile", "-F", "/dev/null", "ip")
        self.fails(2, r"hook xdp has no action 'keep'\nnote: its actions are", "compile", "--hook", "xdp",
                   "--match", "keep", "ip")
        self.fails(2, r"such a filter does nothing", "compile", "--hook", "xdp", "--no-stats", "ip")
        self.fails(2, r"no capture file", "match", "ip")
        self.fails(2, r"-s", "compile", "-s", "many", "ip")


class Expressions(Base):
    def test_words_reach_the_frontend_byte_for_byte(self):
        self.assertEqual(self.works("compile", "-d", "ip[0]", "&", "1", "=", "0"),
                         self.works("compile", "-d", "ip[0] & 1 = 0"))
        self.assertIn("filter:1:1: error:", self.fails(2, "error", "compile", "[tcp]"))
        self.assertEqual(self.works("compile", "-d", "--", "ip"), self.works("compile", "-d", "ip"))
        self.assertEqual(self.works("compile", "-d", "--", "-1 + 2 = 1"), self.works("compile", "-d", "0 - 1 + 2 = 1"))

    def test_none_and_blank_match_every_packet(self):
        for expression in ([], [""], ["  "]):
            self.assertEqual(self.works("compile", "-d", *expression), "(000) ret      #262144\n")

    def test_the_snapshot_length_is_what_a_match_returns(self):
        self.assertEqual(self.works("compile", "-ddd", "-s", "96"), "1\n6 0 0 96\n")
        self.assertEqual(self.works("compile", "-ddds96"), "1\n6 0 0 96\n")

    def test_optimisation_levels_are_understood(self):
        for level in ("-O", "-O0", "-O1"):
            self.works("compile", level, "-d", "ip")

    def test_files_and_standard_input(self):
        plain = self.works("compile", "-d", "tcp port 80")
        file = self.path("f", "tcp # the web\n  port 80 # over TCP\n")
        self.assertEqual(self.works("compile", "-d", "-F", file), plain)
        self.assertEqual(self.works("compile", "-d", "-F", "-", input=b"tcp port 80"), plain)
        wrong = self.path("wrong", "# a comment\ntcp prt 80\n")
        self.assertIn(f"{wrong}:2:5: error:", self.fails(2, "error", "compile", "-F", wrong))
        self.fails(2, r"<stdin>:1:5: error:", "compile", "-F", "-", input=b"tcp prt 80")
        self.fails(2, r"cannot read '/nonexistent': No such file", "compile", "-F", "/nonexistent")
        self.fails(2, r"cannot read '/': Is a directory", "compile", "-F", "/")

    def test_classic_programs_come_back_in_every_form(self):
        expression = "tcp port 80 or udp[8:2] & 0xff > 3"
        decimal = self.works("compile", "-ddd", expression)
        line = self.works("compile", "--emit", "bytecode", expression)
        self.assertEqual(line.strip(), ",".join(decimal.strip().splitlines()))
        for text in (decimal, line, self.works("compile", "-d", expression)):
            self.assertEqual(self.works("compile", "-ddd", "--cbpf", self.path("p", text)), decimal)
        self.fails(2, r"bad:", "compile", "--cbpf", self.path("bad", "1\n6 0 0\n"), cwd=self.folder.name)

    def test_a_refused_classic_program_is_pointed_at(self):
        text = self.fails(2, r"error:", "compile", "--cbpf", self.path("p", "2\n32 0 0 4294963201\n6 0 0 1\n"))
        self.assertRegex(text, r":2:1: error: ")

    def test_the_netmask(self):
        self.fails(2, r"filter:1:4: error: .*netmask.*\n(.*\n)*note: .*-m", "compile", "ip broadcast")
        self.assertEqual(self.works("compile", "-d", "-m", "255.255.255.0", "ip broadcast"),
                         self.works("compile", "-d", "-m", "0xffffff00", "ip broadcast"))
        self.fails(2, r"'255.255' is no netmask", "compile", "-m", "255.255", "ip broadcast")


class BadInput(Base):
    def test_a_diagnostic_quickly(self):
        cases = {
            "syntax": ["tcp port 80 and"],
            "unknown word": ["tcp prt 80"],
            "number out of range": ["port 65536"],
            "number too large": ["len > 99999999999"],
            "bad address": ["host 10.0.0.300"],
            "bytes from 0x80 on": [b"host \xff\xfe"],
            "not ASCII": ["host \u00e9t\u00e9"],
            "control bytes": [b"tcp \x1b[31m"],
        }
        files = {
            "a word of 1 MB": b"host " + b"a" * 1000000,
            "10,000 parentheses": b"(" * 10000 + b"ip" + b")" * 10000,
            "200,000 nots": b"not " * 200000 + b"ip",
            "a million brackets": b"ip[" * 300000,
            "random bytes": os.urandom(100000),
            "zero bytes": bytes(1000),
        }
        out = self.path("out.o")
        commands = [(name, ["compile", "--hook", "xdp", "-o", out, "--", *words]) for name, words in cases.items()]
        commands += [(name, ["compile", "--hook", "xdp", "-o", out, "-F", self.path("in", text)])
                     for name, text in files.items()]
        for index, (name, command) in enumerate(commands):
            if index >= len(cases):
                self.path("in", files[name])
            start = time.monotonic()
            result = tamis(*command)
            seconds = time.monotonic() - start
            with self.subTest(name):
                self.assertEqual(result.returncode, 2, result.stderr[:300])
                self.assertRegex(result.stderr.decode(), r":\d+:\d+: error: ")
                self.assertLess(len(result.stderr), 2000)
                self.assertTrue(all(byte in b"\n\t" or 32 <= byte < 127 for byte in result.stderr))
                self.assertLess(seconds, 1)  # 0.1 s on a quiet machine
                self.assertFalse(os.path.exists(out))


class Output(Base):
    def test_lost_output_is_noticed(self):
        for args in (["compile", "-d", "ip"], ["compile", "--json", "ip"], ["--help"], ["match", "-r", CAPTURE, "ip"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([TAMIS, *args], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(result.returncode, 3, args)
            self.assertIn(b"No space left on device", result.stderr)

    def test_files_appear_whole_or_not_at_all(self):
        self.fails(3, r"No space left on device", "compile", "--hook", "xdp", "-o", "/dev/full", "--emit", "object", "ip")
        self.fails(3, r"No such file or directory", "compile", "-d", "-o", self.path("no/such/folder"), "ip")
        old = self.path("f.o", "old")
        self.fails(2, r"error", "compile", "--hook", "xdp", "-o", old, "nonsense")
        with open(old, "rb") as file:
            self.assertEqual(file.read(), b"old")
        self.works("compile", "--hook", "xdp", "-o", old, "ip")
        with open(old, "rb") as file:
            self.assertEqual(file.read(4), b"\x7fELF")
        self.assertEqual(os.listdir(self.folder.name), ["f.o"])

    def test_the_same_object_every_time(self):
        first, second = self.path("1.o"), self.path("2.o")
        for path in (first, second):
            self.works("compile", "--hook", "tc-ingress", "-o", path, "tcp port 80")
        with open(first, "rb") as one, open(second, "rb") as two:
            self.assertEqual(one.read(), two.read())

    def test_json(self):
        program = json.loads(self.works("compile", "--json", "--hook", "xdp", "tcp port 80"))
        self.assertEqual((program["tamis"], program["kind"], program["hook"]), (1, "program", "xdp"))
        self.assertTrue(all(row["text"] for row in program["classic"] + program["ebpf"]))
        lines = [json.loads(line) for line in self.works("match", "--json", "-r", CAPTURE, "ip").splitlines()]
        self.assertEqual({line["kind"] for line in lines}, {"packet", "match"})
        self.assertEqual(lines[-1]["matched"], len(lines) - 1)


class VlanOffload(Base):
    def compile(self, *args):
        return tamis("compile", "--hook", "xdp", *args)

    def test_a_filter_that_asks_for_tags_is_warned_of(self):
        for how in ([], ["--vlan-offload", "refuse"]):
            result = self.compile(*how, "not vlan")
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stderr.decode(), r"^filter:1:5: warning: .*offload.*\n.*\n.*\nnote: `ethtool -K IF rxvlan off`")
        self.fails(2, r"^filter:1:5: error: .*offload", "compile", "--hook", "xdp", "--werror", "not vlan")
        for how in (["--vlan-offload=ignore", "vlan"], ["ip"], ["arp and not vlan", "--vlan-offload=metadata"][::-1]):
            self.assertEqual(self.compile(*how).stderr, b"", how)

    def test_metadata_asks_the_driver(self):
        self.assertIn("call bpf_xdp_metadata_rx_vlan_tag",
                      self.works("compile", "--hook", "xdp", "--vlan-offload=metadata", "not vlan"))
        self.assertNotIn("call bpf_xdp_metadata", self.works("compile", "--hook", "xdp", "--vlan-offload=metadata", "ip"))
        self.fails(2, r"--vlan-offload is for XDP", "compile", "--hook", "tc-ingress", "--vlan-offload=metadata", "vlan")
        self.fails(2, r"--vlan-offload", "compile", "--hook", "xdp", "--vlan-offload=maybe", "vlan")


class Privilege(Base):
    def test_a_missing_capability_is_named(self):
        if os.geteuid() != 0:
            command = [TAMIS]
        elif shutil.which("setpriv"):
            # The binary may lie where only root can look.
            copy = self.path("tamis")
            shutil.copy(TAMIS, copy)
            os.chmod(self.folder.name, 0o755)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy]
        else:
            self.skipTest("setpriv is not installed")
        for hook, capability in (("xdp", b"CAP_"), ("socket", b"CAP_")):
            result = subprocess.run([*command, "attach", "-i", "lo", "--hook", hook, "icmp"], capture_output=True, timeout=20)
            self.assertEqual(result.returncode, 3, result.stderr)
            self.assertIn(capability, result.stderr)

    def test_attach_explains_itself(self):
        self.fails(2, r"no hook", "attach", "-i", "lo", "icmp")
        self.fails(2, r"needs a network interface", "attach", "--hook", "xdp", "icmp")
        self.fails(2, r"no network interface 'l0'\nnote: there is 'lo'", "attach", "-i", "l0", "--hook", "xdp", "icmp")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
