"""What was published last for a row is remembered: every kind of change that a comparison of OLD and NEW gets wrong."""

import subprocess

import psycopg
import pytest
from fixtures_attach import ADA, BOB, PAST, TO_COME
from fixtures_sql import Database, apply_schema
from receipts_help import sweep_all
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_attach"]

HOSTS = """
CREATE TABLE shop.hosts (id int PRIMARY KEY, email text);
INSERT INTO shop.hosts VALUES (1, 'ada@example.com'), (2, 'bob@example.com');
CREATE TABLE shop.lessons (LIKE shop.appointments INCLUDING ALL, host int REFERENCES shop.hosts ON DELETE CASCADE);
GRANT ALL ON shop.hosts, shop.lessons TO web;
"""
HOST = "(SELECT h.email FROM shop.hosts h WHERE h.id = lessons.host)"
REMEMBERED = "SELECT uid FROM slotbell.attached_row ORDER BY uid"


def lesson(shop, number=1, host=1, more=""):
    shop.write(f"INSERT INTO shop.lessons (id, host, starts_at, title) VALUES ({number}, {host}, '{TO_COME}', 'Lesson{more}')")


@pytest.fixture
def lessons(shop):
    """Whose address is in another table."""
    shop.owner.execute(HOSTS)
    shop.attach("shop.lessons", mailbox=HOST)
    lesson(shop)
    assert shop.rang() == [("created", "1")]
    return shop


@pytest.fixture
def two(shop):
    """Two tables that are attached, and the uid is a column that anything may be written to."""
    shop.owner.execute("CREATE TABLE shop.visits (LIKE shop.appointments INCLUDING ALL); GRANT ALL ON shop.visits TO web")
    for table in ("shop.appointments", "shop.visits"):
        shop.attach(table, uid="coalesce(notes, 'none')")
    shop.book(1, notes="x")
    assert shop.rang() == [("created", "x")]
    return shop


def together(shop, *statements):
    with shop.web.transaction():
        for statement in statements:
            shop.write(statement)


# ---- other tables ----


def test_a_host_with_another_address_moves_the_appointments_that_are_touched(lessons):
    lessons.write(f"UPDATE shop.hosts SET email = '{BOB}' WHERE id = 1")
    assert lessons.rang() == []
    lessons.write("UPDATE shop.lessons SET host = host")
    assert (lessons.rang(ADA), lessons.rang(BOB)) == ([("cancelled", "1")], [("created", "1")])


def test_a_host_that_goes_takes_the_appointments_along(lessons):
    lessons.write("DELETE FROM shop.hosts WHERE id = 1")
    assert lessons.rang() == [("cancelled", "1")]


def test_a_row_whose_mapping_failed_once_is_cancelled_and_is_there_again(shop):
    shop.attach(duration_minutes="(notes)::integer")
    shop.book(notes="30")
    shop.write("UPDATE shop.appointments SET notes = 'half an hour'")
    assert shop.rang() == [("created", "1")] and [state for state, _ in shop.warnings()] == ["22P02"]
    shop.write("UPDATE shop.appointments SET notes = '30'")
    assert shop.rang() == [], "what was published last is what it is"
    shop.write("UPDATE shop.appointments SET notes = 'half an hour'")
    shop.write("DELETE FROM shop.appointments")
    assert shop.rang() == [("cancelled", "1")]


# ---- one uid, several rows ----

NEW = f"INSERT INTO shop.{{}} (id, host_email, starts_at, notes) VALUES (9, '{ADA}', '{TO_COME}', 'x')"
OLD = "DELETE FROM shop.appointments WHERE id = 1"


@pytest.mark.parametrize("table", ["appointments", "visits"])
@pytest.mark.parametrize("new_first", [True, False])
def test_a_row_that_takes_a_uid_over_in_one_transaction_is_no_cancel(two, table, new_first):
    together(two, *((NEW.format(table), OLD) if new_first else (OLD, NEW.format(table))))
    assert two.rang() == [], "the same booking"
    two.write(f"UPDATE shop.{table} SET title = 'Other'")
    two.write(f"DELETE FROM shop.{table}")
    assert two.rang() == [("updated", "x"), ("cancelled", "x")]


