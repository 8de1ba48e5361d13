#!/usr/bin/env python3
"""Runs tests on the kernels of other Debian releases, in QEMU.  README.md has the details.

    kernels.py BUILD                           the commands of TESTS on every kernel of KERNELS
    kernels.py BUILD [--kernel 6.1] [--test NAME]   some of them
    kernels.py BUILD --long                    those that take minutes
    kernels.py BUILD [--kernel 6.1] COMMAND    one shell command there; shows what it prints
"""
import argparse
import concurrent.futures
import dataclasses
import lzma
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "tamis", "kernels")
KERNELS = {
    "6.1": r"linux-image-6\.1\.[\d.-]+-cloud-amd64-unsigned",
    "6.12": r"linux-image-6\.12\.[\d.-]+\+deb12-cloud-amd64-unsigned",
}


@dataclasses.dataclass(frozen=True)
class Test:
    """A shell command of the guest, run from the project's root; {build} is the build folder.

    Programs of the build folder that the command names are there, and every file of the project that it
    names; `data` is what those read, by patterns below the root or, behind {build}/, below the build folder."""
    name: str
    command: str
    data: tuple = ()
    kernels: tuple = tuple(KERNELS)
    modules: tuple = ()  # beyond MODULES
    tools: tuple = ()  # files of the system, beyond TOOLS
    long: bool = False  # takes minutes: for --long only


# What libxdp chains programs with.
DISPATCHER = sorted(map(str, pathlib.Path("/usr/lib").glob("*/bpf/xdp-dispatcher.o")))

# All tests of a kernel share one boot.  Emulated code runs some twenty times slower, so the long ones are cut short.
TESTS = [
    Test("translate", "{build}/tests/translator/translate_test", data=("tests/frontend/expressions.txt",)),
    Test("runtime", "{build}/tests/runtime/runtime_kernel_test"),
    Test("classic interpreter", "{build}/tests/runtime/cbpf_vm_kernel_test"),
    Test("eBPF interpreter", "{build}/tests/runtime/ebpf_vm_kernel_test"),
    Test("program types", "{build}/tests/runtime/program_types_test"),
    Test("differential", "{build}/tests/differential/differential --programs 100 --packets 10 --stride 5",
         data=("tests/frontend/expressions.txt",)),
    Test("everywhere", "{build}/tests/translator/everywhere_test --stride 25 "
                       "--gtest_filter=EverywhereKernel.*-*ProgramsDoNotGrow",
         data=("tests/frontend/expressions.txt", "tests/cases/*.txt", "tests/translator/refusals.txt")),
    Test("everything everywhere", "{build}/tests/translator/everywhere_test "
                                  "--gtest_filter=EverywhereKernel.EveryFilter*",
         data=("tests/frontend/expressions.txt", "tests/cases/*.txt"), long=True),
    Test("command", "sh tests/qemu/command.sh", data=("examples/capture.pcap", "tests/qemu/network.sh")),
    Test("attached", "{build}/tests/load/attached_test", data=("{build}/tests/load/*.o",),
         modules=("act_bpf", "cls_matchall")),
    Test("load", "sh tests/qemu/load.sh {build}/tests/load", data=("{build}/tests/load/*.o",)),
    Test("attach", "sh tests/qemu/attach.sh", data=("tests/qemu/network.sh",),
         modules=("act_bpf", "act_gact", "cls_matchall")),
    Test("tunnels", "sh tests/qemu/tunnels.sh", data=("tests/qemu/network.sh",),
         modules=("ipip", "sit", "ip_gre", "ip6_gre")),
    Test("lists", "sh tests/qemu/lists.sh 1000 10000", data=("tests/qemu/network.sh",)),
    Test("watch", "sh tests/qemu/watch.sh {build}/tests/load/xdp.o", data=("{build}/tests/load/xdp.o",)),
    Test("tracex1",
         "at={build}/examples/tracex1; try='sh examples/tracex1/test.sh {build}/cli/tamis "
         "{build}/examples/tracex1/tracex1_main'; $try $at/tracex1.o && $try $at/tracex1_tracepoint.o && "
         "$try $at/tracex1_legacy.o 'packet [0-9]'",
         data=("{build}/examples/tracex1/*.o",)),
    Test("objects", "sh tests/qemu/objects.sh", data=("tests/qemu/network.sh",),
         modules=("act_bpf", "act_gact", "cls_matchall"),
         tools=("/usr/sbin/bpftool", "/usr/sbin/xdp-loader", *DISPATCHER)),
    # Under the limits for long programs of 6.1 and of 6.12.
    Test("check", "for limit in 20480 131072; do sysctl -qw net.core.optmem_max=$limit; "
                  "tamis check --random 5000 --seed 1 || exit; done"),
]
TOOLS = ["/bin/busybox", "/bin/dash", "/sbin/ip", "/sbin/tc"]  # busybox's ip knows no veth, and its shell no other ip
MODULES = ["veth", "sch_ingress", "cls_bpf"]
SECONDS = {False: 240, True: 1500}  # for one kernel; with tests that are long

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
/bin/ln -sf dash /bin/sh
mkdir -p /proc /sys /dev /tmp /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
for module in /modules/*; do insmod "$module"; done
export PATH={build}/cli:/sbin:/bin HOME=/tmp GTEST_COLOR=no TAMIS_REQUIRE_KERNEL=1
ip link set lo up
sysctl -qw net.core.optmem_max=131072  # later kernels' default; 6.1 has a sixth of it, too little for long filters
cd {root}
seconds() {{ cut -d. -f1 /proc/uptime; }}
run() {{
    echo "@@ begin $1"
    from=$(seconds)
    /bin/sh -c "$2" </dev/null  # not busybox's, which takes its own ip
    echo "@@ end $? $(($(seconds) - from))"
}}
echo "@@ up $(uname -r) $(seconds)"
{commands}
poweroff -f
"""


class Unavailable(Exception):
    """Why this machine cannot run the test."""


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


# ---- Kernels: downloaded and unpacked, never installed

def version(package):
    return [int(number) for number in re.findall(r"\d+", package)]


def find_kernel(pattern):
    """The folder of the newest kernel of that name, downloaded where it is not there yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    problem = "apt knows none"
    for update in (False, True):
        if update:  # the lists are missing or old
            subprocess.run(["apt-get", "update", "-q"], capture_output=True)
        names = output("apt-cache", "pkgnames", "linux-image-").split()
        known = [name for name in names if re.fullmatch(pattern, name)]
        try:
            if known:
                return download(max(known, key=version))
        except subprocess.CalledProcessError as error:
            problem = (error.stderr.strip().splitlines() or ["apt-get download failed"])[-1]
    kept = [path for path in CACHE.iterdir() if re.fullmatch(pattern, path.name)]
    if not kept:
        raise Unavailable(f"no kernel like {pattern}: {problem}")
    return max(kept, key=lambda path: version(path.name))


def download(name):
    if not (CACHE / name).exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            output("apt-get", "download", "-q", name, cwd=folder)
            package, = pathlib.Path(folder).glob("*.deb")
            output("dpkg-deb", "-x", package, f"{folder}/unpacked")
            os.rename(f"{folder}/unpacked", CACHE / name)
    return CACHE / name


def modules(kernel, names):
    """(name, content) of these modules and of those that they need, which come first."""
    found = {}
    for name in names:
        path, = kernel.glob(f"lib/modules/*/kernel/**/{name}.ko*")
        content = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
        needs = re.search(rb"\0depends=([^\0]*)\0", content)[1].decode()
        found.update(modules(kernel, [need for need in needs.split(",") if need]))
        found.setdefault(name, content)
    return found


