"""A remedy taken out of a file in C: the unit test that guards it must fail then.

A remedy is a piece of text. The file without it is compiled as the build
compiles it, put before the library in the link of the unit test, and the test
is run.
"""

import functools
import json
import os
import pathlib
import re
import select
import subprocess
import time
from typing import NamedTuple

import pytest
from slotbelld import ROOT, built

BUILD = built(".").resolve()
SECONDS = 30
needs_ninja = pytest.mark.skipif(not os.access("/usr/bin/ninja", os.X_OK), reason="the build has no ninja to ask for its commands")


class Remedy(NamedTuple):
    file: str
    old: str
    new: str
    program: str
    case: str


def compile_command(file):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"] == str(ROOT / file):
            return entry["command"]
    raise AssertionError(f"the build compiles no {file}")


def link_command(program):
    commands = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", f"tests/{program}"],
                              check=True, capture_output=True, text=True).stdout  # fmt: skip
    return commands.strip().splitlines()[-1]


def build_without(remedy, folder):
    source = (ROOT / remedy.file).read_text()
    assert source.count(remedy.old) == 1, f"{remedy.file} has {source.count(remedy.old)} times {remedy.old!r}"
    crippled, program = folder / pathlib.Path(remedy.file).name, folder / remedy.program
    crippled.write_text(source.replace(remedy.old, remedy.new))
    command = compile_command(remedy.file)
    command = re.sub(r" -o \S+ -c \S+$", f" -w -o {crippled}.o -c {crippled}", command)
    subprocess.run(command, shell=True, check=True, cwd=BUILD)
    command = link_command(remedy.program)
    command = command.replace(f" -o tests/{remedy.program} ", f" {crippled}.o -o {program} ")
    subprocess.run(command, shell=True, check=True, cwd=BUILD)
    return program


def verdict(program, case):
    """What became of one case: "ok", "failed" (or the program died or hung in it), "" when it is not there."""
    ours, theirs = os.openpty()  # on a terminal its lines come as they are written: what follows the case need not run
    run = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    output, end = "", time.monotonic() + SECONDS
    try:
        while not re.search(rf"\[[^]]*(OK|FAILED)[^]]*\] {case}\b", output):
            if not select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
                break
            output += os.read(ours, 65536).decode(errors="replace")
    except OSError:
        pass  # the terminal's other end is closed: the program is done
    finally:
        run.kill()
        run.wait()
        os.close(ours)
    if re.search(rf"\[ +OK \] {case}\b", output):
        return "ok"
    return "failed" if re.search(rf"\[ RUN +\] {case}\b", output) else ""


@functools.cache
def passes(program, case):
    """As it was built, with all its remedies."""
    return verdict(BUILD / "tests" / program, case) == "ok"


def assert_guarded(remedy, folder):
    """With it the case passes, without it it does not."""
    assert passes(remedy.program, remedy.case)
    assert verdict(build_without(remedy, folder), remedy.case) == "failed"
