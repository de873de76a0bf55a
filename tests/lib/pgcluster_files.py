"""The files of a private PostgreSQL, and its programs run by the user that they must run as.

The lower half of pgcluster.py, which says what it is all for. Standard library only.
"""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

ROOT_RUNS_AS = "postgres"
# For clients at an address that is not loopback: those of a namespace's own networks.
NEIGHBOURS = "host all all samenet scram-sha-256\n"


class PgError(Exception):
    """PostgreSQL is not there, or did not do what was asked; the text says what and where the log is."""


def find_bin():
    """The folder with initdb and postgres: the newest Debian one, else PATH's."""
    found = [
        (int(path.split("/")[-2]), path)
        for path in glob.glob("/usr/lib/postgresql/*/bin")
        if path.split("/")[-2].isdigit() and os.access(f"{path}/postgres", os.X_OK)
    ]
    if found:
        return max(found)[1]
    on_path = shutil.which("postgres")
    if on_path:
        return os.path.dirname(os.path.realpath(on_path))
    raise PgError("no PostgreSQL server here: neither /usr/lib/postgresql/*/bin nor PATH has postgres")


def find_owner():
    """Who runs PostgreSQL: None for the caller, a passwd entry when the caller is root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ROOT_RUNS_AS)
    except KeyError:
        raise PgError(f"root cannot run PostgreSQL and there is no user {ROOT_RUNS_AS!r}") from None


class ClusterFiles:
    """One cluster's folders: the data, the socket's, and what is written into them."""

    def __init__(self, folder, prefix):
        self.bin = find_bin()
        self.temporary = folder is None
        self.folder = os.path.abspath(folder or tempfile.mkdtemp(prefix="sbpg-", dir="/tmp"))
        self.socket_dir = None
        self._prefix = list(prefix)
        self._owner = find_owner()
        self._elsewhere = None  # the data's temporary folder, when `folder` cannot be reached

    @property
    def data(self):
        return os.path.realpath(os.path.join(self.folder, "data"))  # resolved: PostgreSQL's user may not walk the link

    @property
    def log(self):
        return os.path.join(self.data, "server.log")

    def log_tail(self, lines=20):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    # ---- programs ----

    def _as_owner(self, *command):
        """The command as it must be run: where PostgreSQL is to be, and as the user that it must run as."""
        change = []
        if self._owner:
            change = ["setpriv", f"--reuid={self._owner.pw_uid}", f"--regid={self._owner.pw_gid}", "--clear-groups", "--"]
        return [*self._prefix, *change, *command]

    def _run(self, program, *arguments):
        """Run one of PostgreSQL's programs."""
        # A file, not a pipe: the server that pg_ctl starts keeps it open and would hold a pipe's reader.
        with tempfile.TemporaryFile() as output:
            run = subprocess.run(
                self._as_owner(f"{self.bin}/{program}", *arguments), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, cwd="/", check=False, env=self._environment(),
            )  # fmt: skip
            if run.returncode:
                output.seek(0)
                words = output.read().decode(errors="replace").strip()
                raise PgError(f"{program} failed with {run.returncode}: {words}")

    @staticmethod
    def _environment():
        """The caller's environment without what would steer libpq elsewhere."""
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}

    # ---- folders ----

    def _give(self, path):
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _reachable(self):
        """May PostgreSQL's user walk down to the folder? What does not exist yet will be ours and is not asked."""
        probe = self.folder
        while not os.path.isdir(probe):
            probe = os.path.dirname(probe)
        return subprocess.run(self._as_owner("/usr/bin/test", "-x", probe), cwd="/", check=False).returncode == 0

    def _make_data_folder(self):
        os.makedirs(self.folder, exist_ok=True)
        if self.temporary:
            self._give(self.folder)
        if self._owner and not self._reachable():
            self._elsewhere = tempfile.mkdtemp(prefix="sbpg-", dir="/tmp")
            self._give(self._elsewhere)
            target = os.path.join(self._elsewhere, "data")
            os.mkdir(target, 0o700)
            self._give(target)
            link = os.path.join(self.folder, "data")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(target, link)
            print(
                f"pgcluster: user {ROOT_RUNS_AS} cannot get into {self.folder}: the data is in {target}",
                file=sys.stderr,
            )
            return
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        self._give(self.data)

    def _make_socket_dir(self):
        """A short path: a socket's address has room for 107 bytes, and build folders lie deep."""
        if self.socket_dir and os.path.isdir(self.socket_dir):
            return
        self.socket_dir = tempfile.mkdtemp(prefix="sbpg-s-", dir="/tmp")
        self._give(self.socket_dir)

    def _drop_folders(self):
        if self.socket_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)
            self.socket_dir = None
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._elsewhere:
                shutil.rmtree(self._elsewhere, ignore_errors=True)

    # ---- files ----

    @contextlib.contextmanager
    def _password_file(self, password):
        with tempfile.NamedTemporaryFile("w", prefix="sbpg-", dir="/tmp") as file:
            file.write(password + "\n")
            file.flush()
            self._give(file.name)
            yield file.name

    def _write_settings(self, settings):
        """Our settings in a file of their own, read last; postgresql.conf gets one line, once."""
        path = os.path.join(self.data, "slotbell.conf")
        with open(path, "w", encoding="utf-8") as file:
            for name, value in {**settings, "unix_socket_directories": self.socket_dir or "/tmp"}.items():
                escaped = str(value).replace("'", "''")
                file.write(f"{name} = '{escaped}'\n")
        self._give(path)
        self._append_once("postgresql.conf", "include 'slotbell.conf'\n")

    def _let_neighbours_in(self):
        self._append_once("pg_hba.conf", NEIGHBOURS)

    def _append_once(self, name, line):
        with open(os.path.join(self.data, name), "r+", encoding="utf-8") as file:
            if line not in file.read():
                file.write(line)
