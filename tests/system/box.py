"""A booted systemd of its own for tests, on any machine where they run as root.

    with Box("units") as box:                     # about two seconds
        box.install(ROOT / "build")               # what `cmake --install` puts there, or: box.install_packages(*debs)
        box.run("systemctl start slotbelld")      # a shell's words, in the box, as root
        box.wait_state("slotbelld.service", "active")
        box.path("/etc/slotbell/x").write_text()  # the box's files, from outside
        box.inside(function)                      # a function of the test's, in the box's network: sockets that it makes are there
        box.journal("slotbelld.service")          # entries as dictionaries

It is systemd-nspawn over an overlay of the machine's own root: the same
programs, its own processes, network, users' changes and journal, nothing of
which outlives it. Nothing that the machine has enabled starts in it, only
basic.target. A box costs seconds, so one boot serves many checks: `box` in
conftest.py is one for a whole module.

`missing()` says what a machine lacks for it, in words for the summary.
What is not in force in a box in a container though systemd accepts it:
MemoryMax, TasksMax, SocketBindDeny, and LimitNOFILE above the machine's own.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 60  # for anything that is waited for; an error, never a delay
CLONE_NEWNET = 0x40000000

# In a mount and a process namespace of its own, so that nothing stays mounted and nothing goes on running, however it
# ends. It waits for a line before it boots.
# $1: where the box's own files go, $2: the FIFO that the box says "up" into, $3: the machine's name, then nspawn's words.
PREPARE = """
set -e
work=$1 signal=$2 name=$3; shift 3
mount -t tmpfs -o size=2g slotbell-box "$work"
mkdir "$work/up" "$work/work" "$work/root" "$work/nspawn" "$work/out"
mount -t overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/work" slotbell-box "$work/root"
mkdir -p /run/systemd/nspawn
mount --bind "$work/nspawn" /run/systemd/nspawn
mkfifo "$work/out/up"
echo ready >"$signal"
read -r line
[ "$line" = boot ]
exec systemd-nspawn -q --boot --register=no --keep-unit --private-network --system-call-filter='bpf @keyring' \\
	--console=read-only -D "$work/root" -M "$name" --bind="$work/out:/box" "$@" \\
	systemd.unit=box.target systemd.show_status=0 systemd.log_color=0 </dev/null
