"""One step of the schema at a time: a database of 0.1.0 that is in use gets step 9, and all goes on."""

import itertools

import psycopg
import pytest
from fixtures_sql import PROOF, Database, apply_schema, publish
from receipts_help import ADA, BOB, ack, age, book, epoch, hello, sweep_all

pytest_plugins = ["fixtures_sql"]

BEFORE = 8  # the version that 0.1.0 has
names = itertools.count(1)

# What 0.1.0's daemon sends (daemon/store/*.c at its release).
OLD_DAEMON = {
    "authenticate": "SELECT item, outcome, mailbox_id, address, session_no, acked, expires_at_s, head, epoch, previous_epoch, base, floor"
                    " FROM slotbell.authenticate(%s::bigint[], %s::bytea[], %s::boolean[])",
    "fetch": "SELECT mailbox_id, after, head, epoch, previous_epoch, base, floor, seq, change, published_at_us, uid, starts_at_s, starts_local,"
             " time_zone, duration_minutes, subject, attendees, details FROM slotbell.fetch(%s::bigint[], %s::bigint[], %s::int, %s::int)",
    "ack": "SELECT item, outcome, acked FROM slotbell.ack(%s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::bigint[], %s::text[],"
           " %s::int[], %s::bigint[], %s::int[], %s::bigint[], %s::bigint[])",
    "sent": "SELECT slotbell.sent(%s::bigint[], %s::bigint[], %s::bigint[])",
    "presence": "SELECT slotbell.presence(%s::text, %s::int, %s::bigint[], %s::bigint[], %s::boolean[])",
    "reconcile": "SELECT device_id, outcome, session_no, acked, head, epoch, previous_epoch, base, floor FROM slotbell.reconcile(%s::bigint[])",
    "sweep_alone": "SELECT slotbell.sweep_alone()",
    "sweep": "SELECT next_mailbox, next_device, events, expired, bookings, receipts, stale, removed"
             " FROM slotbell.sweep(%s::bigint, %s::bigint, %s::int, %s::int, %s::int, %s::int, %s::int, %s::int)",
    "schema_version": "SELECT slotbell.schema_version()",
}  # fmt: skip

ATTACH = ("SELECT slotbell.attach('shop.visits', mailbox => 'host', uid => '''v-'' || id', starts_at => 'starts_at', duration_minutes => 'minutes',"
          " time_zone => 'UTC', subject => 'title', cancelled_when => 'gone')")  # fmt: skip
LINKS = ("https://meet.example.com/4", "javascript:alert(1)")


def put_in_use(db):
    """Mailboxes, devices, events that wait, receipts, sessions, an attached table with rows, a refusal and needs."""
    ada, bob, revoked = db.enrol(ADA), db.enrol(BOB), db.enrol(BOB)
    db.query("SELECT slotbell.revoke(%s)", revoked)
    book(db, "done", "failed", "waits")
    book(db, "for-bob", mailbox=BOB)
    ack(db, ada, 2, failed={2: "conflict"}, sent={1: 1, 2: 2})
    db.query("SELECT slotbell.sent('{2}', '{1}', '{5}')")
    db.query("SELECT slotbell.presence('aa', 60, '{1,2}', %s, '{t,t}')", [ada, bob])
    with db.connect() as connection:
        for link in LINKS:
            publish(connection, ADA, link, f""", details => '{{"join_url": "{link}"}}'""")
        connection.execute("CREATE SCHEMA shop AUTHORIZATION shop_owner")
        connection.execute("SET ROLE shop_owner")
        connection.execute("CREATE TABLE shop.visits (id int PRIMARY KEY, host text, starts_at timestamptz NOT NULL, minutes int NOT NULL,"
                           " title text NOT NULL, gone boolean NOT NULL DEFAULT false)")  # fmt: skip
        connection.execute(ATTACH)
        connection.execute(f"INSERT INTO shop.visits VALUES (1, '{ADA}', now() + interval '1 day', 30, 'Intro call'),"
                           f" (2, '{BOB}', now() + interval '1 day', 30, 'Intro call'), (3, '{ADA}', now() + interval '1 day', 0, 'refused')")  # fmt: skip
    return ada, bob