@pytest.mark.parametrize("table", ["appointments", "visits"])
def test_the_new_row_first_and_the_old_one_deleted_later(two, table):
    two.write(NEW.format(table))
    two.write(OLD)
    assert two.rang() == []


@pytest.mark.parametrize("statements", [
    ["UPDATE shop.appointments SET notes = CASE notes WHEN 'x' THEN 'y' ELSE 'x' END"],
    ["UPDATE shop.appointments SET notes = 'y' WHERE id = 1", "UPDATE shop.appointments SET notes = 'x' WHERE id = 2"],
    ["UPDATE shop.appointments SET id = 3 - id"],
])  # fmt: skip
def test_two_rows_that_swap_are_both_there(two, statements):
    two.owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey, ADD PRIMARY KEY (id) DEFERRABLE")
    two.attach(uid="coalesce(notes, 'none')")
    two.book(2, notes="y", title="Second")
    two.rang()
    together(two, *statements)
    assert {change for change, _ in two.rang()} <= {"updated"}
    rows = two.db.query("SELECT notes, title FROM shop.appointments ORDER BY 1")
    assert [(uid, two.event("subject", uid)) for uid in "xy"] == rows


def test_changed_and_changed_back_in_one_transaction_is_silent(two):
    together(two, "UPDATE shop.appointments SET title = 'Other', notes = 'y'", "UPDATE shop.appointments SET title = 'Intro call', notes = 'x'")
    together(two, "INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (5, 'ada@example.com', '2031-05-06')", "DELETE FROM shop.appointments WHERE id = 5")
    assert two.rang() == []


def test_a_claim_that_commits_first_is_seen_by_who_releases(two):
    """Two transactions at once: one deletes the row, another writes it in the other table."""
    new, old = two.connect("web", autocommit=False), two.connect("web", autocommit=False)
    new.execute(NEW.format("visits"))
    new.execute("SET CONSTRAINTS ALL IMMEDIATE")
    old.execute(OLD)
    deleting = in_thread(old.commit)
    wait_until("the delete waits for the booking", lambda: waits_for_a_lock(two.db, old))
    new.commit()
    deleting.result()
    assert two.rang() == []


def released_first(two):
    new, old = two.connect("web", autocommit=False), two.connect("web", autocommit=False)
    old.execute(OLD)
    old.execute("SET CONSTRAINTS ALL IMMEDIATE")
    new.execute(NEW.format("visits"))
    claiming = in_thread(new.commit)
    wait_until("the claim waits for the booking", lambda: waits_for_a_lock(two.db, new))
    old.commit()
    claiming.result()
    return two.rang()


def test_a_claim_that_waits_for_a_cancel_is_there_after_it(two):
    assert released_first(two) == [("cancelled", "x"), ("created", "x")]


def test_without_opening_it_again_it_would_be_gone(two):
    two.db.cripple("judged", ("AND slotbell.open_again(to_mailbox, named)", "AND false"))
    assert released_first(two) == [("cancelled", "x")]


# ---- when it is judged ----


def test_what_is_judged_early_is_judged_again(two):
    with two.web.transaction():
        for title in ("A", "B", "C"):
            two.write(f"UPDATE shop.appointments SET title = '{title}'")
            two.write("SET CONSTRAINTS ALL IMMEDIATE")
            two.write("SET CONSTRAINTS ALL DEFERRED")
        two.write("UPDATE shop.appointments SET title = 'D'")
    assert two.event("subject", "x") == "D" and two.db.query("SELECT * FROM shop.slotbell_keys_appointments") == []


def test_under_immediate_constraints_all_that_is_there_in_the_end_is_there(two):
    with two.web.transaction():
        two.write("SET CONSTRAINTS ALL IMMEDIATE")
        two.write(OLD)
        two.write(NEW.format("visits"))
    assert two.rang()[-1] == ("created", "x")


