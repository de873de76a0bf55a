"""Sets the demo's stage, and clears it on every way out: PostgreSQL, certificate, daemon, two plug-ins."""

import contextlib
import pathlib
import queue
import signal
import time

from cast import Plugin, call
from pgcluster import PgCluster
from slotbelld import Daemon, Trouble

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAMS = ("slotbelld", "slotbellctl", "slotbell-plugin")
HOSTS = (("Ada", "ada@example.com"), ("Grace", "grace@example.com"))

# The backend's own table, and two logins with no more rights than each needs.
SHOP = """
CREATE TABLE appointments (id text PRIMARY KEY, host text NOT NULL, subject text NOT NULL,
                           starts_at timestamptz NOT NULL, cancelled boolean NOT NULL DEFAULT false);
CREATE ROLE booking LOGIN;
CREATE ROLE slotbelld LOGIN;
GRANT SELECT, INSERT, UPDATE ON appointments TO booking;
GRANT slotbell_publisher TO booking;
GRANT slotbell_daemon TO slotbelld;
"""
# Another backend's, which is never changed for Slotbell: `school` writes to it and has no other right.
SCHOOL = """
CREATE ROLE studio LOGIN;
CREATE ROLE school LOGIN;
CREATE TABLE lessons (id text PRIMARY KEY, teacher text NOT NULL, topic text NOT NULL, begins timestamptz NOT NULL, zone text NOT NULL,
                      minutes integer NOT NULL, student text NOT NULL, dropped boolean NOT NULL DEFAULT false);
ALTER TABLE lessons OWNER TO studio;
GRANT CREATE ON SCHEMA public TO studio;
GRANT slotbell_publisher TO studio;
GRANT SELECT, INSERT, UPDATE ON lessons TO school;
"""


class Stage:
    def __init__(self, programs, folder):
        self.programs, self.folder = programs.resolve(), folder
        self.logs = folder / "log"
        self.plugins = []
        self.daemon = None
        self.words = queue.Queue()
        self.exits = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # An impatient second Ctrl-C must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.exits.close()

    def set_up(self, screen):
        """Everything up and every plug-in live. Says each step."""
        self.logs.mkdir()
        for name in PROGRAMS:
            if not (self.programs / name).exists():
                raise Trouble(f"{self.programs / name} is not built; `make` builds it")

        screen.step("PostgreSQL")
        # fsync as in real life: a booking counts when it is on the disk.
        self.cluster = self.exits.enter_context(PgCluster(str(self.folder / "postgresql"), fsync=True))
        version = self.cluster.psql("SHOW server_version").split()[0]
        screen.step("PostgreSQL", f"{version}, a private one that nobody else sees")

        screen.step("schema")
        url = self.cluster.create_database("shop")
        call([self.programs / "slotbellctl", "--database", url, "db", "init"], self.logs / "slotbellctl.log")
        self.cluster.psql(SHOP + SCHOOL, "shop")
        screen.step("schema", "slotbellctl db init, beside the backend's own table of appointments")

        screen.step("certificate")
        call([ROOT / "config/dev-ca.sh", self.folder / "ca"], self.logs / "dev-ca.log")
        screen.step("certificate", "from a throwaway authority of its own")

        screen.step("daemon")
        self.daemon = Daemon(self.logs, self.folder / "ca", self.cluster.url("shop", "slotbelld"), self.programs / "slotbelld")
        self.exits.callback(self.daemon.stop)
        seconds = self.daemon.start()
        screen.step("daemon", f"slotbelld at {self.daemon.url}, up in {seconds * 1000:.0f} ms")

        screen.step("plug-ins")
        for name, address in HOSTS:
            command = [self.programs / "slotbellctl", "--database", url, "device", "enrol", address, "--label", "demo"]
            token = call(command, self.logs / "slotbellctl.log").strip()
            plugin = Plugin(name, address, self.programs, self.folder, self.logs, self.daemon, token, self.words)
            self.plugins.append(plugin)
            self.exits.callback(plugin.stop)
            plugin.start()
        self._wait_live()
        screen.step("plug-ins", f"{' and '.join(address for _, address in HOSTS)}, enrolled and live")

    def _wait_live(self, seconds=20):
        waiting = set(self.plugins)
        deadline = time.monotonic() + seconds
        while waiting:
            try:
                plugin, message, _ = self.words.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                names = " and ".join(sorted(plugin.name for plugin in waiting))
                raise Trouble(f"the plug-in of {names} did not get through; see {self.logs}") from None
            if message["what"] == "live":
                waiting.discard(plugin)
            elif message["what"] == "ended":
                raise Trouble(f"the plug-in of {plugin.name} ended; see {plugin.log}")

    def receipts(self, seconds=10):
        """Whether the database has the last ack of every device, as soon as it has, or after `seconds`."""
        deadline = time.monotonic() + seconds
        sql = "SELECT count(*) FILTER (WHERE acked = head) || ' of ' || count(*) FROM slotbell.devices"
        while True:
            found = self.cluster.psql(sql, "shop")
            if found == f"{len(self.plugins)} of {len(self.plugins)}" or time.monotonic() > deadline:
                return found
            time.sleep(0.05)  # acks are saved in batches, and nobody is told of the last one

    def clean_end(self):
        """Ends plug-ins and daemon in good order: a check."""
        codes = {f"{plugin.name}'s plug-in": plugin.stop() for plugin in self.plugins}
        codes["the daemon"] = self.daemon.stop()
        bad = [f"{who} with {code}" for who, code in codes.items() if code != 0]
        words = "daemon and plug-ins end when they are asked to" + (f"; but: {', '.join(bad)}" if bad else "")
        return "clean-end", not bad, words