"""

BOX_TARGET = """[Unit]
Description=A box for tests
Requires=basic.target
After=basic.target
Wants=box-up.service
AllowIsolate=yes
"""
BOX_UP = """[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo up >/box/up'
[Unit]
After=basic.target
"""
JOURNALD = "[Journal]\nStorage=volatile\nRateLimitBurst=0\nForwardToSyslog=no\n"

_numbers = itertools.count(1)


class BoxError(Exception):
    """A box could not be made, or a command in it failed; the text has its words."""


def missing():
    """Why no box can be made here, in words; "" if nothing is known to be missing."""
    if os.geteuid() != 0:
        return "needs root, for systemd-nspawn"
    if not shutil.which("systemd-nspawn"):
        return "needs systemd-nspawn (package systemd-container)"
    if "overlay" not in pathlib.Path("/proc/filesystems").read_text(encoding="ascii"):
        return "needs overlayfs"
    if not _hierarchies():
        return "needs cgroups that can be written to"
    for folder in ("/usr", "/etc", "/var"):
        if os.path.ismount(folder):
            return f"needs {folder} on the root file system, for an overlay has one"
    return ""


def _hierarchies():
    """Where cgroups are made: version 2's tree, and beside it systemd's own where version 1 is there too."""
    top = pathlib.Path("/sys/fs/cgroup")
    folders = [top / "unified", top / "systemd"] if (top / "unified").is_dir() else [top]
    return folders if all((folder / "cgroup.procs").exists() and os.access(folder, os.W_OK) for folder in folders) else []


def _children(pid):
    return list(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


class Box:
    """One booted systemd. Use it in a `with`: it runs inside, and is gone with all its files after.

    name   for people, in files' names
    keep   a folder for its journal, kept (None: build/test/system)
    binds  folders of the machine, read-only at the same place in the box, where the root file system does not have them
    """

    def __init__(self, name="box", keep=None, binds=()):
        self.name = f"slotbell-{name.replace('_', '-')}-{os.getpid()}-{next(_numbers)}"  # as a host may be called
        self.keep = pathlib.Path(keep or ROOT / "build/test/system")
        self.journal_file = self.keep / f"{name}.journal"
        self.binds = binds
        self.leader = None  # the process that is number 1 in the box, as this machine numbers it
        self._process = self._work = self._supervisor = None
        self._groups = []

    # ---- life ----

    def __enter__(self):
        why = missing()
        if why:
            raise BoxError(why)
        try:
            self._prepare()
            self._set_up_tree()
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _prepare(self):
        self.keep.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._work = pathlib.Path("/run") / self.name
        self._work.mkdir()
        self._groups = [folder / self.name for folder in _hierarchies()]
        for group in self._groups:
            group.mkdir()
        here, there = os.pipe()
        enter = "for group in $GROUPS_OF_BOX; do echo $$ >$group/cgroup.procs; done; exec \"$@\""
        binds = [f"--bind-ro={folder}" for folder in self.binds]
        with open(self.journal_file.with_suffix(".console"), "wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", enter, "sh",
                 "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "sh", "-c", PREPARE, "sh",
                 str(self._work), f"/proc/self/fd/{there}", self.name, *binds],
                stdin=subprocess.PIPE, stdout=console, stderr=console, pass_fds=[there], start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                     "GROUPS_OF_BOX": " ".join(map(str, self._groups))})  # fmt: skip
        os.close(there)
        with open(here, "rb", buffering=0) as pipe:
            self._wait_line(pipe, "its overlay cannot be mounted")
        self._supervisor = _children(self._process.pid)[0]

    def _sweep(self):
        """What boxes left whose makers were killed: empty folders."""
        for folder in [pathlib.Path("/run"), *_hierarchies()]:
            for left in folder.glob("slotbell-*-*"):
                if left.is_dir() and not pathlib.Path("/proc", left.name.split("-")[-2]).exists():
                    self._remove_group(left)

    def _wait_line(self, file, problem):
        end = os.pidfd_open(self._process.pid)
        try:
            ready = select.select([file, end], [], [], SECONDS)[0]
        finally:
            os.close(end)
        if file not in ready or not file.read(16):
            raise BoxError(f"{problem}; see {self.journal_file.with_suffix('.console')}")

    def _set_up_tree(self):
        """Before it boots: nothing of the machine's own may start, nor be known to be the same machine."""
        etc = self.path("/etc")
        for folder in ("systemd/system", "systemd/network", "postgresql", "credstore"):
            shutil.rmtree(etc / folder, ignore_errors=True)
            (etc / folder).mkdir(parents=True)
        for folder in ("/var/lib/postgresql", "/etc/slotbell"):
            shutil.rmtree(self.path(folder), ignore_errors=True)
        for name in ("fstab", "crypttab", "machine-id"):
            (etc / name).write_text("")
        self.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)  # packages start their services here
        (etc / "systemd/journald.conf.d").mkdir(exist_ok=True)
        (etc / "systemd/journald.conf.d/box.conf").write_text(JOURNALD)
        (etc / "systemd/system/box.target").write_text(BOX_TARGET)
        (etc / "systemd/system/box-up.service").write_text(BOX_UP)

    def _boot(self):
        out = pathlib.Path(f"/proc/{self._supervisor}/root{self._work}/out/up")
        up = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
        with open(up, "rb", buffering=0) as pipe:
            self._process.stdin.write(b"boot\n")
            self._process.stdin.close()
            self._wait_line(pipe, "it does not boot")
        self.leader = self._find_leader()

    def _find_leader(self):
        """The process that is number 1 in the box."""
        pids = _children(self._supervisor)
        while pids:
            pid = pids.pop()
            status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            if next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1] == "1":
                return pid
            pids += _children(pid)
        raise BoxError("no systemd is found in the box")

    def close(self):
        """Keeps the journal, and ends it all at once. Can be called twice."""
        if self.leader:
            with contextlib.suppress(BoxError, OSError), open(self.journal_file, "w", encoding="utf-8") as file:
                file.write(self.run("journalctl -o short-precise --no-pager", check=False))
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
        self.leader = self._supervisor = self._process = None
        for group in self._groups:
            self._remove_group(group)
        self._groups = []
        if self._work:
            with contextlib.suppress(OSError):
                self._work.rmdir()
        self._work = None

    def _remove_group(self, group):
        """A cgroup goes when its processes have, a moment after they were killed."""
        deadline = time.monotonic() + SECONDS
        while group.exists():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                raise BoxError(f"processes are left in {group}")
            time.sleep(0.01)  # nobody tells of an empty cgroup

    # ---- files ----

    def path(self, inside):
        """A file or folder of the box, as this machine sees it, before and after the boot."""
        top = f"/proc/{self.leader}/root" if self.leader else f"/proc/{self._supervisor}/root{self._work}/root"
        return pathlib.Path(top + inside)

    def write(self, inside, text, mode=0o644, owner=None):
        """A file with its folders. owner: "user:group", names of the box."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owner:
            self.run(f"chown {owner} {inside}")

    def install(self, build, prefix="/usr"):
        """What `cmake --install` of this build folder installs, and what a package's scripts would do then."""
        subprocess.run(["cmake", "--install", str(build), "--prefix", prefix], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(self.path("/")).rstrip("/")})
        if self.leader:
            self.run("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload")

    def install_packages(self, *debs, options=()):
        """.deb files of this machine, by dpkg in the box. What it says."""
        names = []
        for deb in debs:
            shutil.copy(deb, self.path(f"/tmp/{pathlib.Path(deb).name}"))
            names.append(f"/tmp/{pathlib.Path(deb).name}")
        return self.run(["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *options, "--install", *names], seconds=120)

    # ---- processes ----

    def command(self, words):
        """The words that run `words` (a list, or a string for a shell) in the box."""
        words = ["sh", "-c", words] if isinstance(words, str) else list(map(str, words))
        return ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                "--root", "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
                "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", *words]  # fmt: skip

    def run(self, words, check=True, stdin="", seconds=SECONDS):
        """What the command prints, both streams. BoxError if it fails, unless check is off."""
        return self.result(words, check, stdin, seconds).stdout

    def result(self, words, check=False, stdin="", seconds=SECONDS):
        """The same, with its `returncode`."""
        done = subprocess.run(self.command(words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds, check=False)
        if check and done.returncode:
            raise BoxError(f"{words} ended with {done.returncode}: {done.stdout.strip()}")
        return done

    def inside(self, function, *arguments):
        """Calls it in a thread that is in the box's network. Only its sockets are there; its files are this machine's."""
        outcome = []

        def body():
            try:
                with open(f"/proc/{self.leader}/ns/net", "rb") as network:
                    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                        raise BoxError(f"setns: {os.strerror(ctypes.get_errno())}")
                outcome.append((function(*arguments), None))
            except BaseException as error:  # handed over to the caller, whatever it is
                outcome.append((None, error))

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        result, error = outcome[0]
        if error:
            raise error
        return result

    # ---- systemd ----

    def show(self, unit, *properties):
        """Properties of a unit, as systemctl show has them: one as a string, several as a dictionary."""
        text = self.run(["systemctl", "show", unit, *(f"--property={name}" for name in properties)])
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        return found[properties[0]] if len(properties) == 1 else found

    def wait(self, found, what, seconds=SECONDS):
        """Until found() is true, which is returned: for what nobody tells of."""
        deadline = time.monotonic() + seconds
        while True:
            value = found()
            if value:
                return value
            if time.monotonic() > deadline:
                raise BoxError(f"not within {seconds} s: {what}; see {self.journal_file}")
            time.sleep(0.05)

    def wait_state(self, unit, state, seconds=SECONDS):
        self.wait(lambda: self.show(unit, "ActiveState") == state, f"{unit} is {state}", seconds)

    def cursor(self):
        """Where the journal ends now: for `after`."""
        self.run("journalctl --sync")
        return json.loads(self.run("journalctl -n 1 -o json"))["__CURSOR"]

    def journal(self, unit=None, after=None):
        """Its entries, each a dictionary of its fields: what a unit said, and what systemd said of it."""
        self.run("journalctl --sync")
        text = self.run(["journalctl", "-q", "-o", "json", "--all", *([f"--after-cursor={after}"] if after else [])])
        entries = [json.loads(line) for line in text.splitlines()]
        # Not by --unit: journalctl 252 leaves the first one out where the cursor's own entry is another unit's.
        return [entry for entry in entries if not unit or unit in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT"))]

    def wait_journal(self, words, unit=None, after=None, seconds=SECONDS):
        """Until a message has these words; its entry."""
        def found():
            return next((entry for entry in self.journal(unit, after) if words in str(entry.get("MESSAGE"))), None)
        return self.wait(found, f"{words!r} in the journal of {unit or 'the box'}", seconds)
