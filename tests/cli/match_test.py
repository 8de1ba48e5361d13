#!/usr/bin/env python3
"""tamis match on whole and damaged files, on pipes and terminals.  Usage: match_test.py PATH-OF-TAMIS PATH-OF-A-CAPTURE"""
import os
import pty
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import unittest

from cli_base import CAPTURE, TAMIS, Base, tamis


class Match(Base):
    def test_engines_agree(self):
        for expression in ("tcp port 80", "udp", "icmp or arp", "ip6", "ip[0] & 0xf > 5", "len > 200", "ether[5] & 1 = 0"):
            # To the kernel, the captured part of a packet is all of it.
            engines = ("classic", "ebpf") if "len" in expression else ("classic", "ebpf", "kernel")
            counts = {engine: tamis("match", "-r", CAPTURE, "--engine", engine, "--count", expression).stdout
                      for engine in engines}
            self.assertEqual(len(set(counts.values())), 1, (expression, counts))

    def test_tcpdump_agrees(self):
        if not shutil.which("tcpdump"):
            self.skipTest("tcpdump is not installed")
        for expression in ("tcp port 80", "udp port 53", "icmp", "arp", "ip6", "host 10.0.0.1", "not tcp", "less 100"):
            theirs, ours = self.path("theirs.pcap"), self.path("ours.pcap")
            subprocess.run(["tcpdump", "-O", "-r", CAPTURE, "-w", theirs, expression], capture_output=True, check=True)
            tamis("match", "-r", CAPTURE, "-w", ours, expression)
            number = lambda path: tamis("match", "-r", path, "--count").stdout
            self.assertEqual(number(ours), number(theirs), expression)

    def test_exit_codes_and_the_last_line(self):
        result = tamis("match", "-r", CAPTURE, "ip")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), r"^\d+ of \d+ packets matched\n$")
        result = tamis("match", "-r", CAPTURE, "ip and ip6")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.fails(2, r"error", "match", "-r", "/nonexistent", "ip")
        self.fails(2, r"error", "match", "-r", "/etc/passwd", "ip")

    def test_verdicts_for_every_packet(self):
        lines = tamis("match", "-r", CAPTURE, "--verdicts", "ip").stdout.decode().splitlines()
        total = int(tamis("match", "-r", CAPTURE, "--count").stdout)
        self.assertEqual(len(lines), total)
        self.assertTrue(all(re.fullmatch(r"\d+ (0|262144)", line) for line in lines))

    def test_limit_and_self_overwrite(self):
        self.assertEqual(len(self.works("match", "-r", CAPTURE, "-c", "2", "ip").splitlines()), 2)
        copy = self.path("copy.pcap")
        shutil.copy(CAPTURE, copy)
        self.fails(2, r"the capture that is read", "match", "-r", copy, "-w", copy, "ip")
        self.assertEqual(os.path.getsize(copy), os.path.getsize(CAPTURE))

    def test_a_cut_file(self):
        """What is good is matched and written, the error says where, other files are read all the same."""
        with open(CAPTURE, "rb") as file:
            whole = file.read()
        cut, out = self.path("cut.pcap", whole[:-7]), self.path("out.pcap")
        result = tamis("match", "-r", cut, "-r", CAPTURE, "-w", out, "--count")
        self.assertEqual((result.returncode, result.stdout), (2, b"119\n"))
        self.assertRegex(result.stderr.decode(),
                         r"^\S*cut.pcap:\d+: error: truncated packet: \d+ of \d+ bytes are there\n"
                         r"119 of 119 packets matched\n$")
        self.assertEqual(tamis("match", "-r", out, "--count").stdout, b"119\n")
        offset = int(re.search(rb"cut.pcap:(\d+)", result.stderr)[1])
        with open(out, "rb") as file:
            self.assertEqual(file.read(), whole[:offset] + whole[24:])

    def test_bad_files_are_refused_before_anything_is_written(self):
        kept = self.path("kept", "old")
        for path in ("/etc/passwd", "/", "/nonexistent", self.path("empty", ""), self.path("gz", b"\x1f\x8b\x08\0")):
            self.fails(2, "cannot read", "match", "-r", CAPTURE, "-r", path, "-w", kept)
        self.fails(2, "error", "match", "-r", CAPTURE, "-w", kept, "nonsense")
        with open(kept) as file:
            self.assertEqual(file.read(), "old")
        self.fails(2, "gzip\nnote: zcat FILE", "match", "-r", self.path("gz"))

    def pcapng(self, name, endian="<"):
        """A file with an Ethernet and a raw IP interface, a comment and blocks that nobody knows."""
        def block(kind, body):
            body += bytes(-len(body) % 4)
            size = struct.pack(endian + "I", 12 + len(body))
            return struct.pack(endian + "I", kind) + size + body + size

        def option(code, value):
            return struct.pack(endian + "HH", code, len(value)) + value + bytes(-len(value) % 4)

        def packet(interface, data):
            comment = option(1, b"a comment of packet %d" % interface) + option(0, b"")
            return block(6, struct.pack(endian + "IIIII", interface, 0, 1500000, len(data), len(data))
                         + data + bytes(-len(data) % 4) + comment)

        ip = bytes.fromhex("4500001c0001000040110000c0000201c0000202") + struct.pack(">HHHH", 1000, 53, 8, 0)
        ethernet = bytes(12) + b"\x08\x00" + ip
        head = block(0x0A0D0D0A, struct.pack(endian + "IHHQ", 0x1A2B3C4D, 1, 0, 2**64 - 1)) \
            + block(1, struct.pack(endian + "HHI", 1, 0, 96)) + block(1, struct.pack(endian + "HHI", 101, 0, 0))
        udp = packet(0, ethernet) + block(0xBAD, b"custom") + packet(1, ip)
        other = packet(1, ip[:9] + b"\x06" + ip[10:]) + block(5, b"statistics")
        return self.path(name, head + udp + other), head + udp + other[-24:]

    def test_pcapng_with_several_link_types(self):
        for endian in "<>":
            source, wanted = self.pcapng("in.pcapng", endian)
            lines = self.works("match", "-r", source, "udp port 53").splitlines()
            self.assertEqual(lines, ["1 1970-01-01T00:00:01.500000000Z 42 IP 192.0.2.1.1000 > 192.0.2.2.53: udp",
                                     "2 1970-01-01T00:00:01.500000000Z 28 IP 192.0.2.1.1000 > 192.0.2.2.53: udp"])
            out = self.path("out.pcapng")
            for engine in ("classic", "ebpf", "kernel"):
                result = tamis("match", "--engine", engine, "-r", source, "-w", out, "udp port 53")
                self.assertEqual((result.returncode, result.stderr), (0, b"2 of 3 packets matched\n"))
                with open(out, "rb") as file:
                    self.assertEqual(file.read(), wanted)

    def test_a_program_of_ones_own_is_read_once(self):
        source, _ = self.pcapng("in.pcapng")
        for option, text in (("-F", b"udp"), ("--cbpf", b"1\n6 0 0 9\n")):
            result = tamis("match", "-r", source, "--count", option, "-", input=text)
            self.assertEqual((result.returncode, result.stdout), (0, b"2\n" if option == "-F" else b"3\n"))

    def test_pipes(self):
        for source in (CAPTURE, self.pcapng("in.pcapng")[0]):
            with open(source, "rb") as file:
                data = file.read()
            through = tamis("match", "-r", "-", "-w", "-", input=data)
            self.assertEqual((through.returncode, through.stdout), (0, data))
        self.fails(2, "no place for more", "match", "-r", CAPTURE, "-w", "-", "--count")
        self.fails(3, "No space left on device", "match", "-r", CAPTURE, "-w", "/dev/full")

    def test_a_pipe_that_waits_has_what_was_found(self):
        with open(CAPTURE, "rb") as file:
            data = file.read()
        for out in ([], ["-w", "-"]):
            process = subprocess.Popen([TAMIS, "match", "-r", "-", *out], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdin.write(data)
            process.stdin.flush()  # and stays open
            self.assertTrue(select.select([process.stdout], [], [], 20)[0])
            process.communicate(timeout=20)

    def test_a_full_disk(self):
        """What fits is there, whole."""
        out = self.path("out.pcap")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

        self.fails(3, "cannot write '.*out.pcap': File too large", "match", "-r", CAPTURE, "-w", out, preexec_fn=limit)
        self.assertGreater(os.path.getsize(out), 4000)
        with open(CAPTURE, "rb") as whole, open(out, "rb") as part:
            self.assertEqual(whole.read(os.path.getsize(out)), part.read())
        self.assertGreater(int(self.works("match", "-r", out, "--count")), 20)

    def test_an_unknown_link_type(self):
        """Whoever asks nothing of the packets need not know it."""
        with open(CAPTURE, "rb") as file:
            data = file.read()
        data = data[:20] + struct.pack("<I", 149) + data[24:]
        source, out = self.path("in.pcap", data), self.path("out.pcap")
        self.assertEqual(tamis("match", "-r", source, "-w", out).returncode, 0)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), data)
        self.fails(2, "link type 149 is not known", "match", "-r", source, "ip")

    def test_several_files(self):
        self.assertEqual(len(self.works("match", "-r", CAPTURE, "-r", CAPTURE, "udp").splitlines()),
                         2 * len(self.works("match", "-r", CAPTURE, "udp").splitlines()))
        self.assertRegex(self.works("match", "-r", CAPTURE, "-r", CAPTURE, "--verdicts"), r"\n120 262144\n$")
        pcapng, _ = self.pcapng("in.pcapng")
        out = self.path("out")
        tamis("match", "-r", CAPTURE, "-r", pcapng, "-w", out)
        with open(out, "rb") as file:
            self.assertEqual(file.read(4), b"\x0a\x0d\x0d\x0a")
        both = ("match", "-r", CAPTURE, "-r", pcapng)
        self.assertEqual(self.works("match", "-r", out, "udp"), self.works(*both, "udp"))
        self.fails(2, "the capture that is read", "match", "-r", CAPTURE, "-r", pcapng, "-w", pcapng)
        self.assertEqual(len(self.works(*both, "-c", "61").splitlines()), 61)

    def test_tcpdump_reads_what_is_written(self):
        if not shutil.which("tcpdump"):
            self.skipTest("tcpdump is not installed")
        out = self.path("out")
        for sources in ([CAPTURE], [CAPTURE, self.path("nano", self.nanoseconds())], [self.pcapng("x", ">")[0]]):
            arguments = [word for source in sources for word in ("-r", source)]
            tamis("match", *arguments, "-c", "2", "-w", out, "udp")
            done = subprocess.run(["tcpdump", "-n", "-t", "-r", out], capture_output=True, text=True)
            if len(sources) == 1 and sources[0] != CAPTURE:
                self.assertIn("different", done.stderr)  # two link types: libpcap can only refuse that
            else:
                self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 2))

    def nanoseconds(self):
        with open(CAPTURE, "rb") as file:
            data = file.read()
        return struct.pack("<I", 0xA1B23C4D) + data[4:]

    def test_progress_on_a_terminal(self):
        """From one second on, in one line that goes away."""
        with open(CAPTURE, "rb") as file:
            data = file.read()
        ours, theirs = pty.openpty()
        process = subprocess.Popen([TAMIS, "match", "-r", "-", "--count"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        process.stdin.write(data)
        process.stdin.flush()
        self.assertEqual(select.select([ours], [], [], 0.3)[0], [])
        for _ in range(100):  # the second is one of the program's, which may have begun late
            process.stdin.write(data[24:])
            process.stdin.flush()
            if select.select([ours], [], [], 0.2)[0]:
                break
        process.stdin.close()
        self.assertEqual(process.wait(timeout=20), 0)
        text = os.read(ours, 4096).decode()
        os.close(ours)
        self.assertRegex(text, r"^(\r0 MB, \d+ packets, \d+ matched\x1b\[K)+\r\x1b\[K(\d+) of \2 packets matched")

    def test_a_capture_is_not_for_a_terminal(self):
        ours, theirs = pty.openpty()
        result = subprocess.run([TAMIS, "match", "-r", CAPTURE, "-w", "-"], stdout=theirs, stderr=subprocess.PIPE,
                                timeout=20)
        os.close(theirs)
        os.close(ours)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"nothing for a terminal", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
