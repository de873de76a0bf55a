"""What runs for each booking is not planned at each booking.

PL/pgSQL plans a statement anew for as long as it thinks that custom plans are better; half of a booking's time went there.
"""

import psycopg
import pytest
from fixtures_sql import BOOKING, Database, apply_schema
from pgcluster import PgCluster

pytest_plugins = ["fixtures_sql"]

CALLS = 30


@pytest.fixture(scope="module")
def counting():
    """A database that counts plans."""
    settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all", "pg_stat_statements.track_planning": "on"}
    with PgCluster(settings=settings) as cluster:
        url = cluster.create_database("plans")
        apply_schema(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        database = Database(url, cluster, "plans")
        database.device = database.enrol("ada@example.com")
        database.epoch = database.one("SELECT epoch FROM slotbell.mailbox")
        yield database
        database.close()


def planned(db, call, times=CALLS):
    """Statements inside of functions that were planned while `call` ran so often, after a first time: {text: plans}."""
    connection = db.connect()
    for n in range(2):
        call(connection, n)
    db.query("SELECT pg_stat_statements_reset()")
    for n in range(2, 2 + times):
        call(connection, n)
    return dict(db.query("SELECT left(query, 100), sum(plans) FROM pg_stat_statements WHERE NOT toplevel AND plans > 0 GROUP BY 1"))


def book(connection, uid, more=""):
    connection.execute(f"SELECT slotbell.publish('ada@example.com', %s, {BOOKING}{more})", (uid,))


PUBLISH = {
    "a new booking": lambda c, n: book(c, f"new-{n}"),
    "with everything": lambda c, n: book(c, f"all-{n}", """, attendees => '[{"email": "a@b.c"}]', details => '{"location": "x"}'"""),
    "changed each time": lambda c, n: book(c, "same", f", details => '{{\"location\": \"{n}\"}}'"),
    "unchanged": lambda c, n: book(c, "still"),
    "cancelled": lambda c, n: c.execute("SELECT slotbell.publish('ada@example.com', %s, change => 'cancelled')", (f"off-{n}",)),
    "nobody has a plug-in": lambda c, n: c.execute(f"SELECT slotbell.publish('nobody@example.com', %s, {BOOKING})", (f"{n}",)),
}


@pytest.mark.parametrize("kind", PUBLISH)
def test_a_publisher_plans_nothing_at_each_booking(counting, kind):
    assert planned(counting, PUBLISH[kind]) == {}


def test_nor_where_one_transaction_publishes_several(counting):
    def both(connection, n):
        with connection.transaction():
            book(connection, f"first-{n}")
            book(connection, f"second-{n}")

    assert planned(counting, both) == {}


def ack(connection, db, seq, failed="'{}', '{}', '{}'"):
    return connection.execute(f"SELECT outcome FROM slotbell.ack(%s, %s, %s, {failed}, '{{}}', %s, '{{1}}', '{{1700000000000000}}', '{{1}}')",
                              ([db.device], [db.epoch], [seq], [seq])).fetchone()[0]  # fmt: skip


def test_the_daemon_plans_nothing_at_each_booking(counting):
    db = counting
    head = db.one("SELECT head FROM slotbell.mailbox")
    publisher = db.connect()

    def live(connection, n):
        book(publisher, f"live-{n}")
        seq = head + 1 + n
        rows = connection.execute("SELECT seq FROM slotbell.next_events('{1}', %s, 32, 100000)", ([seq - 1],)).fetchall()
        assert rows == [(seq,)]
        assert ack(connection, db, seq) == "saved"

    assert planned(db, live) == {}

    def failed(connection, n):
        assert ack(connection, db, head + 1 + n, f"'{{1}}', '{{{head + 1 + n}}}', '{{conflict}}'") == "saved"
        connection.execute("SELECT slotbell.sent(%s, %s, '{1700000000000000}')", ([db.device], [head + 1 + n]))
        connection.execute("SELECT * FROM slotbell.next_events('{1}', %s, 32, 100000)", ([head + n],))
        connection.execute("SELECT * FROM slotbell.reconcile('{1}')")
        connection.execute("SELECT * FROM slotbell.authenticate('{1}', %s, '{t}')", ([bytes(32)],))

    assert planned(db, failed) == {}


def test_the_count_sees_plans_that_are_made(counting):
    """With its remedy taken out: what 0.1.0 had."""
    with psycopg.connect(counting.url, autocommit=True) as connection:
        connection.execute("ALTER FUNCTION slotbell.next_events RESET plan_cache_mode")
    try:
        found = planned(counting, lambda c, n: c.execute("SELECT * FROM slotbell.next_events('{1,2}', '{0,0}', 32, 100000)"))
        assert sum(found.values()) > 0
    finally:
        with psycopg.connect(counting.url, autocommit=True) as connection:
            connection.execute("ALTER FUNCTION slotbell.next_events SET plan_cache_mode = force_generic_plan")


SHOP = """
CREATE ROLE shopkeeper LOGIN;
GRANT slotbell_publisher TO shopkeeper;
CREATE SCHEMA shop AUTHORIZATION shopkeeper;
"""
ATTACHED = """
CREATE TABLE shop.hosts (id int PRIMARY KEY, email text);
INSERT INTO shop.hosts VALUES (1, 'ada@example.com'), (2, 'nobody@example.com');
CREATE TABLE shop.appointments (id int PRIMARY KEY, host int, starts_at timestamptz NOT NULL, title text NOT NULL, notes text);
SELECT slotbell.attach('shop.appointments', mailbox => '(SELECT h.email FROM shop.hosts h WHERE h.id = appointments.host)', uid => 'id', starts_at => 'starts_at',
    duration_minutes => '30', time_zone => 'UTC', subject => 'title');
"""
TABLE_WRITES = {
    "a new row": "INSERT INTO shop.appointments VALUES ({n} + 100, 1, '2031-05-06', 'Call')",
    "a row of the past": "INSERT INTO shop.appointments VALUES ({n} + 200, 1, '2001-05-06', 'Call')",
    "a row of nobody's": "INSERT INTO shop.appointments VALUES ({n} + 300, 2, '2031-05-06', 'Call')",
    "a change that is mapped": "INSERT INTO shop.appointments VALUES (1, 1, '2031-05-06', 'Call') ON CONFLICT (id) DO UPDATE SET title = '{n}'",
    "a change that is not": "INSERT INTO shop.appointments VALUES (2, 1, '2031-05-06', 'Call') ON CONFLICT (id) DO UPDATE SET notes = '{n}'",
    "another host, and back": "INSERT INTO shop.appointments VALUES (3, 1, '2031-05-06', 'Call') ON CONFLICT (id) DO UPDATE SET host = 2;;"
                              "UPDATE shop.appointments SET host = 1 WHERE id = 3",
    "a row that goes": "WITH old AS (DELETE FROM shop.appointments WHERE id = {n} + 399) INSERT INTO shop.appointments VALUES ({n} + 400, 1, '2031-05-06', 'Call')",
}


@pytest.fixture(scope="module")
def attached_counting(counting):
    counting.connect().execute(SHOP)
    counting.connect("shopkeeper").execute(ATTACHED)
    return counting


@pytest.mark.parametrize("kind", TABLE_WRITES)
def test_an_attached_table_plans_nothing_at_each_write(attached_counting, kind):
    def write(connection, n):
        for sql in TABLE_WRITES[kind].split(";;"):
            connection.execute(sql.format(n=n))

    assert planned(attached_counting, write) == {}
