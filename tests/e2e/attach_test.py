#!/usr/bin/env python3
"""What `tamis attach` leaves behind: nothing, unless it was told to; and what it says when it may not.
Usage: attach_test.py PATH-OF-TAMIS.  TAMIS_PACKETS: how many packets memory is watched for."""

import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from network import SIDES, TAMIS, Network, counted, end, eventually, finish, main, run, wait_for_line


class Attached(Network):
    def attached_here(self, side="b"):
        """What bpftool sees of programs in the namespace: (xdp, tc, netfilter)."""
        seen = json.loads(self.sh(side, "bpftool -j net"))[0]
        return [len(seen.get(kind, [])) for kind in ("xdp", "tc", "nf")]

    def netlink_xdp(self, side="b"):
        """An XDP program that ip attached: its ID."""
        path = os.path.join(self.folder.name, "theirs.o")
        run(TAMIS, "compile", "--hook", "xdp", "-o", path, "tcp")
        self.sh(side, f"ip link set dev v{side} xdpdrv obj {path} sec xdp")
        return self.xdp_id(side)

    def xdp_id(self, side="b"):
        found = re.search(r"prog/xdp id (\d+)", run("ip", "-n", self.ns[side], "link", "show", f"v{side}"))
        return int(found[1]) if found else None

    def programs(self, tag):
        return [p["id"] for p in json.loads(run("bpftool", "-j", "prog")) if p["tag"] == tag]


