#!/usr/bin/env python3
"""Plants the faults of mutants.txt into a copy of a source file, each behind a run-time switch.

    weave.py MUTANTS ROOT SOURCE       prints SOURCE with its faults planted
    weave.py MUTANTS ROOT --list FILE...
                                       prints the definition of tamis::faults(), planted.h

A fault is a piece of code, found exactly once in its file whatever the blanks, and what stands there
instead.  A statement becomes an if, an expression a conditional.  Fault number N, counted from 1 over the
whole list, is there while tamis::planted == N.
"""
import json
import pathlib
import re
import sys


def mutants(path):
    """Rows of [name, file, old, new, reason]."""
    rows = []
    name = source = old = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, rest = line.partition(" ")
        if line.endswith(":") and "/" in line and " " not in line:
            source = line[:-1]
        elif kind == "-":
            old = rest.strip()
        elif kind == "+":
            rows.append([name, source, old, rest.strip(), ""])
            name = old = None
        elif kind == "=":
            rows[-1][4] = rest.strip()
        else:
            name = line.strip()
        if kind == "+" and None in rows[-1]:
            sys.exit(f"{path}:{number}: a fault needs a name, a file and what it replaces")
    return rows


def pattern(code):
    """The code as a regular expression that does not care how it is wrapped."""
    words = re.findall(r"\w+|[^\w\s]", code)
    joined = re.escape(words[0])
    for before, word in zip(words, words[1:]):
        both = re.match(r"\w", word) and re.match(r"\w", before[-1])
        joined += (r"\s+" if both else r"\s*") + re.escape(word)
    return joined


def woven(rows, root, source):
    text = (root / source).read_text()
    for number, (name, file, old, new, _) in enumerate(rows, 1):
        if file != source:
            continue
        places = list(re.finditer(pattern(old), text))
        if len(places) != 1:
            sys.exit(f"{source}: '{old}' of fault '{name}' stands there {len(places)} times")
        place = places[0]
        kept = place.group()
        switch = f"::tamis::planted == {number}"
        if old.endswith(";"):
            new = f"if ({switch}) {{ {new} }} else {{ {kept} }}"
        else:
            new = f"({switch} ? ({new}) : ({kept}))"
        text = text[: place.start()] + new + text[place.end() :]
    return f'#include "tests/mutation/planted.h"\n#line 1 "{source}"\n{text}'


def main():
    path, root, what = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    rows = mutants(path)
    if what == "--list":
        for name, file, *_ in rows:
            if file not in sys.argv[4:]:
                sys.exit(f"{path}: '{name}' is in '{file}', which meson.build does not weave")
        print('#include "tests/mutation/planted.h"\n')
        print("static constexpr tamis::PlantedFault rows[] = {")
        for name, file, _, _, reason in rows:
            print("    {%s, %s, %s}," % tuple(json.dumps(text) for text in (name, file, reason)))
        print("};\nstd::span<tamis::PlantedFault const> tamis::faults() { return rows; }")
    else:
        print(woven(rows, root, what), end="")


if __name__ == "__main__":
    main()
