#!/usr/bin/env python3
"""tamis watch, with programs that this test loads.  Usage: watch_test.py PATH-OF-TAMIS"""
import ctypes
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

TAMIS = os.path.abspath(sys.argv[1])
MAY = os.geteuid() == 0 and os.environ.get("TAMIS_KERNEL") != "no"
BPF = 321  # the system call on x86-64
libc = ctypes.CDLL(None, use_errno=True)


def setUpModule():
    if not MAY:
        if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1":
            raise AssertionError("needs root")
        raise unittest.SkipTest("needs root")


INSNS = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))  # r0 = 0; exit
LICENSE = ctypes.create_string_buffer(b"GPL")


def load(name=b"watched"):
    """A socket filter's file descriptor."""
    request = struct.pack("<IIQQIIQII16s", 1, 2, ctypes.addressof(INSNS), ctypes.addressof(LICENSE), 0, 0, 0, 0, 0,
                          name)
    fd = libc.syscall(BPF, 5, request, len(request))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_PROG_LOAD")
    return fd


def identity(fd):
    info = ctypes.create_string_buffer(256)
    request = struct.pack("<IIQ", fd, len(info), ctypes.addressof(info))
    assert libc.syscall(BPF, 15, request, len(request)) == 0
    return struct.unpack_from("<I", info.raw, 4)[0]


