"""A PostgreSQL and databases with the schema, for the tests of the schema itself.

Test modules ask for it by `pytest_plugins = ["fixtures_sql"]`.
"""

import hashlib
import itertools
import pathlib
import sys

import psycopg
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

from pgcluster import PgCluster  # noqa: E402

# A step is a file, or a folder of files that are applied in one transaction.
STEPS = {
    path.stem: sorted(path.glob("[0-9]*.sql")) if path.is_dir() else [path]
    for path in sorted((ROOT / "config/sql").glob("[0-9]*"))
}
TEMPLATE = "sql_template"
SECONDS = 30
SECRET = bytes(32)
PROOF = hashlib.sha256(SECRET).digest()
SALT = bytes(16)
HASH = hashlib.sha256(SALT + PROOF).digest()


def apply_schema(url, last=None, after=0):
    """The schema as `slotbellctl db init` applies it, or as it was at version `last`; or what comes after a version. Returns what was said."""
    said = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        if after == 0:
            connection.execute("CREATE SCHEMA slotbell")
            connection.execute(
                "CREATE TABLE slotbell.migration"
                " (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for step, files in STEPS.items():
            version = int(step.split("_")[0])
            if version <= after:
                continue
            if last is not None and version > last:
                break
            with connection.transaction():
                for file in files:
                    connection.execute(file.read_text())
                connection.execute("INSERT INTO slotbell.migration VALUES (%s, %s)", (version, step))
    return said


class Database:
    def __init__(self, url, cluster, name):
        self.url, self.cluster, self.name = url, cluster, name
        self.opened = []

    def connect(self, user="postgres", autocommit=True):
        connection = psycopg.connect(self.cluster.url(self.name, user), autocommit=autocommit)
        connection.execute("SET statement_timeout = '30s'")
        if not autocommit:
            connection.commit()
        self.opened.append(connection)
        return connection

    def query(self, sql, *values):
        """Every row; or, of rows with one column, the values."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            rows = connection.execute(sql, values or None).fetchall()
            return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows

    def one(self, sql, *values):
        return self.query(sql, *values)[0]

    def enrol(self, mailbox, expires_at=None):
        return self.one("SELECT slotbell.enrol(%s, 'test', %s, %s, %s)", mailbox, expires_at, SALT, HASH)

    def seqs(self, mailbox):
        return self.query("SELECT seq FROM slotbell.events(%s, 0, 10000) WHERE seq IS NOT NULL", mailbox)

    def cripple(self, function, *replacements):
        """Take a remedy out: change the text of a function, and insist that there was something to change."""
        body = self.one("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'slotbell'::regnamespace"
                        " AND proname = %s", function)  # fmt: skip
        for old, new in replacements:
            assert old in body, f"{function} has no {old!r} any more"
            body = body.replace(old, new)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(body)

    def close(self):
        for connection in self.opened:
            connection.close()


BOOKING = "starts_at => '2026-11-24 09:00+00', duration_minutes => 30, time_zone => 'Europe/Berlin', subject => 'Intro call'"


def publish(connection, mailbox, uid, more=""):
    return connection.execute(
        f"SELECT slotbell.publish(mailbox => %s, uid => %s, {BOOKING}{more})", (mailbox, uid)
    ).fetchone()[0]


@pytest.fixture(scope="session")
def sql_cluster():
    with PgCluster() as cluster:
        apply_schema(cluster.create_database(TEMPLATE))
        yield cluster


numbers = itertools.count(1)


def fresh(cluster):
    name = f"sql_{next(numbers)}"
    database = Database(cluster.create_database(name, TEMPLATE), cluster, name)
    try:
        yield database
    finally:
        database.close()
        cluster.drop_database(name)


@pytest.fixture
def db(sql_cluster):
    """A database of the test's own."""
    yield from fresh(sql_cluster)


@pytest.fixture(scope="module")
def shared_db(sql_cluster):
    """One for tests that leave each other alone."""
    yield from fresh(sql_cluster)
