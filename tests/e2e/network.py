"""What end-to-end tests share: two network namespaces with a veth pair between them, a BPF file system of their own,
traffic, and tcpdump's view of it."""

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
    """The reason why this machine cannot run the tests, or None."""
    if os.environ.get("TAMIS_KERNEL") == "no":
        return "TAMIS_KERNEL=no"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc", "ping", "tcpdump", "bpftool", "ethtool", "unshare", "setpriv"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if subprocess.run(["ip", "netns", "add", f"tamis-probe-{os.getpid()}"], capture_output=True).returncode:
        return "no network namespace can be made here"
    subprocess.run(["ip", "netns", "del", f"tamis-probe-{os.getpid()}"], check=True)
    return None


def main():
    reason = why_not()
    if reason:
        print(f"SKIPPED: {reason}")
        sys.exit(1 if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1" else 77)
    # Pins of tests are nobody else's: a mount namespace with a BPF file system of its own.
    if os.environ.get("TAMIS_OWN_MOUNTS") != "1":
        os.environ["TAMIS_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


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


def eventually(what, seconds=5):
    """Waits for what the kernel does a moment later."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(process):
    """Whatever became of the test."""
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def finish(process):
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    return process.returncode, out


def removed(folder):
    """Whether an empty folder could be removed."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def counted(text):
    """(matched packets, matched bytes, passed packets, passed bytes) of the last line of counters."""
    found = re.findall(r"matched (\d+) packets (\d+) bytes, passed (\d+) packets (\d+) bytes", text)
    if not found:
        raise AssertionError(f"no counters in: {text}")
    return tuple(int(n) for n in found[-1])


class Network(unittest.TestCase):
    """Interface va in namespace a, vb in namespace b; silent unless a test speaks."""

    def setUp(self):
        self.ns = {side: f"tamis-{os.getpid()}-{side}" for side in SIDES}
        self.folder = tempfile.TemporaryDirectory()
        for side in SIDES:
            run("ip", "netns", "add", self.ns[side])
            self.sh(side, "for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done")
        run("ip", "link", "add", "va", "netns", self.ns["a"], "type", "veth",
            "peer", "name", "vb", "netns", self.ns["b"])
        for side, address in SIDES.items():
            run("ip", "-n", self.ns[side], "address", "add", f"{address}/24", "dev", f"v{side}")
            run("ip", "-n", self.ns[side], "link", "set", "lo", "up")
            run("ip", "-n", self.ns[side], "link", "set", f"v{side}", "up")
        mac = {side: re.search(r"link/ether (\S+)", run("ip", "-n", self.ns[side], "link", "show", f"v{side}"))[1]
               for side in SIDES}
        run("ip", "-n", self.ns["a"], "neighbour", "add", SIDES["b"], "lladdr", mac["b"], "dev", "va")
        run("ip", "-n", self.ns["b"], "neighbour", "add", SIDES["a"], "lladdr", mac["a"], "dev", "vb")

    def tearDown(self):
        self.tamis("detach", "--all")
        for name in self.ns.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        self.folder.cleanup()

    # `nsenter --net` leaves the mounts alone, which `ip netns exec` does not.
    def inside(self, side, *command, **kwargs):
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self.ns[side]}", *command], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **kwargs)

    def sh(self, side, script):
        return run("nsenter", f"--net=/run/netns/{self.ns[side]}", "sh", "-c", script)

    def python(self, side, script):
        return run("nsenter", f"--net=/run/netns/{self.ns[side]}", sys.executable, "-c", script)

    def tamis(self, *args, **kwargs):
        return subprocess.run([TAMIS, *args], capture_output=True, text=True, timeout=60, **kwargs)

    def command(self, hook, expression, *options, side="b", interface="vb"):
        target = ["-i", interface] if interface else []
        words = [] if expression is None else ["--", expression]
        return [TAMIS, "attach", *target, "--netns", self.ns[side], "--hook", hook, *options, *words]

    def attach(self, hook, expression, *options, side="b", interface="vb", **kwargs):
        """In the foreground, counting when this returns."""
        process = subprocess.Popen(self.command(hook, expression, *options, side=side, interface=interface),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
        self.addCleanup(end, process)
        process.program = wait_for_line(process, rf"^attached {hook} \S+ \w+ id \d+$").split()[-1]
        return process

    def pin(self, name, hook, expression, *options, side="b", interface="vb"):
        done = subprocess.run(self.command(hook, expression, "--pin", name, *options, side=side, interface=interface),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, rf"(?m)^attached {hook} \S+ \w+( id \d+)? as {name}$")
        return done.stderr

    def refused(self, code, pattern, hook, expression, *options, **kwargs):
        done = subprocess.run(self.command(hook, expression, *options, **kwargs), capture_output=True, text=True,
                              timeout=20)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, pattern)
        return done.stderr

    def listed(self, name):
        """What `tamis list` says under a name."""
        found = re.search(rf"(?m)^{name}: .*\n(  .*\n)*", self.tamis("list").stdout)
        return found[0] if found else None

    def cgroup(self):
        """A new control group of version 2."""
        with open("/proc/mounts") as mounts:
            found = re.findall(r"(?m)^\S+ (\S+) cgroup2 ", mounts.read())
        if not found:
            found = [tempfile.mkdtemp()]
            run("mount", "-t", "cgroup2", "none", found[0])
        path = os.path.join(found[0], f"tamis-{os.getpid()}")
        os.makedirs(path, exist_ok=True)
        self.addCleanup(eventually, lambda: removed(path))
        return path

    def capture(self, expression, side="b", direction="in"):
        path = os.path.join(self.folder.name, "capture.pcap")
        process = self.inside(side, "tcpdump", "-i", f"v{side}", "-Q", direction, "-U", "--immediate-mode", "-Z", "root", "-w", path,
                              expression)
        self.addCleanup(end, process)
        wait_for_line(process, "listening on")
        time.sleep(1)  # its filter is attached only now
        return process, path

    def captured(self, process, path):
        """Packets, and bytes on the wire, that tcpdump saw."""
        time.sleep(0.2)
        finish(process)
        lengths = [int(n) for n in re.findall(r", length (\d+):", run("tcpdump", "-r", path, "-n", "-e", "-q"))]
        return len(lengths), sum(lengths)

    def ping(self, count=4, source="a", target="b", size=56):
        return self.inside(source, "ping", "-c", str(count), "-i", "0.02", "-W", "0.2", "-s", str(size),
                           SIDES[target]).communicate(timeout=20)[0]

    def answered(self, **kwargs):
        return int(re.search(r"(\d+) received", self.ping(**kwargs))[1])

    def frames(self, side, frame, count=1):
        """Bytes as they are, through AF_PACKET."""
        self.python(side, "import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,0);"
                          f"s.bind(('v{side}',0));f=bytes.fromhex('{frame.hex()}')\nfor _ in range({count}): s.send(f)")

    def datagrams(self, count, port=5300, size=20, source="a", target="b"):
        self.python(source, "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                            f"for _ in range({count}): s.sendto(b'x'*{size},('{SIDES[target]}',{port}))")

    def exchange(self, group):
        """Ping, a UDP and a TCP exchange from a to b, whose server is in a control group."""
        self.ping(4)
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
        served = self.inside("b", "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"', sys.executable, "-c",
                             server)
        wait_for_line(served, "ready")
        self.python("a", client)
        served.communicate(timeout=10)
        time.sleep(0.3)