@pytest.fixture
def roles(sql_cluster):
    with psycopg.connect(sql_cluster.url("postgres"), autocommit=True) as connection:
        for role, group in (("shop_owner", "slotbell_publisher"), ("step_daemon", "slotbell_daemon")):
            connection.execute(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
            connection.execute(f"GRANT {group} TO {role}")


def database(cluster, last):
    name = f"step_{next(names)}"
    url = cluster.create_database(name)
    apply_schema(url, last)
    return Database(url, cluster, name)


@pytest.fixture
def used(sql_cluster, roles):
    """A database of 0.1.0 in use, with the devices of ADA and BOB."""
    made = database(sql_cluster, BEFORE)
    made.devices = put_in_use(made)
    yield made
    made.close()
    sql_cluster.drop_database(made.name)


def upgrade(db):
    return apply_schema(db.url, after=BEFORE)


def columns(db):
    """Those of every table but the one in which steps are written down."""
    return dict(db.query("SELECT c.table_name, string_agg(quote_ident(c.column_name), ', ' ORDER BY c.ordinal_position)"
                         " FROM information_schema.columns c JOIN pg_tables t ON t.schemaname = c.table_schema AND t.tablename = c.table_name"
                         " WHERE c.table_schema = 'slotbell' AND c.table_name <> 'migration' GROUP BY 1"))  # fmt: skip


def rows(db, of):
    """What these columns of these tables hold."""
    return {table: db.one(f"SELECT coalesce(string_agg(ROW({names})::text, chr(10) ORDER BY ROW({names})::text), '') FROM slotbell.{table}")
            for table, names in of.items()}  # fmt: skip


def test_the_step_changes_no_row_and_says_what_is_no_longer_done(used):
    of = columns(used)
    before = rows(used, of)
    assert all(before.values()), "every table is in use"
    said = upgrade(used)
    of["booking_state"] = of["booking_state"].replace("version", "seq")  # what it held has its right name
    # localtime and the like are no time zones any more: see test_sql_time_zone.py
    before["time_zone"] = "\n".join(line for line in before["time_zone"].split("\n") if line not in ("(localtime)", "(Factory)"))
    assert rows(used, of) == before
    assert used.one("SELECT slotbell.schema_version()") == 9
    assert used.one("SELECT sessions FROM slotbell.instance") == 2
    assert any("join_url" in line for line in said) and any("delivery_of" in line for line in said), said


def test_a_fresh_schema_says_nothing_of_what_it_never_did(sql_cluster, roles):
    db = database(sql_cluster, BEFORE)
    assert not [line for line in upgrade(db) if "join_url" in line or "delivery_of" in line]
    db.close()
    sql_cluster.drop_database(db.name)


def test_what_waited_is_fetched_and_acked_after_the_step(used):
    ada, bob = used.devices
    upgrade(used)
    at = hello(used, ada)
    assert (at["outcome"], at["acked"]) == ("ok", 2)
    fetched = used.query("SELECT uid FROM slotbell.fetch(%s, %s, 32, 262144)", [at["mailbox_id"]], [at["acked"]])
    assert fetched == ["waits", *LINKS, "v-1"]
    assert ack(used, ada, at["head"]) == ("saved", at["head"])
    assert ack(used, bob, 2) == ("saved", 2)
    assert sweep_all(used)["events"] == at["head"] + 2
    states = used.query("SELECT uid, state FROM slotbell.delivery WHERE device = %s ORDER BY seq", ada)
    assert dict(states) == {"done": "written", "failed": "failed", "waits": "written", **dict.fromkeys(LINKS, "written"), "v-1": "written"}


def test_what_0_1_0_took_and_its_plug_ins_cannot_read_is_said_so_that_they_can(used):
    details = """'{"organizer": {"name": null, "email": "o@example.com"}}'"""
    with used.connect() as connection:
        publish(connection, ADA, "nulls", f", details => {details}")
        connection.execute("SELECT slotbell.publish(%s, 'late', '9999-12-31 20:00+00', 30, 'Asia/Tokyo', 'Late')", (ADA,))
    before = used.query("SELECT details, starts_local::text FROM slotbell.event WHERE uid IN ('nulls', 'late')")
    upgrade(used)
    assert used.query("SELECT details, starts_local::text FROM slotbell.event WHERE uid IN ('nulls', 'late')") == before
    for function in ("fetch", "next_events"):
        told = {row[0]: row[1:] for row in used.query(f"SELECT uid, details, starts_local FROM slotbell.{function}('{{1}}', '{{0}}', 32, 262144)")}
        assert told["nulls"][0] == '{"organizer": {"email": "o@example.com"}}'
        assert told["late"][1] == "9999-12-31T23:59:59"


def test_a_booking_of_before_the_step_rings_no_second_time_and_can_be_cancelled(used):
    upgrade(used)
    connection = used.connect()
    assert publish(connection, ADA, "waits") is None
    assert connection.execute("SELECT slotbell.publish(%s, 'waits', change => 'cancelled')", (ADA,)).fetchone() != (None,)
    assert publish(connection, ADA, "new") is not None


def test_a_table_that_was_attached_before_the_step_rings_on(used):
    upgrade(used)
    connection = used.connect("shop_owner")
    before = len(used.seqs(ADA))
    connection.execute(f"INSERT INTO shop.visits VALUES (4, '{ADA}', now() + interval '1 day', 30, 'Another')")
    connection.execute("UPDATE shop.visits SET title = 'Changed' WHERE id = 1")
    connection.execute("UPDATE shop.visits SET gone = true WHERE id = 4")
    assert len(used.seqs(ADA)) == before + 3
    assert connection.execute("SELECT code FROM slotbell.refusals WHERE uid = 'v-3'").fetchone() == ("SB004",)


CATALOG = {
    "functions": "SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proowner::regrole::text,"
                 " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) a) FROM pg_proc p"
                 " WHERE p.pronamespace = 'slotbell'::regnamespace",
    "relations": "SELECT c.relname, c.relkind, c.relpersistence, c.relreplident, c.reloptions, c.relowner::regrole::text, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,"
                 " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) a) FROM pg_class c WHERE c.relnamespace = 'slotbell'::regnamespace",
    "columns": "SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,"
               " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
               " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
               " WHERE c.relnamespace = 'slotbell'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'slotbell'::regnamespace",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'slotbell'",
    "triggers": "SELECT pg_get_triggerdef(t.oid), t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                " WHERE c.relnamespace = 'slotbell'::regnamespace AND NOT t.tgisinternal",
    "schema": "SELECT nspowner::regrole::text, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(nspacl) a), obj_description(oid, 'pg_namespace')"
              " FROM pg_namespace WHERE nspname = 'slotbell'",
    "defaults": "SELECT d.defaclobjtype, d.defaclrole::regrole::text, d.defaclacl::text FROM pg_default_acl d",
}  # fmt: skip


def catalog(db):
    return {what: sorted(map(str, db.query(sql))) for what, sql in CATALOG.items()}


def test_an_upgraded_schema_is_the_same_as_a_fresh_one(used, db):
    upgrade(used)
    assert catalog(used) == catalog(db)


# ---- the daemon of before ----


def old_daemon(db):
    connection = db.connect("step_daemon")

    def call(word, *values):
        return connection.execute(OLD_DAEMON[word], values or None).fetchall()

    return call


def test_the_statements_of_the_daemon_of_before_work_after_the_step(used):
    ada, _ = used.devices
    upgrade(used)
    call = old_daemon(used)
    assert call("schema_version") == [(9,)]
    ((item, outcome, mailbox, *_),) = call("authenticate", [ada], [PROOF], [True])
    assert (item, outcome) == (1, "ok")
    fetched = call("fetch", [mailbox], [2], 32, 262144)
    assert [row[7] for row in fetched] == [3, 4, 5, 6]
    assert call("sent", [ada], [3], [1]) == [("",)]
    this = epoch(used, ADA)
    assert call("ack", [ada], [this], [3], [1], [3], ["rejected"], [1], [3], [1], [7], [1]) == [(1, "saved", 3)]
    assert used.query("SELECT state, reason FROM slotbell.delivery WHERE seq = 3 AND device = %s", ada) == [("failed", "rejected")]
    assert call("presence", "aa", 16, [3], [ada], [True]) == [(True,)]
    assert [row[:2] for row in call("reconcile", [ada, 99])] in ([(ada, "ok"), (99, "unknown")], [(99, "unknown"), (ada, "ok")])
    assert call("sweep_alone") == [(True,)]
    assert call("sweep", 0, 0, 200, 1000, 5, 14, 90, 90)[0][0] is None


def test_the_daemon_of_before_sweeps_and_goes_on_where_the_lease_went_to_another(used):
    """It asks once whether it is the one that sweeps. What it does after that depends on the lease all the same."""
    upgrade(used)
    ada, bob = used.devices
    ack(used, ada, 6)
    ack(used, bob, 2)
    age(used, 1)
    old, new = old_daemon(used), used.connect("step_daemon")
    step = "SELECT held, events FROM slotbell.sweep_step(0, 0, 200, 1, 5, 14, 90, 90)"
    assert old("sweep_alone") == [(True,)]
    assert old("sweep", 0, 0, 200, 1, 5, 14, 90, 90)[0][2] == 1
    assert new.execute(step).fetchone() == (False, 0)
    used.query("UPDATE slotbell.sweep_lease SET lease_until = clock_timestamp() RETURNING 1")
    assert new.execute(step).fetchone() == (True, 1)
    assert old("sweep", 0, 0, 200, 1, 5, 14, 90, 90)[0] == (None, 0, 0, 0, 0, 0, 0, 0)
    assert old("sweep_alone") == [(False,)]
    used.query("UPDATE slotbell.sweep_lease SET lease_until = clock_timestamp() RETURNING 1")
    assert old("sweep", 0, 0, 200, 1, 5, 14, 90, 90)[0][2] == 1


def test_something_planted_that_depends_on_a_function_stops_no_upgrade(used):
    """Whoever may use the schema can make a view over its functions."""
    with used.connect() as connection:
        connection.execute("GRANT CREATE ON SCHEMA shop TO slotbell_publisher; SET ROLE slotbell_publisher")
        for function in ("address_lock('a')", "schema_version()", "delivery_of('u')", "publish('a', 'b')"):
            connection.execute(f"CREATE VIEW shop.planted_{function.partition('(')[0]} AS SELECT slotbell.{function}")
    said = upgrade(used)
    assert any("address_lock" in line for line in said), said
    assert used.one("SELECT slotbell.schema_version()") == 9


def test_a_mailbox_that_nobody_can_publish_to_any_more_is_named_by_its_number(sql_cluster, roles):
    db = database(sql_cluster, BEFORE)
    db.enrol("plain@example.com")
    db.enrol("a,b@example.com")
    said = [line for line in upgrade(db) if "SB001): " in line]
    assert len(said) == 1 and said[0].endswith(": 2") and "a,b" not in said[0]
    db.close()
    sql_cluster.drop_database(db.name)