class Ends(Attached):
    def test_kill_at_any_moment(self):
        seed = random.randrange(10**6)
        print(f"seed {seed}")
        moments = random.Random(seed)
        expression = f"udp port {os.getpid() % 60000 + 1}"
        group = self.cgroup()
        commands = [("xdp", [], "vb"), ("tc-ingress", [], "vb"), ("netfilter-input", ["--nf", "ipv4"], None),
                    ("cgroup-egress", ["--cgroup", group], None), ("socket", [], "vb"),
                    ("xdp", ["--pin", "k"], "vb"), ("tc-egress", ["--mode", "clsact", "--pin", "k"], "vb"),
                    ("lwt-out", ["--route", "10.77.0.0/24", "--pin", "k"], None)]
        tags = set()
        for hook, options, interface in commands:  # what would be left, if it were
            if "--pin" in options:
                continue
            process = self.attach(hook, expression, *options, interface=interface)
            tags.add(json.loads(run("bpftool", "-j", "prog", "show", "id", process.program))["tag"])
            finish(process)
        whole = 0
        for i in range(100):
            hook, options, interface = commands[i % len(commands)]
            process = subprocess.Popen(self.command(hook, expression, *options, interface=interface),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(moments.uniform(0, 0.08))
            process.kill()
            whole += "attached" in process.communicate()[1]
            self.tamis("detach", "--all")
        print(f"{whole} of 100 were attached when they were killed")
        self.assertTrue(eventually(lambda: self.attached_here() == [0, 0, 0]), self.attached_here())
        self.assertTrue(eventually(lambda: not any(self.programs(tag) for tag in tags)))
        self.assertNotIn("clsact", self.sh("b", "tc qdisc show dev vb"))
        self.assertNotIn("encap", self.sh("b", "ip route show"))
        self.assertEqual(self.tamis("list").stdout, "")
        self.assertEqual(os.listdir("/sys/fs/bpf/tamis"), [])

    def test_two_at_once(self):
        """One gets the interface, or the name; the others hear who has it."""
        for options, refusal in (([], "is taken by program"), (["--pin", "one"], "pinned as 'one' already")):
            all_ = [subprocess.Popen(self.command("xdp" if not options else "tc-ingress", "udp", *options),
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
            for process in all_:
                self.addCleanup(end, process)
            if not options:
                self.assertTrue(eventually(lambda: sum(p.poll() is not None for p in all_) == 5))
                for process in all_:
                    if process.poll() is None:
                        process.send_signal(signal.SIGINT)
            said = [(process.communicate(timeout=10)[1], process.returncode) for process in all_]
            self.assertEqual(sorted(code for _, code in said), [0, 3, 3, 3, 3, 3])
            for text, code in said:
                self.assertRegex(text, "(?m)^attached" if code == 0 else refusal)

    def test_lost_output(self):
        with open("/dev/full", "w") as full:
            for options in ([], ["--json"]):
                process = subprocess.Popen(self.command("xdp", "udp", "--interval", "0.1", *options), stdout=full,
                                           stderr=subprocess.PIPE, text=True)
                self.addCleanup(end, process)
                self.assertIn("No space left", process.communicate(timeout=10)[1])
                self.assertEqual(process.returncode, 3)
        self.assertTrue(eventually(lambda: self.xdp_id() is None))

    def test_terminal(self):
        """One line, written again and again; when the terminal goes, so do we, and what was replaced comes back."""
        theirs = self.netlink_xdp()
        master, slave = pty.openpty()
        process = subprocess.Popen(self.command("xdp", "icmp", "--interval", "0.05", "--replace", str(theirs)),
                                   stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                   preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        self.addCleanup(end, process)
        os.close(slave)
        self.assertRegex(wait_for_line(process, "empty for"), r"XDP of 'vb' was empty for \d+ microseconds")
        wait_for_line(process, "^attached xdp")
        time.sleep(0.5)
        text = os.read(master, 4096).decode()
        self.assertRegex(text, r"^\rmatched 0 packets 0 bytes, passed 0 packets 0 bytes\x1b\[K\rmatched")
        self.assertNotIn("\n", text)
        os.close(master)
        process.wait(timeout=10)
        self.assertEqual(self.xdp_id(), theirs)

    def test_lost_reader(self):
        """`tamis attach | head -n 1`: an end like any other."""
        theirs = self.netlink_xdp()
        process = self.attach("xdp", "icmp", "--interval", "0.05", "--replace", str(theirs))
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=10), 3)
        self.assertIn("Broken pipe", process.stderr.read())
        self.assertEqual(self.xdp_id(), theirs)

    def test_what_it_was_attached_to_goes_away(self):
        group = self.cgroup()
        gone = [self.attach("xdp", "udp", "--interval", "0.05"), self.attach("tc-egress", "udp", "--interval", "0.05"),
                self.attach("cgroup-egress", "udp", "--cgroup", group, "--interval", "0.05", interface=None)]
        socket = self.attach("socket", "udp", "--interval", "0.05")
        run("ip", "-n", self.ns["b"], "link", "del", "vb")
        os.rmdir(group)
        for process in gone:
            self.assertRegex(process.communicate(timeout=10)[1], "'(vb|/.*)' is gone, and the filter with it")
            self.assertEqual(process.returncode, 3)
        with open(f"/proc/{socket.pid}/stat") as stat:
            before = int(stat.read().split()[13])
        time.sleep(0.5)
        with open(f"/proc/{socket.pid}/stat") as stat:  # nothing to do: no time is spent
            self.assertLess(int(stat.read().split()[13]) - before, 10)
        self.assertEqual(finish(socket)[0], 0)

    def test_signals_are_heard_in_a_flood(self):
        process = self.attach("socket", "udp", "--match", "keep:64")
        floods = [self.inside("a", sys.executable, "-c", "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                                                         f"while True: s.sendto(b'x',('{SIDES['b']}',5300))")
                  for _ in range(2)]
        for flood in floods:
            self.addCleanup(end, flood)
        time.sleep(0.5)
        code, out = finish(process)
        self.assertEqual(code, 0)
        self.assertGreater(counted(out)[0], 1000)

    def test_flat(self):
        """Descriptors and memory, over many packets."""
        packets = int(os.environ.get("TAMIS_PACKETS", "100000"))
        # Where the address sanitizer is in, what was freed would be kept for a while.
        sanitized = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}
        processes = [self.attach(hook, "udp", *options, "--interval", "0.05", env=sanitized)
                     for hook, options in (("socket", []), ("xdp", []), ("tc-ingress", []))]

        def use(process):
            with open(f"/proc/{process.pid}/status") as status:
                memory = int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])
            return len(os.listdir(f"/proc/{process.pid}/fd")), memory

        self.datagrams(2000)
        time.sleep(0.5)
        before = [use(process) for process in processes]
        self.datagrams(packets)
        time.sleep(0.3)
        after = [use(process) for process in processes]
        for (files, memory), (files_now, memory_now) in zip(before, after):
            self.assertEqual(files, files_now)
            self.assertLessEqual(memory_now - memory, 256, "KiB")
        for process in processes[1:]:
            out = drained(process)
            self.assertEqual(counted(out)[0], packets + 2000)
        print(f"{packets} packets: descriptors and KiB {before} before, {after} behind")
        finish(processes[0])


