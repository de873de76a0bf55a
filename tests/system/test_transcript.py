"""docs/transcript.md, typed as an operator would: what comes back has to be what stands there.

SLOTBELL_WRITE=1 writes the page anew with what came back, to be read before it is committed.
"""

import os
import pathlib
import re
import shlex

from box import ROOT
from host import deb
from slotbelld import certificate

PAGE = ROOT / "docs/transcript.md"
BLOCK = re.compile(r"^```\n(# .*?)^```$", re.M | re.S)
# What is of the day, and how wide it makes a column.
OF_THE_DAY = [(re.compile(pattern), word) for pattern, word in (
    (r"\b[0-9a-f]{8}\b(?=[-.])", "x"), (r"(?<!\[exit code )(?<!\d)\d+(\.\d+)?", "1"), (r"\b1 (ms|s|min)\b", "1 s"), (r"[ \t]+", " "))]


def plain(text):
    for pattern, word in OF_THE_DAY:
        text = pattern.sub(word, text)
    return text


def commands(block):
    """[(command, what came back)]"""
    found = re.split(r"^# ", block, flags=re.M)[1:]
    return [(command, answer) for command, _, answer in (part.partition("\n") for part in found)]


class Shell:
    """One operator's: what is exported stays."""

    def __init__(self, host):
        self.host, self.exported = host, []

    def type(self, command):
        if command.startswith("export "):
            self.exported.append(command)
            return ""
        script = "; ".join(["cd /root", *self.exported, command])
        done = self.host.box.result(f"sh -c {shlex.quote(script)} 2>&1")
        return done.stdout + (f"[exit code {done.returncode}]\n" if done.returncode else "")

    def settle(self, command):
        """The command before has an effect that the next one is about: wait for that, as a person would."""
        if command.startswith(("systemctl start", "systemctl restart")):
            self.host.box.wait(lambda: "database up" in self.host.box.run("systemctl show --property=StatusText slotbelld"),
                               "the database is there")
        elif command == "slotbellctl drain":
            self.host.box.wait_state("slotbelld.service", "inactive")


def prepare(host, tmp_path):
    host.let_root_operate()
    host.box.install_packages(deb("slotbell-plugin"))
    host.configure(sessions__max=1000)
    renewed = certificate(tmp_path / "renewed")
    # Each pair of the tests has an authority of its own; an operator's has one.
    host.box.write("/root/ca.pem", host.ca.read_text() + (renewed / "ca.pem").read_text())
    for kind in ("pem", "key"):
        host.box.write(f"/root/renewed.{kind}", (renewed / f"server.{kind}").read_text())
    host.box.run("rm -rf /root/calendar /root/token")


def test_the_transcript_is_what_happens(host, tmp_path):
    prepare(host, tmp_path)
    shell, page, found = Shell(host), PAGE.read_text(), []

    def typed(block):
        lines = []
        for command, told in commands(block.group(1)):
            came = shell.type(command)
            shell.settle(command)
            found.append((command, plain(told), plain(came)))
            lines.append(f"# {command}\n{came}")
        return f"```\n{''.join(lines)}```"

    written = BLOCK.sub(typed, page)
    if os.environ.get("SLOTBELL_WRITE"):
        pathlib.Path(PAGE).write_text(written)
        return
    assert len(found) > 20, "the page's blocks are not found"
    for command, told, came in found:
        assert came == told, command
