"""Runs one command to its end, its deadline or Ctrl-C, and leaves nothing behind.

The runner adopts orphans (PR_SET_CHILD_SUBREAPER), so a daemon or a PostgreSQL
that a test forgot to stop is found when its stage ends: it is named, and ended.
"""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children(parent):
    """(pid, name) of the live children of a process, from /proc."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            state, ppid = rest.split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append((int(entry), name))
    return found


def _reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _gone(patience):
    """Waits until no adopted process is left; what is left after `patience` seconds is returned."""
    deadline = time.monotonic() + patience
    while True:
        _reap()
        left = _children(os.getpid())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)  # nobody tells us of a grandchild's end but wait(), which we ask


def end_orphans(patience=5):
    """Ends what outlived its stage; returns the names of what had to be ended."""
    left = _gone(patience)
    names = sorted({name for _, name in left})
    # PostgreSQL takes SIGTERM for "when your clients have left" and SIGINT for "now".
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        # Their children come to us when they end, so look again each time.
        for pid, _ in _children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        if not _gone(2):
            break
    return names


def run(command, environment, folder, log, seconds, on_line, on_tick):
    """Runs the command with its output in `log` and, line by line, in on_line(line).

    on_tick() comes about five times a second. Returns the exit code, or None
    when the command was ended for taking longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    rest = b""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                on_tick()
                if not selector.select(0.2):
                    # A forgotten daemon may hold the pipe open for ever.
                    if process.poll() is not None:
                        break
                    continue
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                log.write(chunk)
                log.flush()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    on_line(line.decode("utf-8", "replace").rstrip("\r"))
        if rest:
            on_line(rest.decode("utf-8", "replace"))
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)
        process.stdout.close()


def _end_group(process):
    """SIGTERM, so that pytest and demo can tidy up, then SIGKILL, to the command's process group."""
    for signal_number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