@pytest.mark.parametrize("rolled_back", ["DELETE FROM shop.appointments", "UPDATE shop.appointments SET title = 'No'", "SET CONSTRAINTS ALL IMMEDIATE"])
def test_what_a_savepoint_took_back_never_was(two, rolled_back):
    with two.web.transaction():
        two.write("UPDATE shop.appointments SET title = 'Yes'")
        two.write("SAVEPOINT here")
        two.write(rolled_back)
        two.write("ROLLBACK TO here")
    assert two.rang() == [("updated", "x")] and two.event("subject", "x") == "Yes"
    assert two.db.query("SELECT * FROM shop.slotbell_keys_appointments") == []


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_stricter_isolation_is_judged_as_well(two, level):
    with two.web.transaction():
        two.write(f"SET TRANSACTION ISOLATION LEVEL {level}")
        two.write("UPDATE shop.appointments SET title = 'Other'")
        two.write(NEW.format("visits"))
        two.write(OLD)
    assert two.rang() == [] or two.event("subject", "x") == "Intro call"
    two.write("DELETE FROM shop.visits")
    assert two.rang()[-1] == ("cancelled", "x")


def test_merge_rings_as_what_it_does(two):
    if two.web.info.server_version < 150000:
        pytest.skip("MERGE is of PostgreSQL 15")
    two.write(f"MERGE INTO shop.appointments a USING (VALUES (1, 'x'), (2, 'y')) AS v (id, notes) ON a.id = v.id"
              f" WHEN MATCHED THEN UPDATE SET title = 'Other' WHEN NOT MATCHED THEN INSERT (id, host_email, starts_at, notes) VALUES (2, '{ADA}', '{TO_COME}', 'y')")  # fmt: skip
    assert two.rang() == [("updated", "x"), ("created", "y")]
    two.write("MERGE INTO shop.appointments a USING (VALUES (1)) AS v (id) ON a.id = v.id WHEN MATCHED THEN DELETE")
    assert two.rang() == [("cancelled", "x")]


@pytest.mark.parametrize("setting", ["unjudged", "events", "postponed", "numbered"])
@pytest.mark.parametrize("value", ["", "0", "7", "one", "-1", "99999999999", "x'y"])
def test_settings_that_a_writer_may_change_lose_nothing(attached, setting, value):
    attached.web.execute("SELECT set_config(%s, %s, false)", (f"slotbell.{setting}", value))
    with attached.web.transaction():
        attached.book(1)
        attached.book(2, host_email=BOB)
    with attached.web.transaction():
        attached.write("UPDATE shop.appointments SET host_email = CASE id WHEN 1 THEN %s ELSE %s END", BOB, ADA)
    assert sorted(attached.rang(ADA)) == [("cancelled", "1"), ("created", "1"), ("created", "2")]
    assert sorted(attached.rang(BOB)) == [("cancelled", "2"), ("created", "1"), ("created", "2")]
    assert attached.db.query("SELECT * FROM shop.slotbell_keys_appointments") == []


LATE = """
CREATE FUNCTION shop.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE shop.appointments SET title = 'late' WHERE id = 1; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON shop.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.late();
GRANT ALL ON shop.bait TO web;
"""


@pytest.mark.parametrize("bait_first", [True, False])
def test_a_deferred_trigger_of_the_backends_own_is_seen(two, bait_first):
    two.owner.execute("CREATE TABLE shop.bait (x int);" + LATE)
    statements = ["INSERT INTO shop.bait VALUES (1)", "UPDATE shop.appointments SET title = 'early'"]
    together(two, *(statements if bait_first else reversed(statements)))
    assert two.event("subject", "x") == "late"


@pytest.mark.parametrize("change", [
    "ALTER TABLE shop.appointments ADD colour text", "CREATE INDEX ON shop.appointments (title)", "SELECT slotbell.detach('shop.appointments')",
    "ALTER TABLE shop.appointments RENAME TO renamed; ALTER TABLE shop.renamed RENAME TO appointments", "CREATE TABLE shop.copy AS SELECT * FROM shop.appointments",
    "CLUSTER shop.appointments USING appointments_pkey",
])  # fmt: skip
def test_a_writers_transaction_may_change_the_table_too(two, change):
    owner = two.connect("shopkeeper", autocommit=False)
    owner.execute("UPDATE shop.appointments SET title = 'Other'")
    owner.execute(change)
    owner.commit()
    assert two.rang() == [("updated", "x")]


def test_attached_again_with_another_key_in_a_writers_transaction(two):
    owner = two.connect("shopkeeper", autocommit=False)
    owner.execute("UPDATE shop.appointments SET title = 'Other'")
    owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey, ADD PRIMARY KEY (title)")
    two.attach(connection=owner, uid="coalesce(notes, 'none')")
    owner.execute("UPDATE shop.appointments SET minutes = 45")
    owner.commit()
    assert two.rang()[-1] == ("updated", "x")


