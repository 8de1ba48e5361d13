#!/usr/bin/env python3
"""tamis load, with objects made by clang.  Usage: load_test.py PATH-OF-TAMIS FOLDER-OF-OBJECTS

Everything is attached in a network namespace of the test's own, runs because something real happens
there, and counts in the map `runs`."""
import ctypes
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

TAMIS, OBJECTS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MAY = os.geteuid() == 0 and os.environ.get("TAMIS_KERNEL") != "no" and shutil.which("unshare") and shutil.which("ip")
if MAY and os.environ.get("TAMIS_LOAD_TEST") != "inside":
    os.environ["TAMIS_LOAD_TEST"] = "inside"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def setUpModule():
    if not MAY:
        if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
            raise AssertionError("needs root, unshare and ip")
        raise unittest.SkipTest("needs root, unshare and ip")
    for name in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
            file.write("1")
    for command in ("link set lo up", "link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
        subprocess.run(["ip", *command.split()], check=True)


def tamis(*args):
    return subprocess.run([TAMIS, "load", *args], capture_output=True, text=True, timeout=60)


def object_file(name):
    return f"{OBJECTS}/{name}.o"


def send_frame(interface, size=64):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        sender.send(b"\xff" * 12 + b"\x88\xb5" + bytes(size - 14))


def exists(program):
    """Whether the kernel has a program of this ID."""
    bpf_prog_get_fd_by_id, number = 13, 321  # of bpf(2) on x86-64
    attributes = struct.pack("<III", program, 0, 0) + bytes(60)
    fd = ctypes.CDLL(None).syscall(number, bpf_prog_get_fd_by_id, attributes, len(attributes))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def gone(program):
    """Whether it goes, for the kernel takes its time: some attachments end a grace period later."""
    until = time.monotonic() + 5
    while exists(program) and time.monotonic() < until:
        time.sleep(0.01)
    return not exists(program)


def content(path):
    with open(path) as file:
        return file.read()


class Running:
    """tamis load, attached; `lines` is what it printed when it has ended."""

    def __init__(self, *args):
        self.process = subprocess.Popen([TAMIS, "load", "--json", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.programs = {}
        self.lines = []

    def __enter__(self):
        return self

    def wait_for(self, count):
        """Reads until so many programs are attached."""
        while len(self.programs) < count:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(self.process.stderr.read())
            thing = json.loads(line)
            self.programs[thing["program"]] = thing

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, self.errors = self.process.communicate(timeout=20)
        self.lines = [json.loads(line) for line in out.splitlines()]
        return self.process.returncode

    def runs(self):
        """How often each program ran, by its number."""
        return {int(line["key"]): int(line["values"][0]) for line in self.lines if line.get("map") == "runs"}

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Attached(unittest.TestCase):
    """What the options name; attached_test.cpp has every kind of section, and what makes it run."""

    def expect_places(self, places, *args):
        with Running(*args) as running:
            running.wait_for(len(places))
            self.assertEqual([program["place"] for program in running.programs.values()], places)
            self.assertEqual(running.end(), 0, running.errors)
        for program in running.programs.values():
            self.assertTrue(gone(program["id"]), program)

    def test_interface(self):
        self.expect_places(["xdp on 'v0', native", "a packet socket on 'v0'"], "-i", "v0", object_file("device"))
        self.expect_places(["xdp on 'v0', generic", "a packet socket on 'v0'"], "-i", "v0", "--mode", "generic",
                           object_file("device"))
        of = {way: f"tc {way} of 'v0'" for way in ("ingress", "egress")}
        for direction in of:
            self.expect_places([of[direction]] * 2 + [of["ingress"], of["egress"]] * 2, "-i", "v0", "--direction",
                               direction, object_file("tcx"))

    def test_runs_are_counted(self):
        with Running("--dump", "runs", "--interval", "1000", "-i", "v0", object_file("device")) as running:
            running.wait_for(2)
            send_frame("v1")
            self.assertEqual(running.end(), 0, running.errors)
        self.assertEqual((running.runs()[0], running.runs()[1]), (1, 1))

    def test_trace(self):
        libc = re.search(r"/\S*/libc\.so\.6", content("/proc/self/maps"))[0]
        self.expect_places(["event 'cpu-clock:99'"], "--event", "cpu-clock:99", object_file("event"))
        places = [f"the {end} of 'getppid' in '{libc}'" for end in ("entry", "return")]
        self.expect_places(places, "--binary", libc, object_file("uprobe"))
        self.expect_places(places, "--binary", libc, "--pid", str(os.getpid()), object_file("uprobe"))
        places = [place.replace("getppid", "getpid") for place in places]
        self.expect_places(places, "--binary", f"{libc}:getpid", object_file("uprobe"))

    def test_cgroup(self):
        mounted = re.search(r"^\S+ (\S+) cgroup2 ", content("/proc/mounts"), re.M)
        if not mounted:
            self.skipTest("no cgroup2 file system is mounted")
        folder = f"{mounted[1]}/tamis-test-{os.getpid()}"
        os.mkdir(folder)
        self.addCleanup(os.rmdir, folder)
        self.expect_places([f"control group '{folder}'"] * 25, "--cgroup", folder, object_file("cgroup"))
        done = tamis("--cgroup", "/proc", object_file("cgroup"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("it has to be a folder of cgroup version 2", done.stderr)

    def test_socket_map(self):
        # The only socket map there is need not be named.
        for args in ([], ["--map", "sockets"]):
            self.expect_places(["map 'sockets'"] * 3, *args, object_file("sockmap"))

    def test_network_namespace(self):
        self.expect_places(["this network namespace"] * 2, object_file("netns"))

    def test_netfilter(self):
        self.expect_places(["netfilter ipv4:output:-50"], "--nf", "ipv4:output:-50", object_file("netfilter"))
        done = tamis("--nf", "ipv4:nowhere", object_file("netfilter"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("'ipv4:nowhere' is no netfilter hook", done.stderr)

    def test_iterator(self):
        done = tamis(object_file("iter"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines().count(f"process {os.getpid()}"), 2)

    def test_other_network_namespace(self):
        other = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        ours = os.stat("/proc/self/ns/net").st_ino
        while os.stat(f"/proc/{other.pid}/ns/net").st_ino == ours:
            time.sleep(0.01)
        done = tamis("--netns", str(other.pid), "-i", "v0", object_file("xdp"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no network interface 'v0'", done.stderr)


class Chosen(unittest.TestCase):
    """Some of the programs of an object."""

    def names(self, *args):
        done = tamis("--no-attach", "--json", *args, object_file("optional"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [json.loads(line)["program"] for line in done.stdout.splitlines()]

    def test_the_rest_is_not_loaded(self):
        self.assertEqual(self.names(), ["first"])
        self.assertEqual(self.names("--program", "second"), ["second"])
        self.assertEqual(self.names("--program", "second", "--program", "first"), ["first", "second"])
        done = tamis("--dry-run", object_file("optional"))
        self.assertIn("program second in section xdp: not loaded (--program NAME)\n", done.stdout)
        plan = json.loads(tamis("--dry-run", "--json", "--program", "second", object_file("optional")).stdout)
        self.assertEqual([program["chosen"] for program in plan["programs"]], [False, True])

    def test_one_interface_has_one_xdp_program(self):
        done = tamis("-i", "v0", "--program", "first", "--program", "second", object_file("optional"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("program 'first' (xdp) and program 'second' (xdp) cannot both be attached", done.stderr)
        self.assertIn("note: --program NAME chooses one\n", done.stderr)
        with Running("-i", "v0", object_file("xdp")) as running:
            running.wait_for(1)
            done = tamis("-i", "v0", object_file("device"))
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr, rf"XDP on 'v0' is taken by program \d+ 'pass'\nnote: link \d+ holds it, which is "
                                      rf"kept by process {running.process.pid} 'tamis'\n")

    def test_none(self):
        done = tamis("--no-attach", object_file("sometimes"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("no program of ", done.stderr)
        self.assertIn("note: --program NAME chooses one\n", done.stderr)

    def test_unknown_name(self):
        done = tamis("--program", "third", object_file("optional"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no program 'third' in", done.stderr)

    def test_what_is_attached_and_pinned(self):
        name = f"chosen-{os.getpid()}"
        self.addCleanup(subprocess.run, [TAMIS, "detach", name], capture_output=True)
        done = tamis("-i", "v0", "--program", "second", "--pin", name, object_file("optional"))
        self.assertRegex(done.stderr, r"^attached second id \d+ to xdp on 'v0', native\n$")
        self.assertEqual(sorted(os.listdir(f"/sys/fs/bpf/tamis/{name}")),
                         ["about", "link-second", "map-runs", "prog-second"])


class Legacy(unittest.TestCase):
    """Maps of the old era."""

    def test_they_are_rewritten(self):
        for name in ("legacy", "legacy-bare"):
            plan = json.loads(tamis("--dry-run", "--json", object_file(name)).stdout)
            self.assertEqual([(m["name"], m["type"], m["max_entries"], m["flags"], m["legacy"]) for m in plan["maps"]],
                             [("runs", "array", 2, 0, True), ("seen", "hash", 100, 1, True)])
            with Running("--dump", "runs", "-i", "v0", object_file(name)) as running:
                running.wait_for(1)
                send_frame("v1")
                self.assertEqual(running.end(), 0, running.errors)
            self.assertEqual([(line["key"], line["values"]) for line in running.lines[-2:]],
                             [("00 00 00 00", ["00 00 00 00 00 00 00 00"]), ("01 00 00 00", ["01 00 00 00 00 00 00 00"])])


class Output(unittest.TestCase):
    def test_all_three_ways(self):
        with Running("-i", "v0", "--print", "ring", "--print", "perf:event", object_file("output")) as running:
            running.wait_for(1)
            time.sleep(0.1)
            send_frame("v1", 77)
            time.sleep(0.3)
            self.assertEqual(running.end(), 0, running.errors)
        records = {line["map"]: line for line in running.lines if line["kind"] == "record"}
        text = "(struct event){.length = (__u32)77,.port = (__u16)80,.name = (char[6])['t','a','m','i','s',],}"
        self.assertEqual(records["ring"]["data"], text)
        self.assertIsNone(records["ring"]["cpu"])
        # The kernel's padding behind the record is no part of the type.
        self.assertEqual(records["perf"]["data"], text)
        self.assertIsInstance(records["perf"]["cpu"], int)

    # Where somebody else reads the trace pipe we wait for our turn.
    def test_trace_pipe(self):
        with Running("-i", "v0", object_file("output")) as running:
            running.wait_for(1)
            text, until = b"", time.monotonic() + 60
            while b"length 77" not in text and time.monotonic() < until:
                send_frame("v1", 77)
                if select.select([running.process.stdout], [], [], 0.02)[0]:
                    text += os.read(running.process.stdout.fileno(), 65536)
            self.assertEqual(running.end(), 0, running.errors)
        self.assertIn(b"bpf_trace_printk: length 77", text)

    def test_two_readers_of_the_trace_pipe(self):
        with Running("-i", "v0", object_file("output")) as first, Running("-i", "v1", object_file("output")) as second:
            first.wait_for(1)
            second.wait_for(1)
            time.sleep(0.3)
            self.assertEqual((first.end(), second.end()), (0, 0), first.errors + second.errors)

    def test_hexadecimal_without_a_type(self):
        with Running("-i", "v0", "--print", "perf", object_file("output")) as running:
            running.wait_for(1)
            time.sleep(0.1)
            send_frame("v1", 77)
            time.sleep(0.3)
            running.end()
        data = [line["data"] for line in running.lines if line["kind"] == "record"]
        self.assertRegex(data[0], "^4d 00 00 00 50 00 74 61 6d 69 73 00")

    def test_mistakes(self):
        for option, message in ((["--print", "nothing"], "there is no map 'nothing'"),
                                (["--dump", "nothing"], "there is no map 'nothing'"),
                                (["--print", "runs"], "map 'runs' is neither a ring buffer nor a perf event array"),
                                (["--dump", "ring"], "map 'ring' (ringbuf) has no entries by key"),
                                (["--print", "ring:nothing"], "the object's BTF has no type 'nothing'")):
            done = tamis("-i", "v0", *option, object_file("output"))
            self.assertEqual(done.returncode, 2, option)
            self.assertIn(message, done.stderr)


class Refusals(unittest.TestCase):
    def expect(self, code, words, *args):
        done = tamis(*args)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        for text in words:
            self.assertIn(text, done.stderr)

    def test_missing_targets(self):
        for name, what, option in (("device", "an interface", "-i IF"), ("cgroup", "a control group", "--cgroup PATH"),
                                   ("netfilter", "a netfilter hook", "--nf ipv4:prerouting"),
                                   ("event", "an event", "--event cpu-clock:99")):
            self.expect(2, [f" needs {what}\nnote: name it with {option}\n"], object_file(name))
        self.expect(2, ["needs a program's function\nnote: name it with --binary FILE:FUNCTION"],
                    object_file("uprobe"))
        self.expect(2, ["needs a program\nnote: name it with --binary FILE\n"], object_file("usdt"))
        self.expect(2, ["unknown event 'tea-time'"], "--event", "tea-time", object_file("event"))
        self.expect(2, ["'nothing' is no number of times"], "--event", "cpu-clock:nothing", object_file("event"))

    def test_names_that_the_kernel_does_not_have(self):
        for program, what, near in (("at_tp", "trace point 'net/netif_recive_skb'", "net/netif_receive_skb"),
                                    ("at_raw", "trace point 'netif_recive_skb'", "raw_tp/netif_receive_skb"),
                                    ("at_typed", "trace point 'netif_recive_skb'", "tp_btf/netif_receive_skb"),
                                    ("at_function", "function 'vfs_raed'", "fentry/vfs_read"),
                                    ("at_lsm", "function 'file_opne'", "lsm/file_open"),
                                    ("at_iterator", "function 'taks'", "iter/task")):
            self.expect(2, [f"this kernel has no {what}", f"'{near}'"], "--program", program, object_file("misnamed"))

    def test_targets_that_are_not_there(self):
        self.expect(2, ["to the entry of 'getppid' in '/nonexistent': No such file or directory"], "--binary",
                    "/nonexistent", object_file("uprobe"))
        self.expect(2, ["to the entry of 'no_function' in '/bin/true'", "failed to find symbol 'no_function'"],
                    "--binary", "/bin/true:no_function", object_file("uprobe"))
        self.expect(2, ["'/bin/true' has no function 'tamis_test_*'"], "--binary", "/bin/true",
                    object_file("uprobe_multi"))
        self.expect(2, ["cannot open '/nonexistent'"], "--binary", "/nonexistent", object_file("uprobe_multi"))
        self.expect(2, ["to trace point 'tamis:event' in '/bin/true'"], "--binary", "/bin/true", object_file("usdt"))

    def test_maps(self):
        self.expect(3, ["cannot create map 'runs' (array, 4294967295 entries of 4 + 8 bytes): Cannot allocate memory",
                        "`--map runs:max_entries=N` makes it smaller"],
                    "-i", "v0", "--map", "runs:max_entries=4294967295", object_file("xdp"))
        self.expect(2, ["there is no map 'walks'"], "--map", "walks:max_entries=1", object_file("xdp"))
        self.expect(2, ["'runs:size=1' is no setting of a map"], "--map", "runs:size=1", object_file("xdp"))
        self.expect(2, ["'many' is no number"], "--map", "runs:max_entries=many", object_file("xdp"))

    def test_programs(self):
        self.expect(3, ["the kernel refuses program 'beyond' (xdp): invalid bpf_context access off=400 size=1",
                        "note: ; return *((__u8 *)ctx + 400)"], "-i", "v0", object_file("refused"))
        self.expect(3, ["the kernel refuses program 'later' (xdp): invalid func unknown#9999"], "-i", "v0",
                    object_file("future"))
        self.expect(2, ["program 'route' (lwt_in) is not attached by tamis: a route carries it"],
                    object_file("unattached"))
        self.expect(2, ["program 'ssthresh' (struct_ops/ssthresh) is not attached by tamis: it is part of a table of "
                        "the kernel's functions, which `bpftool struct_ops register` loads"], object_file("struct_ops"))
        self.expect(2, ["section 'xpd' of program 'mistyped' names no kind of program", "'xdp'"],
                    object_file("unknown"))

    def test_files(self):
        self.expect(2, ["No such file or directory"], "/nonexistent.o")
        self.expect(2, ["it is no ELF file"], __file__)
        self.expect(2, ["no little-endian object for BPF"], TAMIS)
        self.expect(2, ["FILE is required"])

    # libbpf would crash where its name table is broken.
    def test_broken_objects(self):
        with open(object_file("xdp"), "rb") as file:
            good = file.read()
        source = random.Random(1)
        with tempfile.NamedTemporaryFile(suffix=".o") as file:
            for turn in range(300):
                broken = bytearray(good)
                if turn % 3 == 0:
                    del broken[source.randrange(len(broken)):]
                for _ in range(turn % 3 * 4):
                    broken[source.randrange(len(broken))] = source.randrange(256)
                file.seek(0)
                file.truncate()
                file.write(broken)
                file.flush()
                done = tamis("--dry-run", file.name)
                self.assertIn(done.returncode, (0, 2), (turn, done.stderr))

    def test_only_loading(self):
        done = tamis("--no-attach", object_file("unattached"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^loaded route id \d+\n$")

    def test_a_kernel_without_kprobes_names_trace_points(self):
        if os.path.exists("/sys/bus/event_source/devices/kprobe"):
            self.skipTest("this kernel has kprobes")
        self.expect(3, ["this kernel was built without kprobes", 'SEC("tracepoint/net/netif_receive_skb")'],
                    object_file("kprobe"))


class Plan(unittest.TestCase):
    def test_dry_run(self):
        done = tamis("--dry-run", object_file("sockmap"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"""^map runs: array, 32 entries of 4 \+ 8 bytes
map sockets: sockmap, 4 entries of 4 \+ 4 bytes
program parser in section sk_skb/stream_parser: sk_skb, \d+ instructions, Linux 4.14
    attached to: a socket map \(--map NAME\)
    refers to map runs
""")
        done = tamis("--dry-run", "--map", "runs:max_entries=7", object_file("unknown"))
        self.assertIn("map runs: array, 7 entries", done.stdout)
        self.assertIn("program mistyped in section xpd: the section names no kind of program", done.stdout)

    def test_every_object_has_one(self):
        for name in os.listdir(OBJECTS):
            if name.endswith(".o"):
                done = tamis("--dry-run", "--json", f"{OBJECTS}/{name}")
                self.assertEqual((done.returncode, done.stderr), (0, ""), name)
                self.assertTrue(json.loads(done.stdout)["programs"])


class Explained(unittest.TestCase):
    def test_calls(self):
        done = tamis("--explain", object_file("output"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, """program report (xdp)
    yes     4.8   calls bpf_map_lookup_elem
    yes     4.8   calls bpf_trace_printk
    yes     4.8   calls bpf_perf_event_output
    yes     5.8   calls bpf_ringbuf_output
    yes     4.8   reads xdp_md->data
    yes     4.8   reads xdp_md->data_end
""")

    # The context goes through a call and the stack.
    def test_context(self):
        done = tamis("--explain", object_file("context"))
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertEqual(done.stdout, """program marks (sched_cls)
    yes     4.9   calls bpf_skb_pull_data
    yes     4.1   reads __sk_buff->len
    yes     4.1   writes __sk_buff->mark
    yes     4.1   reads __sk_buff->protocol
    yes     4.2   writes __sk_buff->cb
    yes     4.3   reads __sk_buff->hash
    yes     5.0   reads __sk_buff->tstamp
program overwrites (xdp)
    no            writes xdp_md->ingress_ifindex
program argument (tracing)
    yes     5.5   reads argument 0
""")
        done = tamis("--explain", "--json", object_file("context"))
        needs = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(needs[0], {"tamis": 1, "kind": "need", "program": "marks", "type": "sched_cls",
                                    "what": "calls", "name": "bpf_skb_pull_data", "since": "4.9", "here": "yes"})

    # What the verifier would say in its own words.
    def test_what_may_not_be_done(self):
        done = tamis("--explain", object_file("future"))
        self.assertEqual((done.returncode, done.stdout), (1, "program later (xdp)\n    no            calls helper 9999\n"))
        done = tamis("--explain", object_file("refused"))
        self.assertEqual((done.returncode, done.stdout),
                         (1, "program beyond (xdp)\n    no            reads bytes 400 to 400 of xdp_md\n"))

    def test_kernel_functions(self):
        done = tamis("--explain", object_file("functions"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, "    yes     6.3   calls kernel function bpf_xdp_metadata_rx_hash\n")
        self.assertRegex(done.stdout, "    no            calls kernel function no_such_function\n")

    def test_features(self):
        def features(*args):
            done = subprocess.run([TAMIS, "features", "--json", *args], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return {(thing["what"], thing["name"]): thing["here"] for thing in map(json.loads, done.stdout.splitlines())}

        types = features()
        for known in ("socket_filter", "xdp", "cgroup_skb", "sk_lookup", "netfilter"):
            self.assertEqual(types["program", known], "yes", known)
        self.assertEqual(types["map", "hash"], "yes")
        self.assertEqual(types["map", "ringbuf"], "yes")
        helpers = features("--type", "xdp")
        self.assertEqual(helpers["section", "xdp.frags"], "yes")
        self.assertEqual(helpers["read", "xdp_md->rx_queue_index"], "yes")
        self.assertNotIn(("write", "xdp_md->rx_queue_index"), helpers)
        self.assertEqual(helpers["helper", "bpf_xdp_adjust_head"], "yes")
        self.assertEqual(helpers["helper", "bpf_skb_load_bytes"], "no")
        self.assertEqual(features("--type", "socket_filter")["helper", "bpf_skb_load_bytes"], "yes")
        done = subprocess.run([TAMIS, "features", "--type", "tea"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown program type 'tea'", done.stderr)


class Interrupted(unittest.TestCase):
    """The kernel gives up checking a program when a signal comes: EAGAIN."""

    def load(self, times):
        if os.environ.get("TAMIS_SANITIZED", "none") != "none":
            self.skipTest("sanitizers want to come first")
        env = {**os.environ, "LD_PRELOAD": f"{OBJECTS}/again.so", "AGAIN": str(times)}
        return subprocess.run([TAMIS, "load", "--no-attach", object_file("xdp")], env=env, capture_output=True,
                              text=True, timeout=60)

    def test_it_is_tried_again(self):
        done = self.load(4)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^loaded pass id \d+\n$")

    def test_but_not_for_ever(self):
        done = self.load(1000)
        self.assertEqual(done.returncode, 3)
        self.assertIn("cannot load program 'pass' (xdp): Resource temporarily unavailable\n"
                      "note: signals interrupted the kernel, each time that it was asked\n", done.stderr)


class Lifetime(unittest.TestCase):
    def test_kill_leaves_nothing(self):
        with Running("-i", "v0", object_file("device")) as running:
            running.wait_for(2)
            running.process.kill()
            running.process.wait()
            for program in running.programs.values():
                self.assertTrue(gone(program["id"]), program)

    def test_pinned_stays_and_maps_are_reused(self):
        def verb(*args):
            return subprocess.run([TAMIS, *args], capture_output=True, text=True, timeout=60)

        name = f"test-{os.getpid()}"
        self.addCleanup(verb, "detach", name)
        done = tamis("-i", "v0", "--pin", name, object_file("xdp"))
        self.assertEqual(done.returncode, 0, done.stderr)
        program = int(re.search(r"attached pass id (\d+) to xdp on 'v0', native\n", done.stderr)[1])
        self.assertTrue(exists(program))
        listed, = [line for line in map(json.loads, verb("list", "--json").stdout.splitlines()) if line["name"] == name]
        self.assertEqual((listed["hook"], listed["target"], listed["expression"]),
                         ("load", object_file("xdp"), "pass at xdp on 'v0', native"))
        again = tamis("-i", "v1", "--pin", name, object_file("xdp"))
        self.assertEqual(again.returncode, 3)
        self.assertIn(f"`tamis detach {name}` ends it", again.stderr)
        send_frame("v1")
        # Another object on the other end counts on in the same map.
        with Running("--dump", "runs", "--reuse", name, "-i", "v1", object_file("xdp")) as running:
            running.wait_for(1)
            send_frame("v0")
            running.end()
        self.assertEqual(running.runs()[0], 2)
        done = verb("detach", name)
        self.assertEqual((done.returncode, done.stderr), (0, f"detached {name}\n"))
        self.assertTrue(gone(program))
        self.assertFalse(os.path.exists(f"/sys/fs/bpf/tamis/{name}"))

    # What cannot stay is refused, and nothing of the rest stays either.
    def test_nothing_is_half_pinned(self):
        name = f"half-{os.getpid()}"
        done = tamis("-i", "v0", "--pin", name, object_file("device"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot be pinned: sockets have no links", done.stderr)
        self.assertFalse(os.path.exists(f"/sys/fs/bpf/tamis/{name}"))
        with Running("-i", "v0", object_file("device")) as running:  # the interface is free
            running.wait_for(2)

    # A map that somebody pinned under any name.
    def test_maps_are_pinned_where_the_user_says(self):
        pin = f"/sys/fs/bpf/tamis-test-runs-{os.getpid()}"
        self.addCleanup(lambda: os.path.exists(pin) and os.unlink(pin))
        done = tamis("--no-attach", "--map", f"runs:pin={pin}", object_file("xdp"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(pin))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
