#!/usr/bin/env python3
"""docs/tamis.1.in with what the program says of its options.  Usage: manual.py TAMIS TEMPLATE OUTPUT

Lines of the template that are replaced:
    .\\" @synopsis        a usage line for every verb, with its own options
    .\\" @group NAME      the options of a group that several verbs share
    .\\" @options         the own options of each verb, and of groups that have no line of their own
"""
import json
import re
import subprocess
import sys

from mdoc import escaped, lines

OWN = "Options"  # CLI11's name for options of no group


def flag(name):
    return "Fl " + escaped(name)[2:]


def value(option):
    """The value's name as macros: words to type as they are, names of what to put there."""
    parts = option["value"].split("|") if option["value"] else []
    literal = re.compile(r"[a-z0-9-]+")
    return " Ns | Ns ".join(("Cm " if literal.fullmatch(part) else "Ar ") + escaped(part) for part in parts)


def item(option):
    return f"{' , '.join(flag(name) for name in option['names'])} {value(option)}".strip()


def option_list(options):
    out = [".Bl -tag -width Ds"]
    for option in options:
        help_text = option["help"]
        out += [".It " + item(option)]
        out += lines(escaped(help_text[:1].upper() + help_text[1:]))
        if not out[-1].endswith("."):
            out[-1] += "."
    return out + [".El"]


def arguments(verb):
    names = [argument["value"] for argument in verb["arguments"]]
    return [".Ar " + name for name in names] + ([".Op Ar EXPR"] if verb["expression"] else [])


def synopsis(verbs):
    out = []
    for verb in verbs:
        own = [option for option in verb["options"] if option["group"] == OWN and "-h" not in option["names"]]
        out += [".Nm", ".Cm " + verb["name"]]
        out += [f".Op {flag(option['names'][0])} {value(option)}".strip() for option in own]
        shared = {option["group"]: None for option in verb["options"] if option["group"] != OWN}
        out += [f".Op Ar {group.lower()} options" for group in shared]
        out += arguments(verb)
    return out + [".Nm", ".Fl \\-version"]


def groups_of(verbs):
    """Each shared group with its options, in the order in which the verbs have them."""
    groups = {}
    for verb in verbs:
        for option in verb["options"]:
            if option["group"] != OWN:
                groups.setdefault(option["group"], {}).setdefault(option["names"][0], option)
    return {name: list(options.values()) for name, options in groups.items()}


def main():
    tamis, template, output = sys.argv[1:]
    told = subprocess.run([tamis, "--help-json"], check=True, capture_output=True, text=True).stdout
    verbs = [json.loads(line) for line in told.splitlines()]
    groups = groups_of(verbs)
    page = []
    with open(template, encoding="ascii") as source:
        text = source.read()
    placed = re.findall(r'^\.\\" @group (.*)$', text, re.M)
    for line in text.splitlines():
        directive = re.fullmatch(r'\.\\" @(\w+) ?(.*)', line)
        if not directive:
            page.append(line)
        elif directive[1] == "synopsis":
            page += synopsis(verbs)
        elif directive[1] == "group":
            page += option_list(groups[directive[2]])
        elif directive[1] == "options":
            for name, options in groups.items():
                if name not in placed:
                    page += [f".Ss {name} options", *option_list(options)]
            for verb in verbs:
                own = [option for option in verb["options"] if option["group"] == OWN and "-h" not in option["names"]]
                if own:
                    page += [f".Ss Options of {verb['name']}", *option_list(own)]
        else:
            sys.exit(f"{template}: no such directive: {line}")
    with open(output, "w", encoding="ascii") as out:
        out.write("\n".join(page) + "\n")


main()
