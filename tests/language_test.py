#!/usr/bin/env python3
"""docs/language.md names every keyword, once, and no other.  Usage: language_test.py ROOT"""
import pathlib
import re
import sys

ROW = re.compile(r'\{"([^"]+)",\s*Kind::(\w+),\s*Word::(\w+)')

root = pathlib.Path(sys.argv[1])
keywords = {}
for spelling, kind, word in ROW.findall((root / "frontend/words.cpp").read_text()):
    if kind != "number":
        keywords[spelling] = word

documented, later, seen = [], set(), ""
for line in (root / "docs/language.md").read_text().splitlines():
    if line.startswith("#"):
        seen = line
    if line.startswith("## Names"):
        break
    if line.startswith("| `"):
        words = re.findall(r"`([^`]+)`", line.split("|")[1])
        documented += words
        if seen == "### Not compiled yet":
            later |= set(words)

faults = []
faults += [f"{word}: twice" for word in sorted(set(documented)) if documented.count(word) > 1]
faults += [f"{word}: not in the document" for word in sorted(set(keywords) - set(documented))]
faults += [f"{word}: no keyword" for word in sorted(set(documented) - set(keywords))]
faults += [f"{word}: is compiled, the document says it is not"
           for word in sorted(later) if keywords.get(word, "atm") not in ("atm", "ss7")]
print("\n".join(faults) or f"{len(keywords)} keywords")
sys.exit(1 if faults or not keywords else 0)
