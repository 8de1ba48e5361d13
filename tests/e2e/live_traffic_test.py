#!/usr/bin/env python3
"""Two network namespaces, a veth pair and real traffic: what filters attached by `tamis attach` count must be what
tcpdump captured.  Usage: live_traffic_test.py PATH-OF-TAMIS"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TAMIS = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "tamis"
SIDES = {"a": "10.77.0.1", "b": "10.77.0.2"}


def why_not():
    """The reason why this machine cannot run the test, or None."""
    if os.environ.get("TAMIS_KERNEL") == "no":
        return "TAMIS_KERNEL=no"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "ping", "tcpdump"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if subprocess.run(["ip", "netns", "add", f"tamis-probe-{os.getpid()}"], capture_output=True).returncode:
        return "no network namespace can be made here"
    subprocess.run(["ip", "netns", "del", f"tamis-probe-{os.getpid()}"], check=True)
    return None


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_for_line(process, pattern, seconds=10):
    """Reads the process's stderr up to a line that matches."""
    deadline = time.monotonic() + seconds
    seen = ""
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        seen += line
        if re.search(pattern, line):
            return line
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"no line '{pattern}' from {process.args}: {seen}")


def end(process):
    """Whatever became of the test."""
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def finish(process):
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    return process.returncode, out


class LiveTraffic(unittest.TestCase):
    def setUp(self):
        self.ns = {side: f"tamis-{os.getpid()}-{side}" for side in SIDES}
        self.folder = tempfile.TemporaryDirectory()
        for side, address in SIDES.items():
            run("ip", "netns", "add", self.ns[side])
        run("ip", "link", "add", "va", "netns", self.ns["a"], "type", "veth",
            "peer", "name", "vb", "netns", self.ns["b"])
        for side, address in SIDES.items():
            run("ip", "-n", self.ns[side], "address", "add", f"{address}/24", "dev", f"v{side}")
            run("ip", "-n", self.ns[side], "link", "set", "lo", "up")
            run("ip", "-n", self.ns[side], "link", "set", f"v{side}", "up")

    def tearDown(self):
        for name in self.ns.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        self.folder.cleanup()

    def inside(self, side, *command, **kwargs):
        return subprocess.Popen(["ip", "netns", "exec", self.ns[side], *command], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **kwargs)

    def attach(self, hook, expression, *options, interface="vb"):
        process = subprocess.Popen([TAMIS, "attach", "-i", interface, "--netns", self.ns["b"], "--hook", hook, *options,
                                    expression], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(end, process)
        wait_for_line(process, rf"^attached {hook} {interface} \w+ id \d+$")
        return process

    def capture(self, expression):
        path = os.path.join(self.folder.name, "capture.pcap")
        process = self.inside("b", "tcpdump", "-i", "vb", "-Q", "in", "-U", "-Z", "root", "-w", path, expression)
        self.addCleanup(end, process)
        wait_for_line(process, "listening on")
        time.sleep(1)  # its filter is attached only now
        return process, path

    def exchange(self):
        """Ping, a UDP and a TCP exchange from a to b."""
        run("ip", "netns", "exec", self.ns["a"], "ping", "-c", "4", "-i", "0.2", SIDES["b"])
        server = ("import socket,sys\n"
                  "u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);u.bind(('',5300))\n"
                  "t=socket.socket();t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);t.bind(('',8080));t.listen()\n"
                  "print('ready',file=sys.stderr,flush=True)\n"
                  "for _ in range(3):\n d,p=u.recvfrom(2000);u.sendto(d,p)\n"
                  "c,_=t.accept();c.sendall(c.recv(2000));c.close()\n")
        client = ("import socket\n"
                  "u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);u.settimeout(5)\n"
                  f"for n in (1,100,1200):\n u.sendto(b'x'*n,('{SIDES['b']}',5300));u.recv(2000)\n"
                  f"t=socket.create_connection(('{SIDES['b']}',8080),5);t.sendall(b'hello');t.recv(2000);t.close()\n")
        served = self.inside("b", sys.executable, "-c", server)
        wait_for_line(served, "ready")
        asked = self.inside("a", sys.executable, "-c", client)
        _, errors = asked.communicate(timeout=20)
        self.assertEqual(asked.returncode, 0, errors)
        served.communicate(timeout=10)
        time.sleep(0.5)

    def captured(self, path):
        """Packets and bytes on the wire in a capture file, and how many of those `tamis match` sees."""
        out = run("tcpdump", "-r", path, "-n", "-e", "-q")
        lengths = [int(n) for n in re.findall(r", length (\d+):", out)]
        return len(lengths), sum(lengths)

    def check_expression(self, expression, at_least):
        tcpdump, path = self.capture(expression)
        filters = {hook: self.attach(hook, expression, *options)
                   for hook, options in (("xdp", []), ("socket", ["-Q", "in"]))}
        self.exchange()
        finish(tcpdump)
        packets, size = self.captured(path)
        self.assertGreaterEqual(packets, at_least, expression)
        for hook, process in filters.items():
            code, out = finish(process)
            self.assertEqual(code, 0)
            last = out.strip().splitlines()[-1]
            self.assertRegex(last, rf"^matched {packets} packets {size} bytes, passed \d+ packets \d+ bytes$",
                             f"{hook}: {expression}")
        print(f"{expression}: {packets} packets, {size} bytes at xdp, at the socket and in tcpdump")

    def test_icmp(self):
        self.check_expression("icmp", 4)

    def test_udp_port(self):
        self.check_expression("udp dst port 5300", 3)

    def test_tcp_port(self):
        self.check_expression("tcp port 8080", 4)

    def test_the_last_byte_that_xdp_can_reach(self):
        """Loopback carries frames of 65,549 bytes; the verifier follows packet pointers only to byte 65,534."""
        for expression, matched in (("ether[65534] = 0x78", 1), ("ether[65535] = 0x78", 1), ("ether[65534:2] = 0x7878", 1),
                                    ("ether[65535] = 0x79", 0), ("ether[len - 14] = 0x78 and greater 65000", 1)):
            process = self.attach("xdp", expression, "--mode", "generic", interface="lo")
            run("ip", "netns", "exec", self.ns["b"], sys.executable, "-c",
                "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);r=socket.socket("
                "socket.AF_INET,socket.SOCK_DGRAM);r.bind(('127.0.0.1',5301));s.sendto(b'x'*65507,('127.0.0.1',5301))")
            code, out = finish(process)
            self.assertEqual(code, 0)
            self.assertRegex(out.strip().splitlines()[-1], rf"^matched {matched} packets {matched * 65549} bytes", expression)

    def test_nothing_is_left_after_sigkill(self):
        process = self.attach("xdp", "icmp")
        self.assertIn("xdp", run("ip", "-n", self.ns["b"], "link", "show", "vb"))
        process.kill()
        process.wait()
        for _ in range(50):  # the link goes when the kernel has closed the process's files
            if "xdp" not in run("ip", "-n", self.ns["b"], "link", "show", "vb"):
                return
            time.sleep(0.1)
        self.fail("an XDP program is still attached")

    def test_an_occupied_interface_names_the_holder(self):
        self.attach("xdp", "icmp")
        second = subprocess.run([TAMIS, "attach", "-i", "vb", "--netns", self.ns["b"], "--hook", "xdp", "udp"],
                                capture_output=True, text=True)
        self.assertEqual(second.returncode, 3, second.stderr)
        self.assertIn("tamis_filter", second.stderr)


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"SKIPPED: {reason}")
        sys.exit(1 if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1" else 77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
