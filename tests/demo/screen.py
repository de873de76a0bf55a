"""The demo's page: a timeline that a person likes to watch, on any terminal.

Colours only on a terminal and without NO_COLOR; arrows only where the encoding
has them; every row fits the width. A row that waits is written at once and
completed in place on a terminal; elsewhere it is written when it is complete.
"""

import os
import shutil
import sys
import time

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
# The columns of the timeline beside the subject, each with the space after it.
CLOCK, WHO, WHEN, STATE = 10, 7, 14, 31
SUBJECT_MIN = 12


class Screen:
    def __init__(self, out=sys.stdout, width=None):
        self.out = out
        self.live = out.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.live and not os.environ.get("NO_COLOR")
        unicode = (getattr(out, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"
        self.arrow, self.tick, self.cross, self.dots = ("→", "✓", "✗", "…") if unicode else ("->", "ok", "NO", "...")
        self.fixed_width = width
        self._open = False  # the last line is a row that may be completed

    @property
    def width(self):
        if self.fixed_width:
            return self.fixed_width
        return max(20, shutil.get_terminal_size((100, 24)).columns - 1) if self.live else 100

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def clip(self, text, width):
        """The text in at most `width` columns."""
        return text if len(text) <= width else text[: max(0, width - len(self.dots))] + self.dots

    def _write(self, text):
        self.out.write(text)
        self.out.flush()

    def close_row(self):
        """From here on the last row stays as it is."""
        if self._open:
            self._write("\n")
            self._open = False

    def say(self, text="", code=None):
        """A line, wrapped at words. Indented lines keep their indent."""
        self.close_row()
        indent = text[: len(text) - len(text.lstrip())]
        line = indent
        for word in text.split():
            if len(line) + len(word) > self.width and line.strip():
                self._write(self.paint(code, line.rstrip()) + "\n" if code else line.rstrip() + "\n")
                line = indent
            line += word + " "
        line = line.rstrip()
        self._write((self.paint(code, line) if code and line else line) + "\n")

    def raw(self, text):
        """A line to copy, as it is, however long."""
        self.close_row()
        self._write(text + "\n")

    def heading(self, text):
        self.say()
        self.say(text, BOLD)

    def step(self, what, done=None):
        """A step of setting up: first what is being done, then what came of it."""
        if done is None:
            if self.live:
                self._write(self.clip(f"  {self.dots:<2} {what}", self.width))
                self._open = True
            return
        if self._open:
            self._write("\r\033[K")
            self._open = False
        mark = self.paint(GREEN, f"{self.tick:<2}")
        self._write(f"  {mark} {what:<14} {self.clip(done, max(8, self.width - 20))}\n")

    def check(self, held, words):
        self.close_row()
        mark = self.paint(GREEN, f"{self.tick:<2}") if held else self.paint("1;31", f"{self.cross:<2}")
        self.say_marked(mark, words)

    def say_marked(self, mark, words):
        """Words wrapped beside a mark."""
        lines, line = [], ""
        for word in words.split():
            if line and len(line) + 1 + len(word) > self.width - 5:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        for number, text in enumerate([*lines, line]):
            self._write(f"  {mark if number == 0 else '  '} {text}\n")

    def row(self, who, subject, when, word, rest=None, colour=GREEN):
        """One line of the timeline: time, calendar, meeting, "booked → in Outlook 3.2 ms".

        rest None: what follows is awaited, and the next row of the same meeting completes this one.
        """
        if rest is None and not self.live:
            return
        if self._open:
            self._write("\r\033[K")
            self._open = False
        clock = time.strftime("%H:%M:%S")
        state = f"{word:>9} {self.arrow} {rest}" if rest else f"{word:>9} {self.dots}"
        shown = f"{word:>9} {self.paint(DIM, self.arrow)} {self.paint(colour, rest)}" if rest else self.paint(DIM, state)
        room = self.width - CLOCK - WHO - STATE
        if room - WHEN >= SUBJECT_MIN:
            room = min(room - WHEN, 40)
            left = f"{clock}  {who:<6} {self.clip(subject, room - 1):<{room}}{when:<{WHEN}}"
        elif room >= SUBJECT_MIN:
            left = f"{clock}  {who:<6} {self.clip(subject, room - 1):<{room}}"
        else:
            # Too narrow for one line: the meeting above, what became of it below.
            if rest:
                self._write(self.clip(f"{clock} {who} {subject}", self.width) + "\n")
                self._write((shown if len(state) <= self.width else self.clip(state, self.width)) + "\n")
            return
        self._write(self.paint(DIM, left[:8]) + left[8:] + shown)
        if rest:
            self._write("\n")
        else:
            self._open = True


def milliseconds(value):
    """3.2 ms, 41 ms, 2.3 s: three figures at the most."""
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"
