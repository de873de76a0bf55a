"""A host in a box, set up as docs/operating.md says: PostgreSQL under its own unit, Slotbell installed, a certificate.

Tests start, break and watch the units in it; `Host.clean` puts everything back.
"""

import asyncio
import itertools
import json
import re
import shutil
import ssl
import subprocess
import urllib.request

from box import ROOT, BoxError
from session_client import Client, run
from slotbelld import certificate

ROLE = "slotbell"  # who the daemon is in the database: called like its user, so peer authentication lets it in
UNITS = "/etc/systemd/system"
MAKE_DEB = ROOT / "config/deb/build"
VERSION = re.search(r"project\(slotbell VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def deb(name):
    """This version's package, once MAKE_DEB has run; others may lie beside it."""
    (path,) = (ROOT / "build/deb").glob(f"{name}_{VERSION}-*.deb")
    return path


class Host:
    """url, tls()  what session_client wants of a daemon"""

    def __init__(self, box, folder):
        self.box, self.folder = box, folder
        self.url = "wss://127.0.0.1:8443"
        self._numbers = itertools.count(1)
        self.certificates = certificate(folder / "certificates")
        self.settings = {}

    # ---- setting up ----

    def set_up(self):
        self.install()
        self.cluster = sorted(path.name for path in self.box.path("/usr/lib/postgresql").iterdir())[-1]
        self.box.run(f"pg_createcluster {self.cluster} main -- --auth-local=peer --auth-host=scram-sha-256 --no-sync")
        etc = f"/etc/postgresql/{self.cluster}/main"
        self.box.run(f"echo 'fsync = off' >>{etc}/postgresql.conf")
        self.box.run(f"systemctl start postgresql@{self.cluster}-main")
        self.box.run("runuser -u postgres -- createdb slotbell")
        self.ctl("db", "init")
        self.sql(f"CREATE ROLE {ROLE} LOGIN; GRANT slotbell_daemon TO {ROLE}")

    def install(self):
        """The Debian packages, as users have them."""
        subprocess.run([MAKE_DEB], check=True, capture_output=True)
        self.box.install_packages(deb("slotbelld"), deb("slotbellctl"))

    def clean(self):
        """As it was set up: nothing of Slotbell runs, nothing is changed."""
        self.box.run("systemctl stop slotbelld.target 'slotbelld*.socket' 'slotbelld*.service'; systemctl reset-failed",
                     check=False)
        for left in self.box.path(UNITS).glob("slotbelld*"):
            (shutil.rmtree if left.is_dir() else type(left).unlink)(left)
        for left in self.box.path(UNITS).glob("*.target.wants/slotbelld*"):
            left.unlink()
        self.box.path("/etc/credstore/slotbell.database-password").unlink(missing_ok=True)
        self.box.run("systemctl daemon-reload")
        self.install_certificate(self.certificates)
        self.settings = {
            "tls.certificate": "/etc/slotbell/tls/server.pem", "tls.key": "/etc/slotbell/tls/server.key",
            "database.url": f"postgresql:///slotbell?host=/run/postgresql&user={ROLE}", "drain.seconds": 4}  # fmt: skip
        self.configure()

    def install_certificate(self, certificates):
        self.ca = certificates / "ca.pem"
        for name in ("server.pem", "server.key"):
            self.box.write(f"/etc/slotbell/tls/{name}", (certificates / name).read_text(), 0o640, "root:slotbell")

    def configure(self, **settings):
        """section__key=value"""
        self.settings.update({name.replace("__", "."): value for name, value in settings.items()})
        lines = [f"[{name.split('.')[0]}]\n{name.split('.')[1]} = {value}\n" for name, value in self.settings.items()]
        self.box.write("/etc/slotbell/slotbelld.conf", "".join(lines), 0o640, "root:slotbell")

    def drop_in(self, unit, text, name="test"):
        self.box.write(f"{UNITS}/{unit}.d/{name}.conf", text)
        self.box.run("systemctl daemon-reload")

    # ---- the database ----

    def sql(self, text):
        return self.box.run(["runuser", "-u", "postgres", "--", "psql", "-AtqX", "-v", "ON_ERROR_STOP=1", "slotbell"],
                            stdin=text).strip()

    def ctl(self, *arguments):
        return self.box.run(["runuser", "-u", "postgres", "--", "slotbellctl", "--database", "postgresql:///slotbell",
                             *arguments])

    def let_root_operate(self):
        """root may enrol and publish, as docs/operating.md advises. For all tests to come: what has it twice is well too."""
        self.sql("DO $$ BEGIN IF to_regrole('root') IS NULL THEN CREATE ROLE root LOGIN; END IF; END $$; GRANT slotbell_admin TO root")

    def enrol(self):
        """A new mailbox and a device of it: address and token."""
        mailbox = f"{next(self._numbers)}@example.com"
        return mailbox, self.ctl("device", "enrol", mailbox).split()[-1]

    def publish(self, mailbox, subject="Intro call"):
        self.sql(f"SELECT slotbell.publish(mailbox => '{mailbox}', uid => 'uid-{next(self._numbers)}', "
                 f"starts_at => '2027-03-01 09:00+00', duration_minutes => 30, time_zone => 'Europe/Berlin', subject => '{subject}')")

    # ---- clients ----

    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    def client(self, token):
        return Client(self, token)

    def play(self, coroutine, seconds=120):
        """A test's story, in the box's network."""
        return self.box.inside(run, coroutine, seconds)

    async def off_the_loop(self, function, *arguments):
        """While clients go on; the new thread is in the box's network too."""
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    def ring(self, mailbox, token):
        """A booking goes all the way; what the client got."""

        async def story():
            async with self.client(token) as client:
                await client.welcome()
                await client.receive("live")
                await self.off_the_loop(self.publish, mailbox)
                booking = await client.receive("booking")
                await client.ack(booking["cursor"])
                await client.acked(booking["cursor"])
                return booking

        return self.play(story())

    # ---- the daemon ----

    def status(self, *options):
        """What slotbellctl status has to say, as JSON."""
        return json.loads(self.box.run(["slotbellctl", "--json", *options, "status"]))

    def monitoring(self, page, port=9464):
        """What the admin listener answers, asked from within the host."""
        def get():
            with opener.open(f"http://127.0.0.1:{port}/{page}", timeout=30) as answer:
                return answer.read().decode()
        return self.box.inside(get)

    def wait_database(self, *options):
        def up():
            done = self.box.result(["slotbellctl", "--json", *options, "status"])
            return done.returncode == 0 and json.loads(done.stdout)["database"]["up"]
        self.box.wait(up, "slotbelld has its database")

    def start(self, unit="slotbelld.service", *options):
        self.box.run(f"systemctl start {unit}")
        self.wait_database(*options)

    def pid(self, unit="slotbelld.service"):
        return int(self.box.show(unit, "MainPID"))

    def events(self, unit="slotbelld.service", after=None):
        """What slotbelld itself wrote into the journal."""
        return [entry for entry in self.box.journal(unit, after) if "SLOTBELL_EVENT" in entry]

    def wait_event(self, event, unit="slotbelld.service", after=None):
        """Until slotbelld tells of it; the entry."""
        def found():
            return next((entry for entry in self.events(unit, after) if entry["SLOTBELL_EVENT"] == event), None)
        return self.box.wait(found, f"{event!r} in the journal of {unit}")

    def wait_restarted(self, before, unit="slotbelld.service"):
        """Until another process than `before` is active."""
        def found():
            state = self.box.show(unit, "MainPID", "ActiveState")
            return state["ActiveState"] == "active" and int(state["MainPID"]) not in (0, before) and int(state["MainPID"])
        return self.box.wait(found, f"{unit} runs again")

    def serial(self):
        """Of the certificate that a full handshake shows now."""
        words = self.box.run("openssl s_client -connect 127.0.0.1:8443 -servername localhost </dev/null 2>/dev/null | "
                             "openssl x509 -noout -serial")
        return re.fullmatch(r"serial=([0-9A-F]+)\n", words).group(1)


def serial_of(certificates):
    words = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", certificates / "server.pem"], check=True,
                           capture_output=True, text=True).stdout
    return words.strip().removeprefix("serial=")


__all__ = ["MAKE_DEB", "VERSION", "BoxError", "Host", "deb", "serial_of"]
