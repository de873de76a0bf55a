"""A remedy taken out of a file in C: the unit test that guards it must fail then.

A remedy is a piece of text; crippled.py builds the unit test without it, and the
test is run.
"""

import functools
import os
import re
import select
import subprocess
import time
from typing import NamedTuple

import pytest
from crippled import BUILD, build_without

SECONDS = 30
needs_ninja = pytest.mark.skipif(not os.access("/usr/bin/ninja", os.X_OK), reason="the build has no ninja to ask for its commands")


class Remedy(NamedTuple):
    file: str
    old: str
    new: str
    program: str
    case: str


def verdict(program, case):
    """What became of one case: "ok", "failed" (or the program died or hung in it), "" when it is not there."""
    ours, theirs = os.openpty()  # on a terminal its lines come as they are written: what follows the case need not run
    # Nor need it look for leaks: it may be killed at once, and without its remedy what it leaks is no finding.
    environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    run = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
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
    assert verdict(build_without(remedy, f"tests/{remedy.program}", folder), remedy.case) == "failed"
