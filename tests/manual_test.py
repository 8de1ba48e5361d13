#!/usr/bin/env python3
"""The manual pages and the completion for bash, as the build made them.

Usage: manual_test.py TAMIS TAMIS.1 TAMIS-FILTER.7 COMPLETION LANGUAGE.MD
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TAMIS, MANUAL, LANGUAGE_MANUAL, COMPLETION, LANGUAGE = map(os.path.abspath, sys.argv[1:6])


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


VERBS = [json.loads(line) for line in output(TAMIS, "--help-json").splitlines()]


def squeezed(text):
    """Without blanks and ends of lines: a line may end behind any dash of a word."""
    return "".join(text.split())


def rendered(page):
    """What a terminal shows of the page, squeezed."""
    return squeezed(re.sub(".\b", "", output("mandoc", "-Tascii", page)))


class Manual(unittest.TestCase):
    def test_help_lists_the_same_verbs_and_options(self):
        listed = re.findall(r"^  (\w+) ", output(TAMIS, "--help"), re.M)
        self.assertEqual([verb["name"] for verb in VERBS], listed)
        for verb in VERBS:
            shown = re.findall(r"^  (-\S+)", output(TAMIS, verb["name"], "--help"), re.M)
            self.assertEqual({name for names in shown for name in names.split(",")},
                             {name for option in verb["options"] for name in option["names"]})

    def test_every_option_is_described(self):
        text = rendered(MANUAL)
        for verb in VERBS:
            self.assertIn(f"tamis{verb['name']}[", text)
            for option in verb["options"]:
                if "-h" in option["names"]:
                    continue
                words = option["help"][:1].upper() + option["help"][1:].rstrip(".")
                self.assertTrue(squeezed(",".join(option["names"]) + option["value"] + words) in text, option)

    def test_every_word_of_the_language_is_described(self):
        text = rendered(LANGUAGE_MANUAL)
        table = re.findall(r"^\| (`[^|]*) \|", pathlib.Path(LANGUAGE).read_text(), re.M)
        self.assertGreater(len(table), 40)
        for words in table:
            self.assertTrue(squeezed(words.replace("`", "")) in text, words)

    def test_they_are_clean(self):
        done = subprocess.run(["mandoc", "-Tlint", MANUAL, LANGUAGE_MANUAL], capture_output=True, text=True)
        # Other manuals need not be installed here.
        self.assertEqual([line for line in done.stdout.splitlines() if "referenced manual not found" not in line], [])


class Completion(unittest.TestCase):
    def complete(self, *words, folder="."):
        """What bash offers for the last of the words."""
        script = """source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tamis; printf '%s\\n' "${COMPREPLY[@]}" """
        done = subprocess.run(["bash", "-c", script, COMPLETION, *words], capture_output=True, text=True, cwd=folder,
                              timeout=60)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash_knows_whom_to_ask(self):
        self.assertEqual(output("bash", "-c", "source $0; complete -p tamis", COMPLETION),
                         "complete -F _tamis tamis\n")

    def test_verbs(self):
        self.assertEqual(self.complete("tamis", "ma"), ["match"])
        self.assertLessEqual({verb["name"] for verb in VERBS}, set(self.complete("tamis", "")))
        self.assertEqual(self.complete("tamis", "nonsense", ""), [])

    def test_options(self):
        for verb in VERBS:
            self.assertEqual(set(self.complete("tamis", verb["name"], "-")),
                             {name for option in verb["options"] for name in option["names"]})
        self.assertEqual(self.complete("tamis", "match", "-r", "-", "--cou"), ["--count"])
        self.assertEqual(self.complete("tamis", "match", "ip", "-"), [])
        self.assertEqual(self.complete("tamis", "match", "--", "-"), [])

    def test_values(self):
        self.assertEqual(self.complete("tamis", "match", "--engine", "k"), ["kernel"])
        self.assertIn("tc-ingress", self.complete("tamis", "compile", "--hook", "tc-"))
        self.assertIn("LINUX_SLL2", self.complete("tamis", "compile", "-y", "LINUX_S"))
        self.assertIn("drop", self.complete("tamis", "compile", "--match", ""))
        self.assertIn("lo", self.complete("tamis", "attach", "-i", ""))
        # bash splits a word at the sign.
        self.assertEqual(self.complete("tamis", "match", "--engine", "="), ["classic", "ebpf", "kernel"])
        self.assertEqual(self.complete("tamis", "match", "--engine", "=", "k"), ["kernel"])
        self.assertEqual(self.complete("tamis", "match", "--engine", "=", "kernel", "--cou"), ["--count"])
        self.assertEqual(self.complete("tamis", "compile", "-s", ""), [])

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("a.pcap", "b.o"):
                pathlib.Path(folder, name).touch()
            os.mkdir(os.path.join(folder, "inner"))
            self.assertEqual(self.complete("tamis", "match", "-r", "a", folder=folder), ["a.pcap"])
            self.assertEqual(self.complete("tamis", "load", "b", folder=folder), ["b.o"])
            self.assertEqual(self.complete("tamis", "load", "--cgroup", "", folder=folder), ["inner"])

    def test_the_language(self):
        self.assertEqual(self.complete("tamis", "match", "-r", "f", "portr"), ["portrange"])
        self.assertIn("tcp", self.complete("tamis", "compile", "ip", "and", "t"))
        self.assertEqual(self.complete("tamis", "watch", "t"), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[6:], verbosity=2)
