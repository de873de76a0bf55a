"""slotbellctl doctor as an operator runs it: at a house with a daemon that lacks nothing."""

import json
import os
import pathlib
import re
import secrets
import subprocess
import tempfile

from ctl_support import program
from doctor_checks import CHECKS
from slotbelld import free_port

SECONDS = 120  # eighteen checks, each of which may take its time on a busy machine


class Patient:
    """A house, its daemon, and doctor's look at both."""

    def __init__(self, house, folder, socket_folder):
        self.house = house
        self.tickets = folder / "tickets"
        self.tickets.write_bytes(secrets.token_bytes(160))
        self.tickets.chmod(0o640)
        self.settings = {"control__socket": pathlib.Path(socket_folder) / "control.sock", "tls__ticket_keys": self.tickets,
                         "listen__admin": f"127.0.0.1:{free_port()}"}  # fmt: skip
        self.daemon = None

    def start(self, prefix=(), **settings):
        self.daemon = self.house.daemon(prefix=prefix, **{**self.settings, **settings})
        return self.daemon

    def written(self):
        """A configuration that no daemon was started with."""
        self.daemon = self.house.daemon(start=False, **self.settings)
        self.daemon.configure()
        return self.daemon

    def command(self, *options, admin=True, known=None):
        words = [known or program(), "doctor", "--config", str(self.daemon.config), "--ca", str(self.daemon.ca), *map(str, options)]
        return words + (["--database", self.house.ctl.url] if admin else [])

    def run(self, *options, expect=0, env=None, **more):
        """What it prints."""
        environment = {key: value for key, value in self.house.ctl.environment().items() if key != "SLOTBELLCTL_DATABASE_URL"}
        done = subprocess.run(self.command(*options, **more), env={**environment, **(env or {})}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=SECONDS)  # fmt: skip
        assert done.returncode == expect, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def look(self, *options, expect=0, **more):
        """Each check's finding, by its name; every check must be there, in order."""
        lines = [json.loads(line) for line in self.run("--json", *options, expect=expect, **more).stdout.splitlines()]
        assert [line["check"] for line in lines] == CHECKS
        for line in lines:
            assert set(line) == {"check", "result", "seen", "advice", "ms"} and line["seen"], line
            assert line["advice"] or line["result"] in ("ok", "not checked"), f"no advice: {line}"
        return {line["check"]: line for line in lines}

    def red(self, *options, **more):
        """The names of those that failed, and all findings."""
        found = self.look(*options, expect=1, **more)
        return {name for name, finding in found.items() if finding["result"] == "fail"}, found

    def leftovers(self):
        """Rows of canaries, in any table that could have one."""
        return self.house.ctl.query(
            "SELECT (SELECT count(*) FROM slotbell.mailbox WHERE address LIKE 'canary%') + (SELECT count(*) FROM slotbell.device"
            " WHERE label = 'slotbellctl doctor') + (SELECT count(*) FROM slotbell.event WHERE uid = 'doctor@slotbell')"
            " + (SELECT count(*) FROM slotbell.receipt WHERE uid = 'doctor@slotbell')"
            " + (SELECT count(*) FROM slotbell.booking_state WHERE uid = 'doctor@slotbell')"
        )[0]


def socket_folder():
    """A folder whose path is short enough for a socket's."""
    return tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp")


def clock_program():
    return str(pathlib.Path(program()).parent / "tests/ctl_clock")


def is_root():
    return os.geteuid() == 0


def line_of(text, check):
    """The line of a check, as people are shown it."""
    (line,) = re.findall(rf"^(?:ok|warn|fail|-) +{re.escape(check)} .*$", text, re.M)
    return line