# ---- The guest's only file system; what it has of ours lies where it lies here

def command_of(test, build):
    return test.command.replace("{build}", str(build))


def files_of(test, build):
    """The programs that a test names, and the other files that it needs."""
    named = {ROOT / word for word in re.findall(r"[^\s;'=]+", command_of(test, build)) if os.path.isfile(ROOT / word)}
    programs = {path for path in named if build in path.parents and path.suffix != ".o"}
    for pattern in test.data:
        below_build = pattern.startswith("{build}/")
        named.update((build if below_build else ROOT).glob(pattern.removeprefix("{build}/")))
    return programs, named - programs


def make_image(folder, kernel, build, tests):
    """Fills the folder and packs it into FOLDER.cpio."""
    def copy(path):
        target = folder / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        return target

    programs, data = {build / "cli/tamis"}, set()
    for test in tests:
        named, files = files_of(test, build)
        programs |= named
        data |= files
    for program in programs:
        subprocess.run(["strip", copy(program)], check=True)  # a tenth of the size
    tools = [*TOOLS, *(tool for test in tests for tool in test.tools)]
    for tool in tools:
        copy(tool)
    for program in [*programs, *tools]:
        ldd = subprocess.run(["ldd", program], capture_output=True, text=True)  # says no to static ones
        for library in re.findall(r"(/\S+) \(0x", ldd.stdout):
            copy(library)
    for file in data:
        copy(file)
    (folder / "modules").mkdir()
    wanted = [*MODULES, *(name for test in tests for name in test.modules)]
    for number, (name, content) in enumerate(modules(kernel, wanted).items()):
        (folder / f"modules/{number:02}-{name}.ko").write_bytes(content)
    lines = (f"run {shlex.quote(test.name)} {shlex.quote(command_of(test, build))}" for test in tests)
    (folder / "init").write_text(INIT.format(build=build, root=ROOT, commands="\n".join(lines)))
    (folder / "init").chmod(0o755)
    with open(f"{folder}.cpio", "wb") as image:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=folder, input=output("find", ".", cwd=folder),
                       text=True, stdout=image, check=True)


