"""What the tests of slotbellctl share: the program, and how to wait for it. fixtures_ctl.py has the databases."""

import base64
import hashlib
import json
import os
import pathlib
import select
import subprocess
import time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 30  # no wait of ours is longer; a wait that long has failed
ADA = "ada@example.com"


def program():
    folder = os.environ.get("SLOTBELL_BUILD", ROOT / "build/dev")
    return str(pathlib.Path(folder) / "slotbellctl")


class Ctl:
    """slotbellctl at one database."""

    def __init__(self, url, cluster, name):
        self.url, self.cluster, self.name = url, cluster, name

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "SLOTBELL"))}
        return {**kept, "TZ": "UTC", "SLOTBELLCTL_DATABASE_URL": self.url, **more}

    def run(self, *arguments, expect=0, env=None, **more):
        """Run to the end, and insist on the exit code. The result has stdout and stderr as text."""
        done = subprocess.run(
            [program(), *map(str, arguments)], env=self.environment(**(env or {})), timeout=SECONDS, check=False,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more},
        )  # fmt: skip
        assert done.returncode == expect, f"exit code {done.returncode}, not {expect}: {done.stderr}"
        return done

    def json(self, *arguments, **more):
        """The JSON lines that it prints, as a list."""
        return [json.loads(line) for line in self.run("--json", *arguments, **more).stdout.splitlines()]

    def start(self, *arguments, **more):
        return subprocess.Popen(
            [program(), *map(str, arguments)], env=self.environment(), stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more},
        )  # fmt: skip

    def connect(self, **more):
        return psycopg.connect(self.url, **{"autocommit": True, **more})

    def query(self, sql, *values):
        """Every row; or, of rows with one column, the values."""
        with self.connect() as connection:
            cursor = connection.execute(sql, values or None)
            rows = cursor.fetchall() if cursor.description else []
        return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows

    def enrol(self, mailbox=ADA, *arguments):
        return self.run("device", "enrol", mailbox, *arguments).stdout.strip()

    def publish(self, mailbox=ADA, *arguments, subject="Intro call"):
        return self.json("publish", mailbox, "--subject", subject, "--starts-at", "2026-11-24T09:00Z",
                         "--minutes", 30, *arguments)[0]  # fmt: skip

    def authenticate(self, token):
        """What the daemon would be told about this token: an outcome."""
        _, device, secret = token.split("_", 2)
        proof = hashlib.sha256(base64.urlsafe_b64decode(secret + "=")).digest()
        (outcome,) = self.query(
            "SELECT outcome FROM slotbell.authenticate(%s::bigint[], %s::bytea[], '{f}')", [int(device)], [proof]
        )
        return outcome


def wait_until(true, what):
    """Ask again and again, for what the other side gives no sign of: the longer it takes, the less often."""
    begun = time.monotonic()
    while not true():
        waited = time.monotonic() - begun
        assert waited < SECONDS, f"waited {SECONDS} s in vain: {what}"
        time.sleep(min(0.1, 0.01 + waited / 20))  # each look may be a new connection to PostgreSQL


def read_line(stream, seconds=SECONDS):
    """The next line of a process, soon. (Its pipe is unbuffered, so that select() knows what is there.)"""
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([stream], [], [], seconds)[0], f"no line within {seconds} s, only {line!r}"
        byte = os.read(stream.fileno(), 1)
        assert byte, f"the stream ended after {line!r}"
        line += byte
    return line.decode()
