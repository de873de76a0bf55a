#!/usr/bin/python3
"""A private PostgreSQL for tests and the demo, apart from any of the host's.

Everything that needs a real database builds on this: it makes a cluster in a
folder of its own, listens on a unix socket in a short private folder, and
stops it on every way out, even when the caller is killed. As root PostgreSQL
runs as the user `postgres`, since it refuses root.

It never touches another cluster, and opens no TCP port unless asked.
Standard library only.
"""

import argparse
import atexit
import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from urllib.parse import quote

from pgcluster_files import ClusterFiles, PgError

START_SECONDS = 60
SUPERUSER = "postgres"
STATE = "cluster.json"

# A test's cluster need not outlive the machine; fsync=True for those who measure or kill.
SETTINGS = {
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_destination": "stderr",
    "logging_collector": "off",
    "max_connections": "100",
}
NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_gone(pids, seconds=30):
    """Wait until every process of `pids` has ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if not select.select([handle], [], [], seconds)[0]:
                    raise PgError(f"process {pid} of PostgreSQL does not end")
            finally:
                os.close(handle)


class PgCluster(ClusterFiles):
    """One cluster. Use it in a `with`: it is running inside, stopped after.

    folder    where it lives (data, log, cluster.json); made if missing, kept afterwards. None: a private
              temporary one, removed at the end. If the user that must run PostgreSQL cannot get into it,
              the data lies in a temporary folder and `folder`/data is a symlink to it.
    settings  postgresql.conf settings, name -> value
    fsync     False: the data may be lost with the machine, and tests are quick
    tcp       True: also on `address`, at a free port (`port`), with `password`
    address   another one than loopback's: clients of its networks are let in
    prefix    words before the commands that start it: ("nsenter", "--net=FILE")
    socket    connections go through <socket folder>/.s.PGSQL.<port>, trusted: the folder is private
    """

    def __init__(self, folder=None, settings=None, fsync=False, tcp=False, address="127.0.0.1", prefix=()):
        super().__init__(folder, prefix)
        self.settings = {**SETTINGS, **({} if fsync else NO_FSYNC), **(settings or {})}
        self.tcp, self.address = tcp, address
        self.port = _free_port() if tcp else 5432
        self.password = secrets.token_hex(16)
        self._guard = None

    @property
    def pid(self):
        """The postmaster's process id, or None when it does not run. A zombie does not."""
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as file:
                pid = int(file.readline())
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return None if file.read().rpartition(")")[2].split()[0] == "Z" else pid
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None

    # ---- life ----

    def __enter__(self):
        try:
            self.create()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def create(self):
        """initdb, unless the folder has a cluster already."""
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            return
        self._make_data_folder()
        with self._password_file(self.password) as pwfile:
            self._run(
                "initdb", "-D", self.data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync",
                "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={pwfile}",
            )  # fmt: skip
        if self.address != "127.0.0.1":
            self._let_neighbours_in()
        self._configure()

    def start(self):
        """Start and wait until it answers. Nothing if it runs."""
        if self.pid:
            return
        self._make_socket_dir()
        self._configure()
        try:
            self._run("pg_ctl", "start", "-w", "-s", "-t", str(START_SECONDS), "-D", self.data, "-l", self.log)
        except PgError as error:
            raise PgError(f"{error}\n{self.log_tail()}") from None
        self._save()
        self._set_guard()

    def stop(self, mode="fast"):
        """Stop in mode smart, fast or immediate, and wait for it. The URLs stay good for the next start."""
        if self.pid:
            self._run("pg_ctl", "stop", "-w", "-s", "-m", mode, "-t", str(START_SECONDS), "-D", self.data)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def kill(self):
        """SIGKILL, as a crash does; returns when the last backend has noticed and is gone."""
        pid = self.pid
        if not pid:
            return
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            family = [pid, *map(int, file.read().split())]
        os.kill(pid, signal.SIGKILL)
        _wait_gone(family)
        # In a container whose first process reaps nobody the dead one stays as a zombie, and the next start
        # would take it for alive by these files. They are all gone: we waited.
        os.unlink(os.path.join(self.data, "postmaster.pid"))
        for name in os.listdir(self.socket_dir):
            os.unlink(os.path.join(self.socket_dir, name))

    def reload(self, **settings):
        """Change settings of the running server that need no restart."""
        self.settings.update(settings)
        self._configure()
        self._run("pg_ctl", "reload", "-s", "-D", self.data)

    def close(self):
        """Stop for good: no process, no socket folder, nothing in /tmp is left. Can be called twice."""
        self.stop("immediate" if self.temporary else "fast")
        self._drop_guard()
        self._drop_folders()

    # ---- use ----

    def url(self, dbname="postgres", user=SUPERUSER, tcp=False, password=None):
        """A connection URL: through the socket, or through TCP with a password (the superuser's if none is given)."""
        if not tcp:
            return f"postgresql://{quote(user, '')}@/{quote(dbname, '')}?host={self.socket_dir}&port={self.port}"
        if not self.tcp:
            raise PgError("this cluster was made without tcp=True")
        word = quote(password or self.password, "")
        return f"postgresql://{quote(user, '')}:{word}@{self.address}:{self.port}/{quote(dbname, '')}"

    def psql(self, sql, dbname="postgres", user=SUPERUSER):
        """Run SQL by psql and return what it prints, unaligned and without headers."""
        run = subprocess.run(
            [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url(dbname, user)],
            input=sql, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            raise PgError(run.stderr.strip())
        return run.stdout.rstrip("\n")

    def create_database(self, name, template=None, owner=None):
        """A new database, as a copy of `template` if given (nobody may be connected to that one)."""
        quoted = '"' + name.replace('"', '""') + '"'
        self.psql(
            f"CREATE DATABASE {quoted}"
            + (f' TEMPLATE "{template}"' if template else "")
            + (f' OWNER "{owner}"' if owner else "")
        )
        return self.url(name)

    def drop_database(self, name):
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def standby(self, folder=None, settings=None):
        """A streaming standby of this running cluster, by pg_basebackup: not started yet.

        Its settings are this one's, but for those given. `promote()` makes a primary of it.
        """
        other = PgCluster(folder, {**self.settings, **(settings or {})})
        other.password = self.password
        try:
            other._make_data_folder()
            other._run(
                "pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                "-d", f"{self.url()}&application_name=standby",
            )  # fmt: skip
            other._configure()
        except BaseException:
            other.close()
            raise
        return other

    def promote(self):
        """Make a primary of a running standby; returns when it takes writes."""
        self._run("pg_ctl", "promote", "-w", "-s", "-t", str(START_SECONDS), "-D", self.data)

    # ---- inside ----

    def _configure(self):
        listen = self.address if self.tcp else ""
        self._write_settings({**self.settings, "listen_addresses": listen, "port": str(self.port)})

    def _save(self):
        """What `open_existing` needs to find a running cluster again."""
        state = {"settings": self.settings, "tcp": self.tcp, "address": self.address, "port": self.port,
                 "password": self.password, "socket_dir": self.socket_dir}  # fmt: skip
        path = os.path.join(self.folder, STATE)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(state, file)

    @classmethod
    def open_existing(cls, folder):
        """The cluster that an earlier process made in `folder`, running or not."""
        with open(os.path.join(folder, STATE), encoding="utf-8") as file:
            state = json.load(file)
        cluster = cls(folder)
        for name, value in state.items():
            setattr(cluster, name, value)
        return cluster

    def _set_guard(self):
        """A shell that waits for our end of a pipe to close, as it does however we die, and stops the server then."""
        if self._guard:
            return
        script = 'cat >/dev/null; "$0" stop -m immediate -s -D "$1" >/dev/null 2>&1; shift; rm -rf -- "$@"'
        leave = [self.folder] if self.temporary else []
        self._guard = subprocess.Popen(
            self._as_owner("/bin/sh", "-c", script, f"{self.bin}/pg_ctl", self.data, self.socket_dir, *leave),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)

    def _drop_guard(self):
        if self._guard:
            os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
            self._guard.stdin.close()
            self._guard = None
            atexit.unregister(self.close)

    def leave_running(self):
        """From here on the cluster outlives this process; `open_existing(folder).close()` ends it."""
        self._drop_guard()


def main():
    parser = argparse.ArgumentParser(description="A private PostgreSQL in a folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="make it if need be, start it, print its URL; it keeps running")
    start.add_argument("folder")
    start.add_argument("--tcp", action="store_true", help="also on 127.0.0.1, at a free port; prints that URL")
    start.add_argument("--fsync", action="store_true", help="keep the data safe, at the price of speed")
    start.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of postgresql.conf")
    stop = commands.add_parser("stop", help="stop it")
    stop.add_argument("folder")
    url = commands.add_parser("url", help="print its URL")
    url.add_argument("folder")
    url.add_argument("--dbname", default="postgres")
    url.add_argument("--user", default=SUPERUSER)
    options = parser.parse_args()
    try:
        if options.command == "start":
            given = dict(setting.split("=", 1) for setting in options.set)
            if os.path.exists(os.path.join(options.folder, STATE)):
                cluster = PgCluster.open_existing(options.folder)
                cluster.settings.update(given)
            else:
                cluster = PgCluster(options.folder, given, fsync=options.fsync, tcp=options.tcp)
                cluster.create()
            cluster.start()
            cluster.leave_running()
            print(cluster.url(tcp=cluster.tcp))
        elif options.command == "stop":
            PgCluster.open_existing(options.folder).close()
        else:
            print(PgCluster.open_existing(options.folder).url(options.dbname, options.user))
    except (PgError, FileNotFoundError, ValueError) as error:
        print(f"pgcluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
