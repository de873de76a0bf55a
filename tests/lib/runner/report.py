"""What a person sees while the tests run, and what they are told at the end."""

import os
import shutil
import sys
import time

PROGRESS_SECONDS = 30  # a line so often where groups come side by side, for those who have no terminal


class Report:
    """Counts cases and shows them: a line per group, a passing line for the moment on a terminal."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.live = out.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ
        self.passed = 0
        self.failures = []  # (stage, name, note, log)
        self.not_done = []  # words
        self.stages = []  # (stage, passed, failed, seconds)
        self._moment = False

    def _paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def say(self, text=""):
        if self._moment:
            self.out.write("\r\033[K")
            self._moment = False
        self.out.write(text + "\n")
        self.out.flush()

    def moment(self):
        """The line that says what goes on right now; only a terminal can take it back."""
        seconds = time.monotonic() - self.start
        if not self.live:
            if self.groups is not None and seconds > self.progress:
                self.progress += PROGRESS_SECONDS
                self.say(f"  …     {self.count} passed so far, {seconds:.0f} s")
            return
        text = f"  … {self.group or self.stage}  {self.count} passed  {seconds:.0f} s"
        self.out.write("\r\033[K" + text[: shutil.get_terminal_size().columns - 1])
        self.out.flush()
        self._moment = True

    def begin(self, stage, what, log, side_by_side=False):
        """side_by_side: cases of several groups come mingled; each has its line at the end."""
        self.stage, self.log, self.start = stage, log, time.monotonic()
        self.groups, self.progress = ({} if side_by_side else None), PROGRESS_SECONDS
        self.count, self.failed, self.group, self.group_count = 0, 0, "", 0
        self.say(f"{self._paint(1, stage)}: {what}")

    def case(self, case):
        if self.groups is not None and case.group:
            self.groups[case.group] = self.groups.get(case.group, 0) + (case.outcome == "pass")
        elif case.group != self.group:
            self._end_group()
            self.group = case.group
        name = case.name
        note = f": {case.note}" if case.note else ""
        if case.outcome == "pass":
            self.count += 1
            self.group_count += self.groups is None
            if not case.group:
                self.say(f"  {self._paint(32, 'ok')}    {name}{note}")
        elif case.outcome == "fail":
            self.fail(name, case.note)
        else:
            self.not_done.append(f"{self.stage} {name}{note}")
            if not case.group:
                self.say(f"  {self._paint(33, 'skip')}  {name}{note}")

    def _end_group(self):
        if self.group and self.group_count:
            self.say(f"  {self._paint(32, 'ok')}    {self.group}: {self.group_count}")
        self.group, self.group_count = "", 0

    def fail(self, name, note=""):
        self.failed += 1
        self.failures.append((self.stage, name, note, self.log))
        self.say(f"  {self._paint('1;31', 'FAIL')}  {name}{': ' + note if note else ''}")

    def end(self):
        self._end_group()
        for group, count in sorted((self.groups or {}).items()):
            self.say(f"  {self._paint(32, 'ok')}    {group}: {count}")
        seconds = time.monotonic() - self.start
        self.passed += self.count
        self.stages.append((self.stage, self.count, self.failed, seconds))
        if self.failed:
            self._excerpt()
        self.say(f"  {self.count} passed, {self.failed} failed, {seconds:.1f} s")
        self.say()

    def _excerpt(self, lines=60):
        """The end of a failed stage's log, for those who see nothing but this output."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                tail = file.read().splitlines()[-lines:]
        except OSError:
            return
        self.say(f"  the last lines of {self.log}:")
        for line in tail:
            self.say("  | " + line)

    def summary(self):
        """The end of it all. Returns the exit code."""
        for stage, passed, failed, seconds in self.stages:
            mark = self._paint("1;31", "FAIL") if failed else self._paint(32, "ok  ")
            self.say(f"{mark}  {stage:<12} {passed:>5} passed {failed:>4} failed {seconds:>8.1f} s")
        if self.not_done:
            self.say("\nNot done on this machine:")
            for words in self.not_done:
                self.say(f"  {words}")
        if self.failures:
            self.say("\nFailed:")
            for stage, name, note, log in self.failures:
                self.say(f"  {stage} {name}{': ' + note if note else ''}  ({log})")
        self.say()
        self.say(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0
