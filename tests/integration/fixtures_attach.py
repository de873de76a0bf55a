"""A backend with a table of its own, and roles with no more rights than each needs.

`shopkeeper` owns the table and has slotbell_publisher; `web` writes to it and has nothing of Slotbell.
Test modules ask for it by `pytest_plugins = ["fixtures_attach"]`.
"""

import types

import psycopg
import pytest
from fixtures_sql import fresh

pytest_plugins = ["fixtures_sql"]

ADA, BOB = "ada@example.com", "bob@example.com"
ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shopkeeper') THEN
        CREATE ROLE shopkeeper LOGIN;
        CREATE ROLE web LOGIN;
        CREATE ROLE stranger LOGIN;
        CREATE ROLE publisher LOGIN;
        CREATE ROLE administrator LOGIN;
    END IF;
END $$;
GRANT slotbell_publisher TO shopkeeper, publisher;
GRANT slotbell_admin TO administrator;
CREATE SCHEMA shop AUTHORIZATION shopkeeper;
GRANT USAGE ON SCHEMA shop TO web;
"""
TABLE = """
CREATE TABLE shop.appointments (
    id bigint PRIMARY KEY,
    host_email text,
    starts_at timestamptz NOT NULL,
    minutes integer NOT NULL DEFAULT 30,
    title text NOT NULL DEFAULT 'Intro call',
    guests jsonb,
    room text,
    status text NOT NULL DEFAULT 'booked',
    notes text
);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON shop.appointments TO web;
"""
MAPPING = {
    "mailbox": "host_email", "uid": "id", "starts_at": "starts_at", "duration_minutes": "minutes", "time_zone": "Europe/Berlin",
    "subject": "title", "attendees": "guests", "location": "room", "cancelled_when": "status = 'cancelled'",
}  # fmt: skip
TO_COME, PAST = "2031-05-06 09:00+00", "2020-05-06 09:00+00"


class Shop:
    def __init__(self, database):
        self.db = database
        self.seen = {}  # mailbox -> the last seq that a test has looked at
        self.notices = []  # of the owner's and the writer's connection, in their parts
        with database.connect() as connection:
            connection.execute(ROLES)
        self.owner, self.web = self.connect("shopkeeper"), self.connect("web")
        self.owner.execute(TABLE)

    def connect(self, user, autocommit=True):
        connection = self.db.connect(user, autocommit)
        connection.add_notice_handler(self.hear)
        return connection

    def hear(self, notice):
        """Keeps what is said: the result that it is read from does not last."""
        parts = ("severity", "sqlstate", "message_primary", "message_detail", "message_hint", "context")
        self.notices.append(types.SimpleNamespace(**{part: getattr(notice, part) for part in parts}))

    def attach(self, table="shop.appointments", connection=None, **changes):
        """With the usual mapping, changed; None leaves a parameter out."""
        given = {name: value for name, value in {**MAPPING, **changes}.items() if value is not None}
        names = ", ".join(f"{name} => %({name})s" for name in given)
        (connection or self.owner).execute(f"SELECT slotbell.attach(%(_table)s, {names})", {"_table": table, **given})

    def refused(self, state, table="shop.appointments", connection=None, **changes):
        """attach() says no, in four parts: they are returned."""
        with pytest.raises(psycopg.Error) as caught:
            self.attach(table, connection, **changes)
        said = caught.value.diag
        assert said.sqlstate == state, f"{said.sqlstate}: {said.message_primary}"
        assert said.message_primary.startswith("slotbell.attach: ") and said.message_detail and said.message_hint
        return said

    def book(self, number=1, connection=None, **columns):
        row = {"id": number, "host_email": ADA, "starts_at": TO_COME, **columns}
        names = ", ".join(row)
        (connection or self.web).execute(
            f"INSERT INTO shop.appointments ({names}) VALUES ({', '.join(f'%({name})s' for name in row)})", row
        )

    def write(self, sql, *values):
        """As the backend does, who knows nothing of Slotbell."""
        return self.web.execute(sql, values or None)

    def rang(self, mailbox=ADA):
        """[(change, uid)] of a mailbox, in the order of seq, since the last call."""
        rows = self.db.query("SELECT seq, change, uid FROM slotbell.events(%s, %s, 10000) WHERE seq IS NOT NULL",
                             mailbox, self.seen.get(mailbox, 0))  # fmt: skip
        if rows:
            self.seen[mailbox] = rows[-1][0]
        return [(change, uid) for _, change, uid in rows]

    def event(self, column, uid="1"):
        """What the newest event of a booking holds."""
        return self.db.one(f"SELECT {column} FROM slotbell.event WHERE uid = %s ORDER BY seq DESC LIMIT 1", uid)

    def warnings(self):
        """[(SQLSTATE, words)] since the last call."""
        found = [(notice.sqlstate, notice.message_primary) for notice in self.notices if notice.severity == "WARNING"]
        self.notices.clear()
        return found

    def refusals(self, connection=None):
        return (connection or self.owner).execute("SELECT operation, uid, code FROM slotbell.refusals ORDER BY id").fetchall()

    def change_function(self, name, *replacements, schema="shop"):
        """Take a remedy out of a function that attach() made."""
        body = self.db.one("SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = %s::regnamespace AND p.proname = %s", schema, name)
        for old, new in replacements:
            assert old in body, f"{name} has no {old!r}"
            body = body.replace(old, new)
        self.owner.execute(body)


# What a test leaves of its own, and what there is of Slotbell's.
CLEAR = """
DO $$
DECLARE
    what text;
BEGIN
    FOR what IN SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
                WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public', 'slotbell') LOOP
        EXECUTE what;
    END LOOP;
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('slotbell.%I', tablename), ', ') || ' RESTART IDENTITY' FROM pg_tables
             WHERE schemaname = 'slotbell' AND tablename NOT IN ('migration', 'time_zone'));
END $$;
"""
PRINT = """
SELECT md5(coalesce((SELECT string_agg(pg_get_functiondef(p.oid), '' ORDER BY p.oid) FROM pg_proc p WHERE p.pronamespace = n.oid), '')
    || coalesce((SELECT string_agg(pg_get_viewdef(c.oid), '' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'v'), ''))
FROM pg_namespace n WHERE n.nspname = 'slotbell'
"""


class Kept:
    """A database that is cleared after each test, which is quicker than a new one; a new one where a test has changed the schema."""

    def __init__(self, cluster):
        self.cluster, self.database, self.print = cluster, None, None

    def take(self):
        if self.database is None:
            self.source = fresh(self.cluster)
            self.database = next(self.source)
            self.print = self.database.query(PRINT)
        return self.database

    def give_back(self):
        self.database.close()
        self.database.opened.clear()
        if self.database.query(PRINT) == self.print:
            with self.database.connect() as connection:
                connection.execute("SET client_min_messages = error")
                connection.execute(CLEAR)
        else:
            self.end()

    def end(self):
        if self.database is not None:
            self.database = None
            self.source.close()


@pytest.fixture(scope="session")
def kept(sql_cluster):
    found = Kept(sql_cluster)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def shop(kept):
    """The backend's table, not attached yet; ada and bob each have a plug-in."""
    database = kept.take()
    try:
        found = Shop(database)
        database.enrol(ADA)
        database.enrol(BOB)
        yield found
    finally:
        kept.give_back()


@pytest.fixture(scope="module")
def same_shop(shared_db):
    """One for tests that leave nothing behind."""
    return Shop(shared_db)


@pytest.fixture
def attached(shop):
    """The same, attached with the usual mapping."""
    shop.attach()
    return shop
