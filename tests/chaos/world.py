"""What the trouble is made for: one database, two daemons, the plug-ins of many devices, and writers.

Brings it about, in namespaces of its own where these can be had, tells when all is quiet and delivered,
and at the end writes down what the database holds.
"""

import asyncio
import contextlib
import pathlib
import random
import signal
import subprocess

import crowd
import psycopg
from clients import Plugin
from history import write_down
from networks import Networks
from pgcluster import PgCluster
from slotbelld import ENVIRONMENT, Daemon, built, certificate, spawn
from writers import TABLE, Writer

DATABASE = "chaos"
# Short hearts: a dead peer is to be noticed within the run. The window is small, so that it fills.
DAEMON_SETTINGS = {"sessions.heartbeat_seconds": 3, "sessions.hello_seconds": 5, "sessions.window": 16, "drain.seconds": 3}
LOGINS = """CREATE ROLE daemon_login LOGIN PASSWORD '{password}'; GRANT slotbell_daemon TO daemon_login;
    CREATE ROLE writer_login LOGIN PASSWORD '{password}'; GRANT slotbell_publisher TO writer_login"""
LISTENER = ("(query LIKE '%%LISTEN slotbell_wake%%' OR query LIKE 'NOTIFY slotbell_ping_' || pid || ',%%')")