@pytest.mark.parametrize("end", ["DROP TABLE shop.appointments", "TRUNCATE shop.appointments"])
def test_a_table_that_goes_in_a_writers_transaction_rings_nothing_more(two, end):
    owner = two.connect("shopkeeper", autocommit=False)
    owner.execute("UPDATE shop.appointments SET title = 'Other'")
    owner.execute(end)
    owner.commit()
    assert two.rang() == []


# ---- what is remembered, and how long ----


def test_nothing_is_remembered_where_nobody_has_a_plug_in(attached):
    attached.book(host_email="nobody@example.com")
    attached.db.query("SELECT slotbell.revoke(d.id) FROM slotbell.devices d WHERE d.mailbox = %s", BOB)
    attached.book(2, host_email=BOB)
    assert attached.db.query(REMEMBERED) == []


@pytest.mark.parametrize("end", ["TRUNCATE shop.appointments", "SELECT slotbell.detach('shop.appointments')"])
def test_truncate_and_detach_forget(attached, end):
    attached.book()
    assert attached.db.query(REMEMBERED) == ["1"]
    attached.owner.execute(end)
    assert attached.db.query(REMEMBERED) == []


def test_what_is_remembered_goes_with_the_bookings_state(attached):
    attached.book()
    with attached.db.connect() as connection:
        connection.execute("UPDATE slotbell.booking_state SET ends_at = now() - interval '91 days'")
    sweep_all(attached.db)
    assert attached.db.query(REMEMBERED) == []


def test_rows_of_a_dropped_table_keep_no_booking(two):
    two.write(NEW.format("visits"))
    two.owner.execute("DROP TABLE shop.visits")
    two.write(OLD)
    assert two.rang() == [("cancelled", "x")]


def test_a_new_name_loses_nothing(attached):
    attached.book()
    attached.rang()
    attached.owner.execute("ALTER TABLE shop.appointments RENAME TO visits")
    attached.attach("shop.visits")
    attached.write("DELETE FROM shop.visits")
    assert attached.rang() == [("cancelled", "1")]


def test_what_was_published_before_the_attach_is_cancelled_by_a_delete(shop):
    shop.book()
    shop.db.query(f"SELECT slotbell.publish('{ADA}', '1', '{TO_COME}', 30, 'Europe/Berlin', 'Intro call')")
    shop.rang()
    shop.attach()
    shop.write("DELETE FROM shop.appointments")
    assert shop.rang() == [("cancelled", "1")]


def test_a_role_with_a_new_name_loses_nothing(attached):
    attached.book()
    attached.rang()
    superuser = attached.db.connect()
    superuser.execute("ALTER ROLE shopkeeper RENAME TO keeper")
    try:
        attached.write("DELETE FROM shop.appointments")
    finally:
        superuser.execute("ALTER ROLE keeper RENAME TO shopkeeper")
    assert attached.rang() == [("cancelled", "1")]


def test_a_table_in_another_schema_loses_nothing_once_it_is_attached_again(attached):
    attached.book()
    attached.rang()
    attached.db.connect().execute("CREATE SCHEMA elsewhere AUTHORIZATION shopkeeper; GRANT USAGE ON SCHEMA elsewhere TO web")
    attached.owner.execute("ALTER TABLE shop.appointments SET SCHEMA elsewhere")
    attached.attach("elsewhere.appointments")
    attached.write("DELETE FROM elsewhere.appointments")
    assert attached.rang() == [("cancelled", "1")]


def test_a_resync_remembers_what_it_published(shop):
    shop.book(1, host_email="late@example.com")
    shop.attach()
    shop.db.enrol("late@example.com")
    shop.owner.execute("SELECT slotbell.resync('late@example.com')")
    shop.write("DELETE FROM shop.appointments")
    assert shop.rang("late@example.com") == [("created", "1"), ("cancelled", "1")]