def drained(process):
    """Its whole output, which is more than a pipe holds only in tests that are longer."""
    return finish(process)[1]


class Stays(Attached):
    HOOKS = [("xdp", [], "vb", "native"), ("tc-egress", [], "vb", "tcx"),
             ("netfilter-input", ["--nf", "ipv4:-5"], None, "link")]

    def test_pin_list_detach(self):
        for hook, options, interface, mode in self.HOOKS:
            self.pin("web", hook, "icmp", *options, interface=interface)
            self.assertEqual(self.answered(count=2), 2)
            target = interface or "ipv4:-5"
            self.assertRegex(self.listed("web"), rf"^web: {hook} {target} {mode} in {self.ns['b']}, for \d+ s\n  icmp\n"
                                                 r"  matched 2 packets")
            self.refused(3, "`tamis detach web` ends it", hook, "udp", "--pin", "web", *options, interface=interface)
            done = self.tamis("detach", "wbe")
            self.assertEqual((done.returncode, "there is 'web'" in done.stderr), (2, True), done.stderr)
            self.assertEqual(self.tamis("detach", "web").returncode, 0)
            self.assertEqual(self.attached_here(), [0, 0, 0])
            self.assertIsNone(self.listed("web"))

    def test_the_name_is_in_the_kernel(self):
        self.pin("my-name", "tc-ingress", "icmp")
        self.assertTrue(any(p.get("name") == "tamis_my_name" for p in json.loads(run("bpftool", "-j", "prog"))))
        self.assertEqual(sorted(os.listdir("/sys/fs/bpf/tamis/my-name")), ["about", "counters", "link", "prog"])

    def test_names(self):
        for name in ("../x", "a b", "", "x" * 65, "a.b"):
            done = self.tamis("detach", "--", name)
            self.assertEqual(done.returncode, 2, name)
            if name:
                self.refused(2, "is no name to pin under", "tc-ingress", "icmp", "--pin", name)

    def test_what_stays_wants_a_name(self):
        for hook, options, interface in (("tc-egress", ["--mode", "clsact"], "vb"),
                                         ("lwt-out", ["--route", "10.77.0.0/24"], None), ("tc-action", [], None),
                                         ("socket", ["--pid", "1", "--fd", "0"], None)):
            self.refused(2, "--pin NAME", hook, "icmp", *options, interface=interface)
        self.refused(2, "cannot be pinned", "socket", "icmp", "--pin", "x")

    def test_halves(self):
        os.makedirs("/sys/fs/bpf/tamis/half")
        self.assertIn("half: unfinished", self.tamis("list").stdout)
        self.assertEqual(self.tamis("detach", "half").returncode, 0)

    def test_a_namespace_that_is_gone(self):
        self.pin("gone", "tc-egress", "icmp", "--mode", "clsact")
        self.pin("gone2", "xdp", "icmp")
        run("ip", "netns", "del", self.ns["b"])
        self.assertIn("gone: tc-egress", self.tamis("list").stdout)
        self.assertTrue(eventually(lambda: "(which is gone)" in self.listed("gone2")))
        done = self.tamis("detach", "--all")
        self.assertEqual((done.returncode, done.stderr.count("detached")), (0, 2), done.stderr)

    def test_another_namespace(self):
        self.sh("b", f"{TAMIS} attach -i vb --hook tc-egress --mode clsact --pin there icmp")
        done = self.tamis("detach", "there")
        self.assertEqual(done.returncode, 3)
        self.assertIn("in another network namespace", done.stderr)
        self.sh("b", f"{TAMIS} detach there")
        self.sh("b", f"{TAMIS} attach -i vb --hook tc-egress --pin link icmp")  # a link needs no namespace
        self.assertEqual(self.tamis("detach", "link").returncode, 0)
        self.assertNotIn("clsact", self.sh("b", "tc qdisc show dev vb"))

    def test_what_lost_its_entry(self):
        """Under `ip netns exec` the BPF file system goes, and what has no link stays: it is found by its name."""
        for options in ("-i vb --hook tc-egress --mode clsact --pin lost-1", "--hook lwt-out --route 10.77.0.0/24 --pin lost-2"):
            run("ip", "netns", "exec", self.ns["b"], TAMIS, "attach", *options.split(), "icmp")
        self.assertIn("tamis_lost_1:[", self.sh("b", "tc filter show dev vb egress"))
        said = self.sh("b", f"{TAMIS} list 2>&1")
        self.assertIn("there is a 'tamis_lost_1' at tc-egress vb whose entry is gone", said)
        self.assertIn("there is a 'tamis_lost_2' at route 10.77.0.0/24 whose entry is gone", said)
        self.sh("b", f"{TAMIS} detach lost-1")
        self.assertNotIn("lost_1", self.sh("b", f"{TAMIS} list 2>&1"))
        self.sh("b", f"{TAMIS} detach --all")
        self.assertNotIn("clsact", self.sh("b", "tc qdisc show dev vb"))
        self.assertNotIn("encap", self.sh("b", "ip route show"))

    def test_others_in_clsact_stay(self):
        path = os.path.join(self.folder.name, "theirs.o")
        run(TAMIS, "compile", "--hook", "tc-egress", "-o", path, "tcp")
        self.sh("b", f"tc qdisc add dev vb clsact; tc filter add dev vb egress pref 3 bpf da obj {path} sec tc")
        self.pin("ours", "tc-egress", "icmp", "--mode", "clsact")
        self.tamis("detach", "ours")
        self.assertEqual(self.sh("b", "tc filter show dev vb egress").count(" id "), 1)

    def test_private_file_system(self):
        done = subprocess.run(["ip", "netns", "exec", self.ns["b"], TAMIS, "attach", "-i", "vb", "--hook", "xdp", "--pin",
                               "lost", "icmp"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("private to this mount namespace", done.stderr)
        self.assertIsNone(self.listed("lost"))
        self.assertTrue(eventually(lambda: self.xdp_id() is None))


class Replaces(Attached):
    def test_their_program_comes_back(self):
        theirs = self.netlink_xdp()
        said = self.refused(3, f"taken by program {theirs} 'tamis_filter'", "xdp", "icmp")
        self.assertIn(f"`tamis attach --replace {theirs}`", said)
        self.refused(3, f"there is program {theirs}", "xdp", "icmp", "--replace", "1")
        process = self.attach("xdp", "icmp", "--replace", str(theirs))
        self.assertNotEqual(self.xdp_id(), theirs)
        self.assertEqual(self.answered(count=2), 2)
        self.assertEqual(counted(finish(process)[1])[0], 2)
        self.assertEqual(self.xdp_id(), theirs)

        self.assertRegex(self.pin("r", "xdp", "icmp", "--replace", str(theirs)), "empty for")
        self.assertNotEqual(self.xdp_id(), theirs)
        self.assertEqual(self.tamis("detach", "r").returncode, 0)
        self.assertEqual(self.xdp_id(), theirs)

    def test_links_are_their_owners(self):
        process = self.attach("xdp", "icmp")
        ours = self.xdp_id()
        for options in ([], ["--replace", str(ours)]):
            self.refused(3, rf"link \d+ holds it, which is kept by process {process.pid} 'tamis'", "xdp", "udp", *options)
        finish(process)
        self.pin("kept", "xdp", "icmp")
        self.refused(3, "`tamis detach kept` ends it", "xdp", "udp")


SERVER = """
import socket, sys, struct
kind = sys.argv[1]
sockets = []
for i in range(2):
    if kind == 'fanout' or kind == 'fanout-ebpf':
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(('vb', 3))
        ignore_outgoing = 0x4000
        s.setsockopt(263, 18, 77 | (ignore_outgoing | (6 if kind == 'fanout' else 7)) << 16)
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(('10.77.0.2', 5300 if kind == 'reuseport' else 5300 + i))
    sockets.append(s)
print(*(s.fileno() for s in sockets), flush=True)
for line in sys.stdin:
    sizes = []
    for s in sockets:
        s.settimeout(0.1)
        n = 0
        try:
            while True:
                s.recv(2000)
                n += 1
        except TimeoutError:
            pass
        sizes.append(n)
    print(*sizes, flush=True)
"""


class Sockets(Attached):
    def serve(self, kind="plain"):
        server = self.inside("b", sys.executable, "-c", SERVER, kind, stdin=subprocess.PIPE)
        self.addCleanup(end, server)
        self.addCleanup(server.stdin.close)
        self.fds = server.stdout.readline().split()
        self.server = server

    def got(self):
        """How many packets each of its two sockets had since the last time."""
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        return [int(n) for n in self.server.stdout.readline().split()]

    def send(self, *texts):
        self.python("a", "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                         f"for t in {texts}: s.sendto(t.encode(),('{SIDES['b']}',5300))")

    def there(self, *options):
        return ["--pid", str(self.server.pid), "--fd", self.fds[0], *options]

    def test_filters_come_and_go(self):
        self.serve()
        for engine in ("classic", "ebpf", "auto"):
            self.pin("s", "socket", "link[8] = 0x61", *self.there("--engine", engine), interface=None)
            self.send("a1", "b1", "a2")
            self.assertEqual(self.got(), [2, 0], engine)
            self.assertIn("ebpf" if engine == "ebpf" else "classic", self.listed("s"))
            if engine == "ebpf":
                self.assertEqual(counted(self.listed("s"))[:3:2], (2, 1))
            self.assertEqual(self.tamis("detach", "s").returncode, 0)
            self.send("b1")
            self.assertEqual(self.got(), [1, 0], engine)

    def test_what_was_there_is_put_back(self):
        self.serve()
        self.pin("first", "socket", "link[8] = 0x61", *self.there(), interface=None)
        self.pin("second", "socket", "link[8] = 0x62", *self.there(), interface=None)
        self.send("a", "b", "b")
        self.assertEqual(self.got(), [2, 0])
        self.tamis("detach", "second")
        self.send("a", "b", "b")
        self.assertEqual(self.got(), [1, 0])

    def test_what_cannot_be_saved(self):
        self.serve()
        self.pin("first", "socket", "link[8] = 0x61", *self.there("--engine", "ebpf"), interface=None)
        self.refused(3, "an eBPF filter cannot be saved: `--replace ebpf`", "socket", "len > 5", *self.there(), "--pin",
                     "second", interface=None)
        self.pin("second", "socket", "link[8] = 0x62", *self.there("--replace", "ebpf", "--lock"), interface=None)
        self.refused(3, "SO_LOCK_FILTER", "socket", "len > 5", *self.there("--pin", "third"), interface=None)
        done = self.tamis("detach", "second")
        self.assertEqual((done.returncode, "SO_LOCK_FILTER" in done.stderr), (3, True), done.stderr)
        end(self.server)  # closes its sockets
        self.assertEqual(self.tamis("detach", "--all").returncode, 0)

    def test_programs_too_large_for_classic(self):
        self.serve()
        path = os.path.join(self.folder.name, "long")
        with open(path, "w") as file:
            file.write(" or ".join(f"len = {2 * i}" for i in range(4500)))
        done = subprocess.run([TAMIS, "attach", "--hook", "socket", *self.there("--pin", "long"), "-O", "-F", path],
                              capture_output=True, text=True)
        self.assertRegex(done.stderr, r"attached socket \S+ ebpf id")

    def test_groups(self):
        for kind, engine in (("reuseport", "classic"), ("reuseport", "ebpf"), ("fanout", "classic"), ("fanout-ebpf", "ebpf")):
            self.serve(kind)
            group = kind.split("-")[0]
            self.pin("g", "socket", "link[0] = 0x61" if group == "reuseport" else "greater 60",
                     *self.there("--group", group, "--engine", engine, "--match", "keep:1"), interface=None)
            self.send("a" * 40, "b", "a" * 50, "b", "b")
            self.assertEqual(self.got(), [3, 2], kind + engine)
            self.assertEqual(self.tamis("detach", "g").returncode, 0)
            end(self.server)

    def test_mistakes(self):
        self.serve()
        where = ["--pin", "x", "--pid", str(self.server.pid), "--fd"]
        self.refused(2, "is no socket", "socket", "len > 5", *where, "1", interface=None)
        self.refused(2, "Bad file descriptor", "socket", "len > 5", *where, "99", interface=None)
        self.refused(2, "no process 4194303", "socket", "len > 5", "--pin", "x", "--pid", "4194303", "--fd", "3",
                     interface=None)
        self.refused(2, "sees no link or IP header", "socket", "udp", *where, self.fds[0], interface=None)
        self.refused(3, "SO_REUSEPORT|fanout|PACKET_FANOUT", "socket", "len > 5", *where, self.fds[0], "--group", "fanout",
                     interface=None)


class Privilege(Attached):
    """The capabilities of nobody: what is enough, and which missing ones are named."""

    def setUp(self):
        super().setUp()
        self.binary = os.path.join(self.folder.name, "tamis")
        shutil.copy(TAMIS, self.binary)
        os.chmod(self.binary, 0o755)
        os.makedirs("/sys/fs/bpf/tamis", mode=0o700, exist_ok=True)
        os.chmod(self.folder.name, 0o755)

    def as_nobody(self, capabilities, *args):
        have = ",".join(f"+{name}" for name in capabilities.split()) if capabilities else "-all"
        command = ["nsenter", f"--net=/run/netns/{self.ns['b']}", "setpriv", "--reuid=65534", "--regid=65534",
                   "--clear-groups", f"--inh-caps={have}", f"--ambient-caps={have}", self.binary, "attach", *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(end, process)
        first = process.stderr.readline()
        if first.startswith("attached"):
            with open(f"/proc/{process.pid}/status") as status:
                text = status.read()
            for line in (r"CapEff:\s+0+$", r"CapPrm:\s+0+$", r"CapAmb:\s+0+$", r"NoNewPrivs:\s+1"):
                self.assertRegex(text, "(?m)^" + line)
            self.assertEqual(finish(process)[0], 0)
            return first
        process.wait(timeout=10)
        self.assertEqual(process.returncode, 3, first)
        return first + process.stderr.read()

    def test_matrix(self):
        socket, xdp, tc = ["-i", "vb", "--hook", "socket"], ["-i", "vb", "--hook", "xdp"], ["-i", "vb", "--hook", "tc-egress"]
        netfilter = ["--hook", "netfilter-input", "--nf", "ipv4"]
        group = self.cgroup()
        ok = "^attached"
        for options, capabilities, expected in (
                (socket, "", "CAP_NET_RAW and CAP_BPF are missing"),
                (socket, "net_raw", "CAP_BPF is missing"),
                (socket, "bpf", "this needs CAP_NET_RAW\n"),
                (socket, "net_raw bpf", ok),
                (xdp, "", "this needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON\n"),
                (xdp, "bpf", "CAP_NET_ADMIN and CAP_PERFMON are missing"),
                (xdp, "net_admin perfmon", "CAP_BPF is missing"),
                (xdp, "bpf net_admin", "needs CAP_PERFMON"),
                (xdp + ["--no-perfmon"], "bpf net_admin", ok),
                (xdp, "bpf net_admin perfmon", ok),
                (tc, "bpf perfmon", "CAP_NET_ADMIN is missing"),
                (tc + ["--no-perfmon"], "bpf net_admin", ok),
                (tc, "bpf net_admin perfmon", ok),
                (netfilter, "bpf", "CAP_NET_ADMIN and CAP_PERFMON are missing"),
                (netfilter, "bpf net_admin", "needs CAP_PERFMON"),
                (netfilter, "bpf net_admin perfmon", ok),
                (netfilter + ["--no-perfmon"], "bpf net_admin", ok),
                (netfilter + ["--no-perfmon"], "net_admin", "CAP_BPF is missing"),
                (["-i", "vb", "--hook", "xdp-frags", "--no-perfmon"], "bpf net_admin", ok),
                (["-i", "vb", "--hook", "tc-ingress", "--no-perfmon"], "bpf net_admin", ok),
                (["--hook", "cgroup-ingress", "--cgroup", group, "--no-perfmon"], "bpf net_admin", ok),
                (["--hook", "cgroup-egress", "--cgroup", group, "--no-perfmon"], "bpf net_admin", ok),
                (socket + ["--netns", self.ns["a"]], "net_raw bpf", "this needs CAP_SYS_ADMIN"),
                (["--hook", "socket", "--pid", "1", "--fd", "0", "--pin", "x"], "bpf", "this needs CAP_SYS_PTRACE"),
                (xdp + ["--pin", "x"], "bpf net_admin perfmon", "belongs to root")):
            with self.subTest(options=options, capabilities=capabilities):
                self.assertRegex(self.as_nobody(capabilities, *options, "--", "icmp"), expected)

    def test_roots_capabilities_are_given_up(self):
        process = self.attach("xdp", "icmp")
        with open(f"/proc/{process.pid}/status") as status:
            text = status.read()
        for line in (r"CapEff:\s+0+$", r"CapPrm:\s+0+$", r"CapBnd:\s+0+$", r"NoNewPrivs:\s+1"):
            self.assertRegex(text, "(?m)^" + line)


if __name__ == "__main__":
    main()
