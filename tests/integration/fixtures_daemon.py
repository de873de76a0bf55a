"""A PostgreSQL, a database with the schema, and the real slotbelld at it.

Test modules ask for it by `pytest_plugins = ["fixtures_daemon"]`.
"""

import contextlib
import itertools

import psycopg
import pytest
from ctl_support import Ctl, wait_until
from pgcluster import PgCluster
from session_client import Client
from slotbelld import Daemon, certificate

TEMPLATE = "daemon_template"
LOGIN = "slotbelld_login"  # has what slotbell_daemon may do, and nothing else
BOOKING = {"starts_at": "2027-03-01 09:00+00", "duration_minutes": 30, "time_zone": "Europe/Berlin", "subject": "Intro call"}


class House:
    """One database with the schema, the daemons at it, and what a test does to both."""

    def __init__(self, cluster, name, folder, certificates):
        self.cluster, self.name, self.folder, self.certificates = cluster, name, folder, certificates
        self.ctl = Ctl(cluster.url(name), cluster, name)
        self.daemons = []
        self._uids = itertools.count(1)

    def daemon(self, start=True, prefix=(), program=None, **settings):
        """A daemon at this database; section__key=value sets a key of its configuration."""
        daemon = Daemon(self.folder / f"daemon-{len(self.daemons)}", self.certificates,
                        self.cluster.url(self.name, LOGIN), program, prefix=prefix,
                        settings={name.replace("__", "."): value for name, value in settings.items()})
        self.daemons.append(daemon)
        if start:
            daemon.start()
            if self.cluster.pid:
                wait_until(lambda: 'database up"' in daemon.log_text(), "the daemon finds its database")
        return daemon

    def enrol(self, mailbox, *options):
        """A new device's token."""
        return self.ctl.enrol(mailbox, *options)

    def at(self, cluster):
        """The same database in another cluster, a copy of this one's."""
        return House(cluster, self.name, self.folder, self.certificates)

    def mailbox(self):
        """An address that no other test has."""
        return f"{next(self._uids)}@example.com"

    def device_of(self, token):
        return int(token.split("_")[1])

    def connect(self, autocommit=True):
        return psycopg.connect(self.ctl.url, autocommit=autocommit)

    def publish(self, mailbox, uid=None, connection=None, **fields):
        """One event, in the connection's transaction or one of its own. Returns the uid."""
        uid = uid or f"uid-{next(self._uids)}@test"
        values = {"mailbox": mailbox, "uid": uid, **BOOKING, **fields}
        sql = f"SELECT slotbell.publish({', '.join(f'{name} => %({name})s' for name in values)})"
        if connection:
            connection.execute(sql, values)
        else:
            with self.connect() as own:
                own.execute(sql, values)
        return uid

    def client(self, daemon, token, **options):
        return Client(daemon, token, **options)

    def close(self):
        codes = [(daemon, daemon.stop()) for daemon in self.daemons if daemon.process and daemon.process.poll() is None]
        for daemon, code in codes:
            assert code == 0, f"slotbelld ended with {code}: {daemon.log_text()[-2000:]}"


@pytest.fixture(scope="session")
def daemon_cluster():
    with PgCluster(tcp=True) as cluster:
        yield cluster


def prepare(cluster, name):
    """A new database with the schema, and the role that the daemon logs in as."""
    Ctl(cluster.create_database(name), cluster, name).run("db", "init")
    cluster.psql(f"CREATE ROLE {LOGIN} LOGIN; GRANT slotbell_daemon TO {LOGIN}")
    return name


@pytest.fixture(scope="session")
def daemon_template(daemon_cluster):
    return prepare(daemon_cluster, TEMPLATE)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("certificates"))


numbers = itertools.count(1)


@contextlib.contextmanager
def opened(cluster, name, certificates, folder):
    """A House, every daemon of which must end cleanly."""
    found = House(cluster, name, folder, certificates)
    try:
        yield found
        found.close()
    finally:
        for daemon in found.daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()


def build(cluster, template, certificates, folder):
    name = f"daemon_{next(numbers)}"
    cluster.create_database(name, template)
    try:
        with opened(cluster, name, certificates, folder) as found:
            yield found
    finally:
        cluster.drop_database(name)


@pytest.fixture
def house(daemon_cluster, daemon_template, certificates, tmp_path):
    """A database of the test's own; every daemon that it started must end cleanly."""
    yield from build(daemon_cluster, daemon_template, certificates, tmp_path)


@pytest.fixture
def own_house(certificates, tmp_path):
    """Makes a House of a new database in a cluster of the test's own. For a `with`."""

    def make(cluster, name="slotbell"):
        return opened(cluster, prepare(cluster, name), certificates, tmp_path)

    return make


@pytest.fixture(scope="module")
def shared_house(daemon_cluster, daemon_template, certificates, tmp_path_factory):
    """One for the tests of a file, which leave each other alone."""
    yield from build(daemon_cluster, daemon_template, certificates, tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def shared_daemon(shared_house):
    """A daemon for tests that leave each other alone; its database has no device but those that they enrol."""
    return shared_house.daemon()