class Watching:
    """tamis watch; `events` is what it printed when it has ended."""

    def __init__(self, *args):
        self.process = subprocess.Popen([TAMIS, "watch", "--json", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stderr.readline() != "watching\n":
            raise AssertionError("not watching")
        self.out = []
        self.reader = threading.Thread(target=lambda: self.out.extend(self.process.stdout))
        self.reader.start()

    def __enter__(self):
        return self

    def seen(self, kind, ids):
        found = {}
        for line in list(self.out):
            thing = json.loads(line)
            if thing["kind"] == "bpf_program" and thing["event"] == kind and thing["id"] in ids:
                found[thing["id"]] = thing
        return found

    def wait_for(self, kind, ids):
        """The events of these programs, however late they come; unloading is left to the kernel's leisure."""
        until = time.monotonic() + 20
        while len(found := self.seen(kind, ids)) < len(ids) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        self.end = json.loads(self.out[-1])


class Watch(unittest.TestCase):
    def test_a_thousand_loads_and_unloads_are_all_seen(self):
        ids = set()
        with Watching() as watching:
            for _ in range(1000):
                fd = load()
                ids.add(identity(fd))
                os.close(fd)
            loads = watching.wait_for("load", ids)
            unloads = watching.wait_for("unload", ids)
        self.assertEqual(len(ids), 1000)
        self.assertEqual((set(loads), set(unloads)), (ids, ids))
        with open("/proc/self/comm") as file:
            command = file.read().strip()
        # Who unloads may be a kernel thread; it is the loader that is told.
        for event in [*loads.values(), *unloads.values()]:
            self.assertEqual((event["process"], event["command"], event["name"]), (os.getpid(), command, "watched"))
            self.assertRegex(event["tag"], "^[0-9a-f]{16}$")
            self.assertGreater(event["size"], 0)
        self.assertEqual(watching.end["kind"], "watch")
        self.assertEqual(watching.end["lost"], 0)
        self.assertGreaterEqual(watching.end["loads"], 1000)

    # While the reader sleeps the ring fills up: what has no room is counted, and what comes later is seen.
    def test_lost_records_are_counted(self):
        cpus = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, cpus)
        os.sched_setaffinity(0, {min(cpus)})  # one ring is full sooner
        with Watching() as watching:
            watching.process.send_signal(signal.SIGSTOP)
            for _ in range(9000):
                os.close(load())
            watching.process.send_signal(signal.SIGCONT)
            said = watching.process.stderr.readline()
            time.sleep(0.2)
            fd = load()
            later = identity(fd)
            self.assertEqual(set(watching.wait_for("load", {later})), {later})
            os.close(fd)
        self.assertRegex(said, r"^\d+ records were lost\n$")
        # Of each program two records when it comes and two when it goes.
        end = watching.end
        self.assertGreater(end["lost"], 0)
        self.assertGreaterEqual(2 * (end["loads"] + end["unloads"]) + end["lost"], 4 * 9000 - 8)

    def test_every_event_is_complete(self):
        fd = load(b"before")
        before = identity(fd)
        with Watching() as watching:
            other = load(b"after")
            after = identity(other)
            loads = watching.wait_for("load", {after})
            present = watching.wait_for("present", {before})
            os.close(fd)
            os.close(other)
            unloads = watching.wait_for("unload", {before, after})
        self.assertEqual((loads[after]["type"], loads[after]["name"]), ("socket_filter", "after"))
        self.assertRegex(loads[after]["address"], "^0xffff")
        self.assertEqual((present[before]["type"], present[before]["name"]), ("socket_filter", "before"))
        self.assertIsNone(present[before]["process"])
        self.assertEqual((unloads[before]["name"], unloads[after]["name"]), ("before", "after"))
        self.assertEqual(unloads[after]["process"], os.getpid())
        for line in watching.out[:-1]:
            self.assertEqual(list(json.loads(line)), ["tamis", "kind", "event", "id", "type", "name", "tag", "process",
                                                      "command", "size", "address"])

    def test_selection(self):
        def loads(watching):
            return [thing for thing in map(json.loads, watching.out)
                    if thing["kind"] == "bpf_program" and thing["event"] == "load" and thing["process"] in mine]

        mine = set()

        def child(cpu):
            process = os.fork()
            if process == 0:
                os.sched_setaffinity(0, {cpu})
                os.close(load())
                os._exit(0)
            os.waitpid(process, 0)
            mine.add(process)

        cpus = sorted(os.sched_getaffinity(0))
        with Watching("--cpu", str(cpus[0])) as watching:
            child(cpus[0])
            if len(cpus) > 1:
                child(cpus[1])
            time.sleep(0.3)
        self.assertEqual(len(loads(watching)), 1)

        mine.clear()
        with Watching("--pid", str(os.getpid())) as watching:
            subprocess.run([TAMIS, "load", "--no-attach", "/nonexistent.o"], capture_output=True)
            fd = load()
            mine.add(os.getpid())
            seen = watching.wait_for("load", {identity(fd)})
            os.close(fd)
        self.assertEqual([event["process"] for event in seen.values()], [os.getpid()])

    def test_control_group(self):
        with open("/proc/mounts") as file:
            mounted = re.search(r"^\S+ (\S+) cgroup2 ", file.read(), re.M)
        if not mounted:
            self.skipTest("no cgroup2 file system is mounted")
        folder = f"{mounted[1]}/tamis-watch-{os.getpid()}"
        os.mkdir(folder)
        self.addCleanup(os.rmdir, folder)

        def child(group):
            process = os.fork()
            if process == 0:
                if group:
                    with open(f"{group}/cgroup.procs", "w") as file:
                        file.write("0")
                os.close(load())
                os._exit(0)
            os.waitpid(process, 0)
            return process

        with Watching("--cgroup", folder) as watching:
            inside, outside = child(folder), child(None)
            time.sleep(0.3)
        loaders = [thing["process"] for thing in map(json.loads, watching.out) if thing.get("event") == "load"]
        self.assertIn(inside, loaders)
        self.assertNotIn(outside, loaders)

    def test_mistakes(self):
        for args, message in ((["--pid", "4194304"], "there is no process 4194304"), (["--cpu", "9999"], "no CPU 9999"),
                              (["--cgroup", "/nonexistent"], "cannot open control group"),
                              (["--pid", "1", "--cgroup", "/"], "excludes")):
            done = subprocess.run([TAMIS, "watch", *args], capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