def test_a_dump_brings_it_along(attached):
    attached.book()
    db = attached.db
    db.cluster.create_database("remembered")
    tools = {"env": {"LC_ALL": "C"}, "check": True, "capture_output": True}
    try:
        dump = subprocess.run([f"{db.cluster.bin}/pg_dump", "-Fc", db.url], **tools).stdout
        subprocess.run([f"{db.cluster.bin}/pg_restore", "--exit-on-error", "-d", db.cluster.url("remembered")], input=dump, **tools)
        copy = Database(db.cluster.url("remembered"), db.cluster, "remembered")
        with psycopg.connect(db.cluster.url("remembered", "web"), autocommit=True) as web:
            web.execute("DELETE FROM shop.appointments")
        assert copy.query("SELECT uid, change FROM slotbell.event ORDER BY seq") == [("1", "created"), ("1", "cancelled")]
    finally:
        db.cluster.drop_database("remembered")


# ---- whose ----


def test_another_publisher_cannot_release_what_is_anothers(attached):
    attached.book()
    attached.rang()
    publisher = attached.connect("publisher")
    attachment, key = attached.db.query("SELECT attachment, key_hash FROM slotbell.attached_row")[0]
    publisher.execute("INSERT INTO slotbell.judging (attachment, key_hash) VALUES (%s, %s)", (attachment, key))
    publisher.execute("INSERT INTO slotbell.judging (attachment) VALUES (%s)", (attachment,))
    publisher.execute("SELECT slotbell.forget_detached()")
    assert attached.rang() == [] and attached.db.query(REMEMBERED) == ["1"]
    for sql in ("INSERT INTO slotbell.judging (attachment, by_role) VALUES (gen_random_uuid(), 'shopkeeper')", "SELECT * FROM slotbell.judging",
                "INSERT INTO slotbell.judging (attachment) VALUES (gen_random_uuid()) RETURNING by_role"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            publisher.execute(sql)
    for values in ("NULL, NULL, NULL", "gen_random_uuid(), 'short', NULL", "gen_random_uuid(), NULL, '{}'"):
        with pytest.raises(psycopg.Error) as caught:
            publisher.execute(f"INSERT INTO slotbell.judging (attachment, key_hash, booking) VALUES ({values})")
        assert caught.value.sqlstate == "SB013"


def test_the_table_of_keys_is_the_owners_alone(attached):
    for who in ("web", "publisher"):
        connection = attached.connect(who)
        attached.db.connect().execute("GRANT USAGE ON SCHEMA shop TO publisher")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO shop.slotbell_keys_appointments (key_hash, operation, k1) VALUES ('', '', 1)")
    attached.owner.execute("SELECT slotbell.detach('shop.appointments'); ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT ALL ON TABLES TO web")
    attached.attach()
    assert attached.db.one("SELECT has_any_column_privilege('web', 'shop.slotbell_keys_appointments', 'SELECT, INSERT, UPDATE')") is False


# ---- from before ----


def test_attached_again_after_the_upgrade_what_0_1_0_published_is_known(sql_cluster):
    from fixtures_attach import ROLES, TABLE

    url = sql_cluster.create_database("again")
    try:
        apply_schema(url, last=8)
        database = Database(url, sql_cluster, "again")
        database.connect().execute(ROLES)
        owner = database.connect("shopkeeper")
        owner.execute(TABLE)
        attach = "SELECT slotbell.attach('shop.appointments', mailbox => 'host_email', uid => 'id', starts_at => 'starts_at', duration_minutes => 'minutes', time_zone => 'UTC', subject => 'title')"  # fmt: skip
        owner.execute(attach)
        database.enrol(ADA)
        insert = "INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (%s, %s, %s)"
        for number, at in ((1, TO_COME), (2, TO_COME), (3, PAST)):
            owner.execute(insert, (number, ADA, at))
        said = apply_schema(url, after=8)
        assert any("shop.appointments" in words and "0.1.0" in words for words in said)
        owner.execute("DELETE FROM shop.appointments WHERE id = 1")
        owner.execute(attach)
        assert owner.execute("SELECT id IS NOT NULL FROM slotbell.attachment").fetchall() == [(True,)]
        owner.execute("DELETE FROM shop.appointments")
        events = database.query("SELECT uid, change FROM slotbell.event ORDER BY seq")
        assert events == [("1", "created"), ("2", "created"), ("1", "cancelled"), ("2", "cancelled")]
        database.close()
    finally:
        sql_cluster.drop_database("again")
