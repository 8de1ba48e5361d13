#!/usr/bin/env python3
"""docs/language.md as the manual page tamis-filter(7).  Usage: language_manual.py LANGUAGE.MD OUTPUT

Knows as much of Markdown as that page uses: headings, paragraphs, `words`, **strong** and tables.
"""
import re
import sys

from mdoc import escaped, lines

HEAD = """\
.Dd November 27, 2026
.Dt TAMIS-FILTER 7
.Os
.Sh NAME
.Nm tamis-filter
.Nd the language of packet filters
.Sh DESCRIPTION"""
TAIL = """\
.Sh SEE ALSO
.Xr tamis 1 ,
.Xr pcap-filter 7 ,
.Xr tcpdump 8"""


def marked(text):
    """Words in backquotes are bold; they may hold blanks, so this is not left to macros."""
    parts = re.split(r"`([^`]+)`", text.replace("**", ""))
    return "".join("\\fB" + escaped(part) + "\\fP" if i % 2 else escaped(part) for i, part in enumerate(parts))


def cells(row):
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def table(rows):
    """Words and what each means; or, where the first cells are sentences, a list of them."""
    rows = [cells(row) for row in rows[2:]]
    if all(re.fullmatch(r"(`[^`]+` ?)+|\w+", first) for first, _ in rows):
        out = [".Bl -tag -width Ds"]
        for words, meaning in rows:
            out += [".It " + marked(words), *lines(marked(meaning))]
    else:
        out = [".Bl -bullet"]
        for fact, remark in rows:
            out += [".It", *lines(f"{marked(fact)} ({marked(remark)}).")]
    return out + [".El"]


def page(text):
    out, after_heading = HEAD.splitlines(), True
    for block in re.split(r"\n\n+", text.strip()):
        rows = block.splitlines()
        if rows[0].startswith("# "):
            continue
        if rows[0].startswith("#"):
            level, title = rows[0].split(" ", 1)
            out.append(f".Sh {escaped(title).upper()}" if level == "##" else f".Ss {escaped(title)}")
            rows, after_heading = rows[1:], True
            if not rows:
                continue
        if rows[0].startswith("|"):
            out += table(rows)
        else:
            out += ([] if after_heading else [".Pp"]) + lines(marked(" ".join(rows)))
        after_heading = False
    return "\n".join(out + TAIL.splitlines()) + "\n"


with open(sys.argv[1], encoding="ascii") as source, open(sys.argv[2], "w", encoding="ascii") as output:
    output.write(page(source.read()))
