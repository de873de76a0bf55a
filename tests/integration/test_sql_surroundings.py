"""What surrounds the schema: a publication of the whole database, a session whose triggers are off, a role that does not wait for the disk."""

import time

import pytest
from fixtures_sql import HASH, PROOF, SALT, Database, apply_schema, publish
from pgcluster import PgCluster
from receipts_help import ack, hello

pytest_plugins = ["fixtures_sql"]

ADA = "ada@example.com"
BEFORE = 8  # the version that 0.1.0 has
PUBLICATIONS = ["CREATE PUBLICATION everything FOR ALL TABLES", *(
    f"CREATE PUBLICATION part FOR ALL TABLES WITH (publish = '{ops}')" for ops in ("insert", "update", "delete", "update, delete", "truncate"))]  # fmt: skip


@pytest.fixture(scope="module")
def logical():
    """A cluster in which a publication stops what has no identity."""
    with PgCluster(settings={"wal_level": "logical"}) as cluster:
        yield cluster


def made(cluster, name, last=None):
    apply_schema(cluster.create_database(name), last)
    return Database(cluster.url(name), cluster, name)


@pytest.fixture
def published(logical, request):
    db = made(logical, "published")
    db.cluster.psql("DO $$ BEGIN CREATE ROLE shop_owner LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                    "GRANT slotbell_publisher TO shop_owner")  # fmt: skip
    db.cluster.psql("CREATE SCHEMA shop AUTHORIZATION shop_owner", "published")
    yield db
    db.close()
    logical.drop_database("published")


def all_of_a_booking(db):
    """Published, changed, fetched, acked, swept; attached; a device revoked and one more; resync; a new epoch; the mailbox forgotten."""
    device = db.enrol(ADA)
    with db.connect() as connection:
        for more in ("", ", change => 'updated', details => '{\"location\": \"Room 4\"}'"):
            assert publish(connection, ADA, "u", more) is not None
        with connection.transaction():
            for uid in "abc":
                publish(connection, ADA, uid)
    at = hello(db, device)
    assert at["head"] == 5
    db.query("SELECT slotbell.sent('{2}', '{1}', '{5}')")
    assert ack(db, device, 3, failed={2: "conflict"}) == ("saved", 3)
    assert db.query("SELECT slotbell.sweep_alone()") == [True]
    assert db.query("SELECT events FROM slotbell.sweep(0, 0, 200, 1000, 0, 14, 90, 90)") == [3]
    owner = db.connect("shop_owner")
    owner.execute("CREATE TABLE shop.visits (id int PRIMARY KEY, host text, starts_at timestamptz NOT NULL, gone boolean NOT NULL DEFAULT false)")
    owner.execute("SELECT slotbell.attach('shop.visits', mailbox => 'host', uid => '''v-'' || id', starts_at => 'starts_at', duration_minutes => '30',"
                  " time_zone => 'UTC', subject => '''Call''', cancelled_when => 'gone')")  # fmt: skip
    owner.execute(f"INSERT INTO shop.visits VALUES (1, '{ADA}', now() + interval '1 day'), (2, '{ADA}', now() + interval '1 day')")
    owner.execute("UPDATE shop.visits SET gone = true WHERE id = 1")
    assert len(db.seqs(ADA)) == 2 + 3
    second = db.enrol(ADA)
    assert owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (1,)
    assert db.query("SELECT slotbell.rotate(%s, %s, %s, NULL)", second, SALT, HASH) == [True]
    assert db.query("SELECT slotbell.revoke(%s)", second) == [True]
    owner.execute("SELECT slotbell.detach('shop.visits')")
    db.query("SELECT slotbell.new_epoch()")
    assert publish(db.connect(), ADA, "after") is not None
    db.enrol("canary-1@doctor.invalid")
    assert db.query("SELECT slotbell.forget_canaries('canary-1@doctor.invalid')") == [1]
    db.query("SELECT slotbell.authenticate(%s, %s, '{t}')", [device], [PROOF])
    db.query("SELECT slotbell.attend('aa', 60, '{1}', %s, '{t}')", [device])


@pytest.mark.parametrize("publication", PUBLICATIONS)
def test_a_publication_of_all_tables_stops_nothing(published, publication):
    published.cluster.psql(publication, "published")
    all_of_a_booking(published)


def test_every_logged_table_has_an_identity_that_can_be_used(db):
    """One rule, for tables to come as well."""
    assert db.query("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relkind IN ('r', 'p')"
                    " AND c.relpersistence = 'p' AND c.relreplident <> 'f' AND NOT (c.relreplident = 'd' AND EXISTS"
                    " (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))") == []  # fmt: skip


# ---- session_replication_role ----


def replica(db, autocommit=True):
    connection = db.connect(autocommit=autocommit)
    connection.execute("SET session_replication_role = replica")
    return connection


def test_a_session_whose_triggers_are_off_publishes_as_any_other(db):
    db.enrol(ADA)
    connection = replica(db)
    assert publish(connection, ADA, "one") is not None
    with connection.transaction():
        for uid in ("two", "three"):
            publish(connection, ADA, uid)
    assert publish(db.connect(), ADA, "four") is not None
    assert db.seqs(ADA) == [1, 2, 3, 4]
    assert db.query("SELECT count(*) FROM slotbell.event WHERE seq IS NULL OR version IS NULL") == [0]


def test_what_such_a_session_publishes_for_nobody_is_not_kept(db):
    device = db.enrol(ADA)
    db.query("SELECT slotbell.revoke(%s)", device)
    publish(replica(db), ADA, "one")
    assert db.query("SELECT 1 FROM slotbell.event") == []


def test_such_a_session_notes_what_a_new_device_lacks_and_a_new_epoch(db):
    with replica(db) as connection:
        connection.execute("SELECT slotbell.enrol(%s, 'test', NULL, %s, %s)", (ADA, SALT, HASH))
        assert db.query("SELECT reasons FROM slotbell.needs_resync") == [["enrolled"]]
        connection.execute("SELECT slotbell.new_epoch()")
        assert db.query("SELECT reasons FROM slotbell.needs_resync") == [["enrolled", "epoch"]]


def test_such_a_session_on_another_timeline_notes_the_new_epoch(db):
    db.enrol(ADA)
    publish(db.connect(), ADA, "before")
    db.query("UPDATE slotbell.mailbox SET timeline = timeline + 1 RETURNING 1")
    publish(replica(db), ADA, "after")
    assert "epoch" in db.one("SELECT reasons FROM slotbell.needs_resync")


def test_a_subscriber_with_a_copy_of_the_schema_gets_each_row_once(logical):
    """The worker that applies them has that setting too: no trigger of ours may write there what comes as well."""
    source, copy = made(logical, "source"), made(logical, "copy")
    logical.psql("CREATE PUBLICATION everything FOR ALL TABLES", "source")
    logical.psql("TRUNCATE slotbell.time_zone, slotbell.migration, slotbell.guard, slotbell.sweep_lease", "copy")
    tables = ("mailbox", "device", "event", "booking_state", "receipt", "resync_need")
    source.query("SELECT pg_create_logical_replication_slot('copies', 'pgoutput')")
    logical.psql(f"CREATE SUBSCRIPTION copies CONNECTION '{source.url}' PUBLICATION everything"
                 " WITH (create_slot = false, slot_name = 'copies')", "copy")  # fmt: skip
    try:
        device = source.enrol(ADA)
        with source.connect() as connection:
            for uid in "abc":
                publish(connection, ADA, uid)
        ack(source, device, 2)
        source.query("SELECT slotbell.new_epoch()")
        source.enrol(ADA)
        publish(source.connect(), ADA, "last")

        def held(db):
            return {table: sorted(map(str, db.query(f"SELECT t::text FROM slotbell.{table} t"))) for table in tables}

        want = held(source)
        assert all(want.values())
        until = time.monotonic() + 60
        while held(copy) != want and time.monotonic() < until:
            time.sleep(0.05)
        assert held(copy) == want
    finally:
        logical.psql("DROP SUBSCRIPTION copies", "copy")
        for db in (source, copy):
            db.close()
            logical.drop_database(db.name)


def left_by_0_1_0(cluster, name):
    """Published by a session whose triggers were off: current ones, one that was overtaken, one for nobody."""
    db = made(cluster, name, last=BEFORE)
    db.enrol(ADA)
    bob = db.enrol("bob@example.com")
    off = replica(db)
    publish(off, ADA, "left")
    publish(off, ADA, "twice")
    publish(off, ADA, "twice", ", change => 'updated', details => '{\"location\": \"Room 4\"}'")
    publish(off, ADA, "overtaken")
    publish(off, "bob@example.com", "nobody")
    connection = db.connect()
    publish(connection, ADA, "overtaken", ", change => 'updated', details => '{\"location\": \"Room 5\"}'")
    publish(connection, ADA, "cancelled")
    off.execute("SELECT slotbell.publish(%s, 'cancelled', change => 'cancelled')", (ADA,))
    db.query("SELECT slotbell.revoke(%s)", bob)
    return db


def test_what_0_1_0_left_without_a_number_is_delivered_as_it_is_now(sql_cluster):
    db = left_by_0_1_0(sql_cluster, "left_over")
    assert db.one("SELECT count(*) FROM slotbell.event WHERE seq IS NULL") == 6
    said = apply_schema(db.url, after=BEFORE)
    assert any("without a number" in line for line in said), said
    events = db.query("SELECT uid, change, details ->> 'location' FROM slotbell.event ORDER BY mailbox_id, seq")
    assert events == [("overtaken", "updated", "Room 5"), ("cancelled", "created", None), ("left", "created", None),
                      ("twice", "updated", "Room 4"), ("cancelled", "cancelled", None)]  # fmt: skip
    assert db.seqs(ADA) == [1, 2, 3, 4, 5]
    assert db.query("SELECT s.uid FROM slotbell.booking_state s WHERE s.seq IS NULL OR s.mailbox_id = 2") == []
    db.close()
    sql_cluster.drop_database(db.name)


# ---- synchronous_commit ----


@pytest.fixture(scope="module")
def lazy():
    """A cluster whose sessions do not wait for the disk, and whose WAL is written late."""
    with PgCluster(settings={"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB",
                             "autovacuum": "off", "checkpoint_timeout": "1h"}) as cluster:  # fmt: skip
        yield cluster


def crash(cluster):
    cluster.stop("immediate")
    cluster.start()


def test_nothing_that_a_client_forgets_is_lost_in_a_crash(lazy):
    db = made(lazy, "lazy")
    lazy.psql("CHECKPOINT")
    with db.connect() as control:
        control.execute("CREATE TABLE public.control (told int)")
        control.execute("SELECT pg_switch_wal()")
        control.execute("CHECKPOINT")
    device, other = db.enrol(ADA), db.enrol(ADA)
    crash(lazy)
    assert db.query("SELECT id FROM slotbell.device ORDER BY id") == [device, other]
    publish(db.connect(), ADA, "u")
    crash(lazy)
    assert db.seqs(ADA) == [1]
    assert ack(db, device, 1) == ("saved", 1)
    crash(lazy)
    assert db.one("SELECT acked FROM slotbell.device WHERE id = %s", device) == 1
    assert db.one("SELECT slotbell.revoke(%s)", other)
    crash(lazy)
    assert db.one("SELECT revoked_at IS NOT NULL FROM slotbell.device WHERE id = %s", other)
    assert db.one("SELECT slotbell.rotate(%s, %s, %s, NULL)", device, SALT, bytes(32))
    crash(lazy)
    assert db.one("SELECT hash FROM slotbell.device WHERE id = %s", device) == bytes(32)
    was = db.one("SELECT epoch FROM slotbell.mailbox")
    db.query("SELECT slotbell.new_epoch()")
    crash(lazy)
    assert db.one("SELECT epoch FROM slotbell.mailbox") != was
    # And the same without a remedy, or this test could not fail.
    db.query("INSERT INTO public.control VALUES (1) RETURNING 1")
    crash(lazy)
    assert db.query("SELECT told FROM public.control") == []
    db.close()
    lazy.drop_database("lazy")


@pytest.mark.parametrize(("setting", "kept"), [("local", "local"), ("remote_apply", "remote_apply"), ("off", "on")])
def test_a_stronger_setting_stays(db, setting, kept):
    device = db.enrol(ADA)
    publish(db.connect(), ADA, "u")
    connection = db.connect(autocommit=False)
    connection.execute(f"SET synchronous_commit = {setting}")
    connection.execute("SELECT slotbell.ack(%s, ARRAY(SELECT epoch FROM slotbell.mailbox), '{1}', '{}', '{}', '{}')", ([device],))
    assert connection.execute("SHOW synchronous_commit").fetchone() == (kept,)
    connection.rollback()