# ---- Running it

def boot(kernel, build, tests):
    """What the guest printed until it went off."""
    seconds = SECONDS[any(test.long for test in tests)]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "root"
        root.mkdir()
        make_image(root, kernel, build, tests)
        vmlinuz, = kernel.glob("boot/vmlinuz-*")
        # A processor without the newest instructions, whose emulation costs a tenth.
        qemu = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-m", "512", "-smp", "1", "-nographic",
                "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", vmlinuz, "-initrd", f"{root}.cpio",
                "-append", "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off rcupdate.rcu_expedited=1"]
        try:
            said = subprocess.run(qemu, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=seconds).stdout
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"") + f"\nkilled after {seconds} s\n".encode()
    return said.decode(errors="replace").replace("\r", "")


class Command(unittest.TestCase):
    """One command on one kernel; `text` is what that guest printed."""

    def __init__(self, series, name, text):
        super().__init__()
        self.series, self.name, self.text = series, name, text

    def __str__(self):
        return f"{self.series}: {self.name}"

    def runTest(self):
        _, begun, said = self.text.partition(f"@@ begin {self.name}\n")
        self.assertTrue(begun, f"never began; the guest said:\n{shortened(self.text)}")
        said, ended, rest = said.partition("@@ end ")
        self.assertTrue(ended, f"never ended; it said:\n{shortened(said)}")
        self.assertEqual(rest.split()[0], "0", f"exit status; it said:\n{shortened(said)}")


def shortened(text, most=8000):
    return text if len(text) <= most else f"{text[:most // 2]}\n[...]\n{text[-most // 2:]}"


def summary(series, tests, text, seconds):
    """The result line of a kernel, with gtest's own count of cases, and what `tamis check` found."""
    cases = {word: sum(map(int, re.findall(rf"^\[  {word} +\] (\d+) test", text, re.M)))
             for word in ("PASSED", "FAILED", "SKIPPED")}
    ends = re.findall(r"^@@ end (\d+)", text, re.M)
    times = ", ".join(f"{name} {took} s" for name, took in re.findall(
        r"^@@ begin ([^\n]*)\n(?:(?!@@ end).*\n)*@@ end \d+ (\d+)", text, re.M))
    up = re.search(r"@@ up (\S+) (\d+)", text)
    checks = re.findall(r"^\d+ programs that the kernel accepts.*", text, re.M)
    release = up[1] if up else series
    return (f"{release}: {ends.count('0')} of {len(tests)} commands good, cases "
            f"{cases['PASSED']} passed {cases['FAILED']} failed {cases['SKIPPED']} skipped; "
            f"{seconds:.0f} s (boot {up[2] if up else '-'} s, {times})"
            + "".join(f"\n{release}: {line}" for line in checks))


def run_tests(kernels, build, names):
    def run(series):
        tests = [test for test in TESTS if series in test.kernels and test.name in names]
        start = time.monotonic()
        text = boot(kernels[series], build, tests)
        print(summary(series, tests, text, time.monotonic() - start), flush=True)
        return [Command(series, test.name, text) for test in tests]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        cases = [case for of_kernel in pool.map(run, kernels) for case in of_kernel]
    return unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(cases)).wasSuccessful()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--kernel", choices=KERNELS, action="append")
    parser.add_argument("--test", choices=[test.name for test in TESTS], action="append")
    parser.add_argument("--long", action="store_true", help="the tests that take minutes instead")
    parser.add_argument("command", nargs="?")
    args = parser.parse_intermixed_args()
    build = args.build.resolve()
    try:
        if os.environ.get("TAMIS_KERNEL") == "no":
            raise Unavailable("TAMIS_KERNEL=no")
        for tool in ("qemu-system-x86_64", "busybox", "cpio", "apt-get", "dpkg-deb", "xdp-loader", *TOOLS):
            if not shutil.which(tool):
                raise Unavailable(f"{tool} is not installed")
        kernels = {series: find_kernel(KERNELS[series]) for series in args.kernel or KERNELS}
    except Unavailable as reason:
        print(f"SKIPPED: {reason}")
        return 1 if os.environ.get("TAMIS_REQUIRE_KERNEL") == "1" else 77
    if args.command:
        for kernel in kernels.values():
            print(boot(kernel, build, [Test("command", args.command, data=("{build}/tests/load/*.o",))]))
        return 0
    names = args.test or [test.name for test in TESTS if test.long == args.long]
    return 0 if run_tests(kernels, build, names) else 1


if __name__ == "__main__":
    sys.exit(main())
