#!/usr/bin/env python3
"""Fails on an include that crosses the rooms the wrong way.  Usage: layering.py ROOT"""
import pathlib
import re
import sys

STAGES = {"frontend", "translator", "backend", "runtime"}
JOINING = STAGES | {"bpf", "verify"}
# What each folder may include of ours.
ROOMS = {
    "bpf": {"bpf"},
    **{stage: {"bpf", stage} for stage in STAGES},
    "verify": JOINING,
    "cli": JOINING | {"cli"},
    "examples": STAGES | {"bpf"},
    "fuzz": JOINING | {"fuzz"},
    "bench": JOINING | {"bench", "tests"},
    "tests": JOINING | {"tests"},
}
# Where a library may be included, by the beginning of its headers' names.
LIBRARIES = [
    (r"boost/", r"frontend/grammar\.cpp"),
    (r"(libelf|gelf)\.h", r"(backend/elf_file\.cpp|runtime/(elf_object|elf_sections|functions_like)\.(cpp|h)|tests/backend/.*)"),
    (r"bpf/btf\.h", r"(backend/btf\.cpp|tests/(backend|runtime)/.*|runtime/.*|verify/.*)"),
    (r"bpf/", r"(runtime/.*|verify/.*|tests/.*|fuzz/.*)"),
    (r"cap-ng\.h", r"runtime/privilege\.cpp"),
    (r"pcap", r"(tests|bench)/.*"),
    (r"z3", r"verify/solver_z3\.cpp"),
    (r"CLI/", r"cli/.*"),
    (r"nlohmann/", r"(cli|tests)/.*"),
    (r"(gtest|gmock)/", r"tests/.*"),
    (r"benchmark/", r"bench/.*"),
]
STANDARD = re.compile(r"[a-z_0-9]+|fmt/.*|tl/expected\.hpp")  # all that bpf/ may use
RAW_STRING = re.compile(r'R"(\w*)\(.*?\)\1"', re.DOTALL)  # programs that tests write
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def fault(root, file, quote, name):
    """What is wrong with an include of `name` in `file`, or None."""
    room = file.parts[0]
    if quote == '"':
        if not (root / name).is_file():
            return "no such header; includes are relative to the root"
        target = name.split("/")[0]
        return None if target in ROOMS[room] else f"{room}/ does not include {target}/"
    if room == "bpf" and not STANDARD.fullmatch(name):
        return "bpf/ uses the standard library, fmt and tl/expected only"
    for pattern, where in LIBRARIES:
        if re.match(pattern, name):
            return None if re.fullmatch(where, str(file)) else f"only in {where}"
    return None


def main():
    root = pathlib.Path(sys.argv[1])
    faults = seen = 0
    for room in sorted(ROOMS):
        for path in sorted((root / room).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            file = path.relative_to(root)
            text = RAW_STRING.sub(lambda m: "\n" * m[0].count("\n"), path.read_text())
            for number, line in enumerate(text.splitlines(), 1):
                include = INCLUDE.match(line)
                if not include:
                    continue
                seen += 1
                message = fault(root, file, *include.groups())
                if message:
                    faults += 1
                    print(f"{file}:{number}: error: {line.strip()}: {message}")
    print(f"{seen} includes, {faults} faults")
    return 1 if faults or seen == 0 else 0


sys.exit(main())
