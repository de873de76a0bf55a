"""A process of ours is closed to others of the same user: its memory holds tokens, bookings and passwords."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import pytest
from plugin_process import TOKEN
from slotbelld import ENVIRONMENT, built

SECRET = "sesame-of-this-test"
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def folder():
    """One that nobody may read."""
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@contextlib.contextmanager
def held(folder, name):
    """The program, as nobody, at its first wait for us: it opens a pipe, or connects."""
    program, server = folder / name, socket.create_server(("127.0.0.1", 0))
    shutil.copy(built(name), program)
    os.mkfifo(folder / "pipe")
    shutil.chown(folder / "pipe", "nobody")
    (folder / "token").write_text(TOKEN)
    (folder / "calendar").mkdir()
    shutil.chown(folder / "calendar", "nobody")
    address = f"127.0.0.1:{server.getsockname()[1]}"
    words = {
        "slotbelld": ["--config", folder / "pipe"], "slotbellctl": ["--database", f"postgresql://nobody@{address}/x", "device", "list"],
        "slotbell-plugin": ["--url", f"wss://{address}", "--token-file", folder / "token", "--calendar", folder / "calendar"]}[name]  # fmt: skip
    process = subprocess.Popen([*NOBODY, program, *map(str, words)], env=ENVIRONMENT | {"SECRET": SECRET}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd="/")  # fmt: skip
    try:
        with contextlib.ExitStack() as stack:
            server.settimeout(30)
            stack.enter_context(open(folder / "pipe", "w", encoding="ascii") if name == "slotbelld" else server.accept()[0])
            yield process.pid
    finally:
        process.kill()
        process.wait()
        server.close()


def read_by(words, pid):
    """Which of the process' files with secrets can be opened."""
    script = f"for name in environ mem auxv maps fd/0; do (: </proc/{pid}/$name) 2>/dev/null && echo $name; done; true"
    return subprocess.run([*words, "sh", "-c", script], check=True, capture_output=True, text=True, cwd="/").stdout.split()


@pytest.mark.parametrize("name", ["slotbelld", "slotbellctl", "slotbell-plugin"])
def test_another_process_of_the_same_user_cannot_look_inside(folder, name):
    with held(folder, name) as pid:
        assert read_by(NOBODY, pid) == []
        assert {"environ", "mem"} <= set(read_by([], pid))  # root still can
        assert SECRET in pathlib.Path(f"/proc/{pid}/environ").read_text(encoding="ascii")
        # What is not hidden can be read by it: the shell's own.
        assert "environ" in subprocess.run([*NOBODY, "sh", "-c", ": </proc/$$/environ && echo environ"], check=True,
                                           capture_output=True, text=True, cwd="/").stdout  # fmt: skip


@pytest.mark.parametrize("name", ["slotbelld", "slotbellctl", "slotbell-plugin"])
def test_the_look_for_leaks_still_works(folder, name):
    """LeakSanitizer traces the process that it is in; nothing is said by a build without it either."""
    shutil.copy(built(name), folder / name)
    done = subprocess.run([*NOBODY, folder / name, "--help"], env=ENVIRONMENT | {"ASAN_OPTIONS": "detect_leaks=1"}, capture_output=True,
                          text=True, check=False, cwd="/")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