class World:
    """Use it in a `with`: everything is up inside, and gone after."""

    def __init__(self, history, folder, seed, programs=None, networked=True, mailboxes=24, devices=32, writers=5):
        """programs: {name: path} of others than the built ones."""
        self.history, self.folder, self.seed = history, pathlib.Path(folder), seed
        self.programs = {name: built(name) for name in ("slotbelld", "slotbellctl")} | (programs or {})
        self.mailboxes = [f"host{n}@example.com" for n in range(mailboxes)]
        self.counts = (devices, writers)
        self.exits = contextlib.ExitStack()
        self.networks = Networks("daemon 1", "daemon 2", "database") if networked else None
        self.daemons, self.plugins, self.writers = [], [], []
        self.said_before = {}  # bytes of each daemon's log when it was started last
        self.tasks = []

    def random(self, *who):
        """A generator of somebody's own: what one does does not depend on how often others asked."""
        return random.Random(f"{self.seed} {who}")

    def __enter__(self):
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.stop()
        for daemon in self.daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()
        self.exits.close()

    # ---- setting up ----

    def _set_up(self):
        address, prefix = "127.0.0.1", ()
        if self.networks:
            self.exits.enter_context(self.networks)
            for a, b in (("us", "daemon 1"), ("us", "daemon 2"), ("us", "database"), ("daemon 1", "database"), ("daemon 2", "database")):
                self.networks.wire(a, b)
            address, prefix = "*", self.networks["database"].prefix
        self.cluster = self.exits.enter_context(PgCluster(tcp=True, address=address, prefix=prefix))
        self.sure_url = self.cluster.create_database(DATABASE)
        self._ctl("db", "init")
        self.cluster.psql(LOGINS.format(password=self.cluster.password) + ";" + TABLE, DATABASE)
        addresses = [self.networks[name].address(self.networks.us) for name in ("daemon 1", "daemon 2")] if self.networks else []
        certificates = certificate(self.folder / "ca", *addresses)
        for name in ("daemon 1", "daemon 2"):
            host = self.networks[name] if self.networks else None
            self.daemons.append(Daemon(
                self.folder / name.replace(" ", "-"), certificates, self.url("daemon_login", name), self.programs["slotbelld"],
                DAEMON_SETTINGS, address=host.address(self.networks.us) if host else "127.0.0.1",
                prefix=host.prefix if host else ()))  # fmt: skip
        for daemon in self.daemons:
            daemon.start()
        self._enrol_all()

    def url(self, user, from_host):
        """The database's, as seen from a host."""
        address = self.networks["database"].address(self.networks[from_host]) if self.networks else "127.0.0.1"
        return f"postgresql://{user}:{self.cluster.password}@{address}:{self.cluster.port}/{DATABASE}"

    def _ctl(self, *arguments):
        done = subprocess.run([self.programs["slotbellctl"], "--database", self.sure_url, *arguments], env=ENVIRONMENT,
                              capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"slotbellctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def enrol(self, mailboxes):
        """A device more for each; everything that commits from now on is theirs. Returns their plug-ins, which do not run yet."""
        with psycopg.connect(self.sure_url, connect_timeout=5) as connection:
            tokens = crowd.enrol(connection, mailboxes)
            starts = dict(connection.execute("SELECT id, acked FROM slotbell.devices").fetchall())
        # Committed. What is in doubt when this fails nobody knows the token of: it is nobody's device.
        found = []
        for mailbox, token in zip(mailboxes, tokens):
            device = int(token.split("_")[1])
            self.starts[device] = starts[device]
            found.append(Plugin(self.history, self.random("device", device), device, mailbox, token, self.daemons, self._contexts))
        self.plugins += found
        return found

    def _enrol_all(self):
        self._contexts = [daemon.tls() for daemon in self.daemons]
        devices, writers = self.counts
        self.starts = {}
        self.enrol([self.mailboxes[n % len(self.mailboxes)] for n in range(devices)])
        url = self.url("writer_login", "us")
        self.writers = [Writer(self.history, self.random("writer", n), n, url, self.sure_url, self.mailboxes)
                        for n in range(1, writers + 1)]  # fmt: skip

    # ---- going on ----

    def begin(self):
        """Writers write and plug-ins connect, from now on."""
        self.tasks = [asyncio.create_task(plugin.run()) for plugin in self.plugins]
        for writer in self.writers:
            writer.start()

    async def join(self, mailbox):
        """A device more, in the middle of it all."""
        (plugin,) = await asyncio.to_thread(self.enrol, [mailbox])
        self.tasks.append(asyncio.create_task(plugin.run()))

    async def stop_writers(self):
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            await asyncio.to_thread(writer.join)

    def sure(self):
        """A connection that no trouble cuts, but for the server's own end. Short statements only: we are in a loop."""
        return psycopg.connect(self.sure_url, autocommit=True, connect_timeout=5)

    def start_daemon(self, which):
        """Returns at once: clients find out when it is there."""
        daemon = self.daemons[which]
        self.said_before[which] = daemon.log.stat().st_size if daemon.log.exists() else 0
        daemon.process = spawn([daemon.program, "--config", daemon.config], daemon.log, prefix=daemon.prefix)

    async def end_daemon(self, which):
        """SIGTERM, and the wait for it. It must end cleanly; one that has not said a word yet has no handler either."""
        daemon = self.daemons[which]
        code = await asyncio.to_thread(daemon.stop)
        has_begun = daemon.log.stat().st_size > self.said_before.get(which, 0)
        if code != 0 and (has_begun or code != -signal.SIGTERM):
            self.history.add("surprise", who=f"daemon {which + 1}", text=f"ended with {code} on SIGTERM; see {daemon.log}")

    def backends(self, which=None, listeners=False):
        """(pid, port) of what daemons have open at the database."""
        with self.sure() as connection:
            return connection.execute(
                "SELECT pid, client_port FROM pg_stat_activity WHERE usename = 'daemon_login' AND backend_type = 'client backend'"
                + (f" AND {LISTENER}" if listeners else "")
                + (" AND client_addr = %s" if which is not None and self.networks else ""),
                [self.networks[f"daemon {which + 1}"].address(self.networks["database"])]
                if which is not None and self.networks else []).fetchall()  # fmt: skip

    def has_died(self):
        """Daemons that ended though nobody ended them: [(which, exit code)]."""
        return [(which, daemon.process.returncode) for which, daemon in enumerate(self.daemons)
                if daemon.process.poll() is not None]  # fmt: skip

    async def quiet(self, seconds):
        """Waits until every device was told that everything is acked. Returns those which were not in time."""
        with self.sure() as connection:
            heads = dict(connection.execute("SELECT address, head FROM slotbell.mailbox").fetchall())
        try:
            async with asyncio.timeout(seconds):
                for plugin in self.plugins:
                    while plugin.told < heads[plugin.mailbox]:
                        plugin.progress.clear()
                        await plugin.progress.wait()
        except TimeoutError:
            pass
        return [plugin for plugin in self.plugins if plugin.told < heads[plugin.mailbox]]

    async def end(self):
        """Everybody goes home; the daemons must end when they are asked to, and cleanly."""
        for plugin in self.plugins:
            await plugin.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(*self.tasks)
        for which in range(len(self.daemons)):
            await self.end_daemon(which)
        with self.sure() as connection:
            write_down(self.history, connection, self.starts)
