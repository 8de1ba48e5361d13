#!/usr/bin/env python3
"""Completion for bash, from what the program says of its options and the words of the language.

Usage: completion.py TAMIS TEMPLATE LANGUAGE.MD OUTPUT
"""
import json
import re
import subprocess
import sys


def words_of_language(text):
    """The words that docs/language.md has in the first column of its tables."""
    rows = re.findall(r"^\| (`[^|]*) \|", text.split("## Names")[0], re.M)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def main():
    tamis, template, language, output = sys.argv[1:]
    told = subprocess.run([tamis, "--help-json"], check=True, capture_output=True, text=True).stdout
    verbs = [json.loads(line) for line in told.splitlines()]
    known, options = {}, []
    for verb in verbs:
        names, values = [], []
        for option in verb["options"]:
            names += option["names"]
            if option["value"]:
                values += [f"[{name}]={quoted(option['value'])}" for name in option["names"]]
            if option["words"]:
                known[option["value"]] = option["words"]
        argument = verb["arguments"][0]["value"] if verb["arguments"] else ""
        options += [f"        {verb['name']})",
                    f"            options={quoted(' '.join(names))}",
                    f"            values=({' '.join(values)})",
                    f"            argument={quoted(argument)} expression={'yes' if verb['expression'] else ''}",
                    "            ;;"]
    replacements = {
        "VERBS": " ".join(verb["name"] for verb in verbs),
        "OPTIONS": "\n".join(options),
        "WORDS": "\n".join(f"        {quoted(value)}) _tamis_words {quoted(' '.join(words))} \"$word\" ;;"
                           for value, words in known.items()),
        "LANGUAGE": " ".join(words_of_language(open(language, encoding="ascii").read())),
    }
    with open(template, encoding="ascii") as source, open(output, "w", encoding="ascii") as out:
        out.write(re.sub(r"@([A-Z]+)@", lambda name: replacements[name[1]], source.read()))


main()
