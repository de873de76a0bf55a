"""Programs of ours with a piece of their source taken out, to show that a test notices.

The file is compiled as the build compiles it, and put before the libraries in
the link of the program: its code is then the program's, the library's is not.
"""

import json
import re
import subprocess
from typing import NamedTuple

from slotbelld import ROOT, built

BUILD = built(".").resolve()


class Remedy(NamedTuple):
    """What stands in a file against a race or a trap, and what would stand there without it."""

    file: str
    old: str
    new: str


def compile_command(file):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"] == str(ROOT / file):
            return entry["command"]
    raise AssertionError(f"the build compiles no {file}")


def link_command(target):
    commands = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", target],
                              check=True, capture_output=True, text=True).stdout  # fmt: skip
    return commands.strip().splitlines()[-1]


def build_without(remedy, target, folder):
    """The program `target` (as ninja calls it) without the remedy, in `folder`: its path."""
    file = remedy.file
    source = (ROOT / file).read_text()
    assert source.count(remedy.old) == 1, f"{file} has {source.count(remedy.old)} times {remedy.old!r}"
    crippled, program = folder / file.replace("/", "-"), folder / target.rpartition("/")[2]
    crippled.write_text(source.replace(remedy.old, remedy.new))
    compiling, found = re.subn(r" -o \S+ -c \S+$", f" -w -o {crippled}.o -c {crippled}", compile_command(file))
    assert found, "the compiler's command is not as it was"
    subprocess.run(compiling, shell=True, check=True, cwd=BUILD)
    linking, found = re.subn(rf" -o {target} ", f" {crippled}.o -o {program} ", link_command(target))
    assert found, "the linker's command is not as it was"
    subprocess.run(linking, shell=True, check=True, cwd=BUILD)
    return program
