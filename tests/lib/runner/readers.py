"""From a test program's lines to cases with outcomes.

A reader is fed line by line and returns what each line tells; finish() returns
what only the end can tell. It never decides how a stage ends: the runner does.
"""

import re
from typing import NamedTuple


class Case(NamedTuple):
    outcome: str  # "pass", "fail" or "skip"
    name: str
    group: str = ""  # shown as one line with its siblings; "": alone
    note: str = ""


class Lines:
    """`PASS stage name: words`, FAIL and SKIP alike, as lint, fuzz, the demo and pytest_lines.py print them."""

    LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) (\S+?):?(?: (.*))?$")

    def __init__(self, stage):
        self.stage = stage

    def feed(self, line):
        match = self.LINE.match(line)
        if not match or match.group(2) != self.stage:
            return []
        word, _, name, note = match.groups()
        group, colons, _ = name.partition("::")
        return [Case(word.lower(), name, group if colons else "", note or "")]

    def finish(self):
        return []


class Cmocka:
    """`ctest -V` over cmocka programs: cases are counted, not programs."""

    START = re.compile(r"\s+Start\s+(\d+): (\S+)")
    OUTPUT = re.compile(r"(\d+): \[\s*(OK|FAILED|SKIPPED|ERROR|=+)\s*\] (.*)$")
    RESULT = re.compile(r"\s*\d+/\d+ Test\s+#(\d+): (\S+) \.+\s*(Passed|\*\*\*.*?)\s+[\d.]+ sec")
    OUTCOMES = {"OK": "pass", "FAILED": "fail", "SKIPPED": "skip"}

    def __init__(self, _stage):
        self.programs = {}
        self.seen = set()  # cmocka lists what failed a second time at its end
        self.counts = {}
        self.failed = set()

    def feed(self, line):
        if match := self.START.match(line):
            self.programs[match.group(1)] = match.group(2)
            return []
        if match := self.OUTPUT.match(line):
            return self._case(*match.groups())
        if match := self.RESULT.match(line):
            return self._program(*match.groups())
        return []

    def _case(self, number, word, name):
        program = self.programs.get(number, number)
        if word.startswith("="):
            self.counts.setdefault(program, 0)
            return []
        if word not in self.OUTCOMES or re.search(r"\d+ test\(s\)", name):
            return []
        key = f"{program}::{name}"
        if key in self.seen:
            return []
        self.seen.add(key)
        self.counts[program] = self.counts.get(program, 0) + 1
        if word == "FAILED":
            self.failed.add(program)
        return [Case(self.OUTCOMES[word], key, program)]

    def _program(self, _number, program, result):
        if result != "Passed":
            if program in self.failed:
                return []
            return [Case("fail", program, program, result.strip("* "))]
        if program not in self.counts:
            return [Case("pass", program, program)]  # no cmocka program; its exit code is its word
        if self.counts[program] == 0:
            return [Case("fail", program, program, "has no case")]
        return []

    def finish(self):
        return []
