"""The programs of the release before this one, built from the history of this repository.

A daemon works with its own version of the schema and with the next one, so the
daemon of before is run against the schema of now (test_rollback.py).
"""

import fcntl
import io
import os
import pathlib
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = "0.1.0"
COMMIT = "09dd70af379631972a72b2516e6f5aaf3aeabda7"  # RELEASE
SCHEMA = 8  # its version of the schema
FOLDER = ROOT / "build/before" / COMMIT


class NoHistory(Exception):
    """This clone does not have the commit: it is shallow, or an archive."""


def git(*arguments):
    # Git's own variables name another repository where the tests run from a hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(["git", "-C", ROOT, *arguments], check=False, capture_output=True, env=environment)


def build():
    archive = git("archive", "--format=tar", COMMIT)
    if archive.returncode != 0:
        raise NoHistory(f"not done: this clone has no commit {COMMIT[:12]} ({RELEASE}); git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(FOLDER)
    made = subprocess.run([FOLDER / "tests/lib/build", "release", "slotbelld", "slotbellctl"],
                          check=False, capture_output=True, text=True)
    assert made.returncode == 0, f"the daemon of {RELEASE} does not build:\n{made.stdout}{made.stderr}"


def programs():
    """Builds slotbelld and slotbellctl of that release, once, and returns their folder. NoHistory: cannot be built."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several files may ask at the same time
        done = FOLDER / "done"
        if not done.exists():
            build()
            done.touch()
    return FOLDER / "build"
