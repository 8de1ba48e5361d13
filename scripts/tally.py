#!/usr/bin/env python3
"""Counts the single cases of one `meson test` run.  Usage: tally.py BUILD LOGBASE

Prints the figures that tests printed, failures and reasons for skipping, then `PASSED FAILED
SKIPPED` as the last line.  A gtest
program counts case by case (the XML that meson asks it for), a Python unittest by its own summary,
anything else once.  A program that failed without saying which case counts as one failure.
"""
import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

# What gtest and unittest say by themselves, on standard output.
FRAMEWORK = re.compile(r"\[|Running main|Note: |Repeating|\s*$|\s+\d+ FAILED|SKIPPED|.*: Skipped$")
Counts = collections.namedtuple("Counts", "passed failed skipped")


def gtest(report, skips, failures):
    passed = failed = skipped = 0
    for suite in xml.parse(report).getroot():
        for case in suite:
            name = f"{suite.get('name')}.{case.get('name')}"
            if case.find("failure") is not None:
                failed += 1
                failures.append(name)
            elif case.find("skipped") is not None:
                skipped += 1
                lines = (case.find("skipped").get("message") or "no reason").splitlines()
                skips[lines[-1]].append(name)
            else:
                passed += 1
    return Counts(passed, failed, skipped)


def unittest(test, skips, failures):
    text = test.get("stdout", "") + test.get("stderr", "")
    ran = re.search(r"^Ran (\d+) tests? in", text, re.M)
    if not ran:
        return None
    total = int(ran[1])
    number = {word: int(count) for word, count in re.findall(r"(\w+)=(\d+)", text[ran.end():])}
    failed = number.get("failures", 0) + number.get("errors", 0)
    failures += [f"{test['name']}: {case}" for case in re.findall(r"^(?:FAIL|ERROR): (.*)", text, re.M)]
    for reason in re.findall(r"\.\.\. skipped ['\"](.*)['\"]", text):
        skips[reason].append(test["name"])
    skipped = number.get("skipped", 0)
    return Counts(total - failed - skipped, failed, skipped)


def once(test, skips, failures):
    if test["result"] == "SKIP":
        lines = (test.get("stdout", "") + test.get("stderr", "")).strip().splitlines()
        reason = lines[-1] if lines else "no reason"
        skips[reason.removeprefix("SKIPPED: ")].append(test["name"])
        return Counts(0, 0, 1)
    if test["result"] == "OK":
        return Counts(1, 0, 0)
    failures.append(f"{test['name']}: {test['result']}")
    return Counts(0, 1, 0)


def main():
    build, base = pathlib.Path(sys.argv[1]), sys.argv[2]
    skips, failures = collections.defaultdict(list), []
    totals = Counts(0, 0, 0)
    log = build / "meson-logs" / f"{base}.json"
    for line in log.read_text().splitlines():
        test = json.loads(line)
        name = test["name"].split(" / ")[-1].split(":")[-1]
        report = build / f"{name}.xml"
        test["name"] = name
        counts = (gtest(report, skips, failures) if report.exists() else
                  unittest(test, skips, failures) or once(test, skips, failures))
        if test["result"] not in ("OK", "SKIP") and counts.failed == 0:  # a crash, a timeout
            failures.append(f"{name}: {test['result']}")
            counts = counts._replace(failed=1)
        if test["result"] == "OK":
            for figure in test.get("stdout", "").splitlines():
                if not FRAMEWORK.match(figure) and figure not in skips:
                    print(f"  {name}: {figure}")
        totals = Counts(*map(sum, zip(totals, counts)))
    for reason, names in sorted(skips.items()):
        print(f"  skipped {len(names)}: {reason}")
    for name in failures:
        print(f"  FAILED {name}")
    print(*totals)


main()
