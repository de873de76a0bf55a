"""journald, as far as a client of its protocol can tell: a socket where it is, seen by one daemon alone.

The daemon gets a /run of its own, which takes root. So the machine's own
journal, if there is one, hears nothing.
"""

import json
import os
import pathlib
import socket
import subprocess
import threading

from ctl_support import wait_until

# stderr leads to the journal if JOURNAL_STREAM says where it leads: true of any file.
SCRIPT = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$1" /run/systemd/journal
shift
JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) exec "$@"
"""

# The real one, alone: it ends with the process that the shell becomes.
REAL_SCRIPT = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal
setpriv --pdeathsig KILL -- /lib/systemd/systemd-journald 2>/dev/null &
until [ -S /run/systemd/journal/socket ]; do sleep 0.02; done
JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) exec "$@"
"""
REAL_PREFIX = ("unshare", "-m", "--propagation", "private", "sh", "-ec", REAL_SCRIPT, "sh")


# The real one outlives the daemon here, is slow at first, as on a busy machine, and what it knows is written to a file.
AFTERWARDS_SCRIPT = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal
setpriv --pdeathsig KILL -- /lib/systemd/systemd-journald 2>/dev/null &
journald=$!
until [ -S /run/systemd/journal/socket ]; do sleep 0.02; done
kill -STOP $journald
(sleep 0.7; kill -CONT $journald) &
out=$1; shift
JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) "$@" || code=$?
journalctl --sync; journalctl --no-pager -o json >"$out"
exit ${code:-0}
"""


def afterwards(file):
    """A prefix: what the real journal has when the daemon has ended."""
    return ("unshare", "-m", "--propagation", "private", "sh", "-ec", AFTERWARDS_SCRIPT, "sh", str(file))


def journalctl(daemon, *words):
    """What the real journal of this daemon says to these words, as dicts."""
    command = ["nsenter", "-t", str(daemon.pid), "-m", "journalctl", "--no-pager", "-o", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not done.stderr and done.returncode in (0, 1), done.stderr  # 1: it has none
    return [json.loads(line) for line in done.stdout.splitlines()]


def can():
    """Whether a daemon can have such a journal here."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "-m", "--propagation", "private", "sh", "-c", "mount -t tmpfs none /run"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class Journal:
    """Entries are dicts of their fields. For a `with`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.prefix = ("unshare", "-m", "--propagation", "private", "sh", "-ec", SCRIPT, "sh", str(self.folder))
        self.entries, self.raw = [], []
        self._socket = None

    def __enter__(self):
        self.listen()
        self.read()
        return self

    def __exit__(self, *_):
        self.close()

    def listen(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.folder / "socket"))

    def read(self):
        """From here on what comes is taken."""
        threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()

    def close(self):
        if self._socket:
            self._socket.close()
            (self.folder / "socket").unlink(missing_ok=True)
            self._socket = None

    def _read(self, plain):
        try:
            while True:
                datagram = plain.recv(65536)
                self.raw.append(datagram)
                lines = datagram.decode().split("\n")
                assert lines.pop() == "", datagram
                self.entries.append(dict(line.split("=", 1) for line in lines))
        except OSError:
            pass  # it was closed

    def text(self):
        return b"".join(self.raw).decode()

    def of(self, event):
        return [entry for entry in list(self.entries) if entry["SLOTBELL_EVENT"] == event]

    def wait(self, event, count=1):
        """The latest one of this event, once there are so many."""
        wait_until(lambda: len(self.of(event)) >= count, f"{count} of {event!r} in the journal")
        return self.of(event)[-1]

    def fields(self):
        """The entries as the text log's lines would have them."""
        return [{name.removeprefix("SLOTBELL_").lower(): value for name, value in entry.items()} for entry in self.entries]
