#!/usr/bin/env python3
"""tamis prove --object, with objects made by clang.

Usage: prove_object_test.py PATH-OF-TAMIS FOLDER-OF-OBJECTS"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

TAMIS, OBJECTS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MAY_LOAD = os.geteuid() == 0 and os.environ.get("TAMIS_KERNEL") != "no"


def prove(program, *args, code, file=None):
    name = ["--program", program] if program else []
    done = subprocess.run([TAMIS, "prove", "--object", file or f"{OBJECTS}/filters.o", *name, *args],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if code in (0, 1) else done.stdout + done.stderr


class Programs(unittest.TestCase):
    def test_functions_maps_and_constants(self):
        for version in ("filters", "filters-v2"):
            out = prove("tcp_port_80", "--assume", "len >= 78", "tcp port 80", code=0,
                        file=f"{OBJECTS}/{version}.o")
            self.assertIn("tcp_port_80: proved", out)

    def test_a_planted_bug_has_its_packet(self):
        with tempfile.TemporaryDirectory() as folder:
            capture = f"{folder}/bug.pcap"
            out = prove("planted_bug", "--assume", "len >= 78", "-w", capture, "tcp port 80", code=1)
            self.assertIn("does not match gets an answer", out)
            with open(capture, "rb") as file:
                frame = file.read()[24 + 16:]
        self.assertEqual(struct.unpack_from(">H", frame, 12)[0], 0x800)
        self.assertNotEqual(struct.unpack_from(">H", frame, 20)[0] & 0x1fff, 0, "a later fragment")
        self.assertIn("classic program, interpreted: 0\n", out)
        self.assertIn("object's program, interpreted: 2\n", out)
        if MAY_LOAD:
            self.assertIn("object's program, in the kernel: 2\n", out)

    def test_short_packets_are_packets(self):
        out = prove("tcp_port_80", "tcp port 80", code=1)
        self.assertIn("a packet that matches gets an answer", out)

    def test_other_answers(self):
        # XDP_TX for all the others: neither PASS nor DROP.
        prove("drops_udp", "--assume", "len >= 34", "not ip proto 17", code=1)
        prove("drops_udp", "--match", "drop", "--assume", "len >= 34", "ip proto 17", code=0)
        prove("drops_udp", "--match", "1", "ip proto 17 and len >= 34", code=0)
        prove("drops_udp", "--no-match", "drop", "len < 34 or not ip proto 17", code=0)
        self.assertIn("neither an action", prove("drops_udp", "--match", "dorp", "ip", code=2))

    def test_masks_at_tc(self):
        prove("net_by_mask", "ip dst net 172.16.16.0/20 and len >= 34", code=0)
        out = prove("net_by_mask", "ip dst net 172.16.16.0/21 and len >= 34", code=1)
        if MAY_LOAD:
            self.assertIn("in the kernel: 0\n", out)

    def test_packets_that_are_not_linear(self):
        out = prove("linear_udp", "ip proto 17 and len >= 34", code=1)
        self.assertIn("of them linear", out)
        prove("linear_udp", "--linear", "ip proto 17 and len >= 34", code=0)

    def test_sockets(self):
        prove("udp_at_socket", "ip proto 17", code=0)
        prove("udp_at_socket", "ip proto 6", code=1)

    def test_against_a_classic_program(self):
        with tempfile.NamedTemporaryFile("w", suffix=".ddd") as file:
            subprocess.run([TAMIS, "compile", "-ddd", "ip proto 17"], stdout=file, check=True)
            prove("udp_at_socket", "--cbpf", file.name, code=0)

    def test_an_access_outside_the_packet(self):
        self.assertIn("no access is out of bounds", prove("no_bounds", "arp", code=1))

    def test_what_is_not_known_is_not_proved(self):
        self.assertIn("helper 44 is not modelled", prove("moves_the_packet", "ip", code=3))
        # Nobody is in the map when the kernel runs it.
        self.assertIn("see no difference", prove("unseen", "", code=3))

    def test_json(self):
        done = json.loads(prove("planted_bug", "--assume", "len >= 78", "--json", "tcp port 80", code=1))
        self.assertEqual((done["kind"], done["outcome"]), ("proof", "refuted"))
        self.assertEqual(len(done["counterexample"]["bytes"]), 2 * 78)


class BadInput(unittest.TestCase):
    def test_programs_that_are_not_there(self):
        out = prove("", "ip", code=2)
        self.assertIn("--program takes one of tcp_port_80, planted_bug", out)
        self.assertIn("no program 'nope'", prove("nope", "ip", code=2))

    def test_programs_of_other_types(self):
        self.assertIn("read no packets", prove("no_packets", "ip", code=2))
        self.assertIn("says no type of program", prove("no_type", "ip", code=2))

    def test_files_that_are_no_objects(self):
        for file, words in ((TAMIS, "no little-endian object for BPF"), (__file__, "no ELF file"),
                            ("/nonexistent", "cannot read object"), ("/dev/null", "cannot read object"),
                            ("/", "cannot read object")):
            self.assertIn(words, prove("", "ip", code=2, file=file))

    def test_cut_off_anywhere(self):
        with open(f"{OBJECTS}/filters.o", "rb") as file:
            whole = file.read()
        with tempfile.NamedTemporaryFile(suffix=".o") as cut:
            for size in range(0, len(whole), max(1, len(whole) // 50)):
                cut.truncate(0)
                cut.seek(0)
                cut.write(whole[:size])
                cut.flush()
                prove("udp_at_socket", "ip", code=2, file=cut.name)

    def test_options_that_do_not_go_together(self):
        prove("tcp_port_80", "--hook", "xdp", "ip", code=2)
        prove("tcp_port_80", "--optimizer", "ip", code=2)
        done = subprocess.run([TAMIS, "prove", "--assume", "ip", "tcp"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
