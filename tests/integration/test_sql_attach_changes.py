"""What becomes of an attached table: changed, moved, partitioned, dropped, dumped and restored."""

import subprocess

import psycopg
import pytest
from fixtures_attach import ADA, MAPPING, PAST, TO_COME
from fixtures_sql import apply_schema

pytest_plugins = ["fixtures_attach"]

LEFT = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'shop'::regnamespace AND proname ~ '^slotbell'"
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'shop.appointments'::regclass AND NOT tgisinternal ORDER BY 1"


# ---- twice ----


def test_attaching_again_changes_the_mapping_and_adds_nothing(attached):
    before = attached.db.query("SELECT oid FROM pg_trigger WHERE tgname ~ '^slotbell' ORDER BY 1")
    attached.attach(subject="upper(title)")
    attached.book()
    assert attached.rang() == [("created", "1")] and attached.event("subject") == "INTRO CALL"
    assert attached.db.query("SELECT oid FROM pg_trigger WHERE tgname ~ '^slotbell' ORDER BY 1") == before
    assert attached.db.one(LEFT) == 3


def test_a_new_mapping_does_not_wait_for_who_writes(attached):
    web = attached.connect("web", autocommit=False)
    attached.book(1, web)
    attached.owner.execute("SET lock_timeout = '5s'")
    attached.attach(subject="upper(title)")
    web.commit()


def test_a_mapping_that_is_refused_leaves_the_old_one(attached):
    attached.refused("SB022", subject="no_such")
    attached.book()
    assert attached.rang() == [("created", "1")]


def test_a_trigger_that_was_taken_off_by_hand_is_put_back(attached):
    attached.owner.execute("DROP TRIGGER slotbell_ring_update ON shop.appointments")
    attached.attach()
    assert attached.db.query(TRIGGERS) == ["slotbell_ring", "slotbell_ring_truncate", "slotbell_ring_update"]


def test_detach_takes_all_of_it_off_and_twice_is_no_harm(attached):
    attached.book()
    detach = "SELECT slotbell.detach('shop.appointments')"
    assert attached.owner.execute(detach).fetchone() == (True,)
    assert attached.owner.execute(detach).fetchone() == (False,)
    assert attached.notices == []
    assert attached.db.query(TRIGGERS) == [] and attached.db.one(LEFT) == 0
    attached.book(2)
    assert attached.rang() == [("created", "1")]
    attached.attach()
    attached.book(3)
    assert attached.rang() == [("created", "3")]


def test_the_view_tells_what_is_attached_and_how(attached):
    rows = attached.owner.execute("SELECT relation, runs_as, mapping::jsonb FROM slotbell.attachment").fetchall()
    assert rows == [("shop.appointments", "shopkeeper", {**MAPPING, "on_error": "record"})]


# ---- columns and tables that change ----


@pytest.mark.parametrize("change, code", [
    ("RENAME COLUMN title TO subject", "42703"), ("DROP COLUMN title", "42703"), ("RENAME TO visits", "42P01"), ("SET SCHEMA elsewhere", "42P01"),
    ("ALTER minutes DROP DEFAULT, ALTER minutes TYPE text, ALTER minutes SET DEFAULT 'half an hour'", "42883"), ("DROP COLUMN id", "42703"),
])  # fmt: skip
def test_a_table_that_no_longer_fits_warns_and_is_written_to_as_before(attached, change, code):
    attached.db.connect().execute("CREATE SCHEMA elsewhere AUTHORIZATION shopkeeper; GRANT USAGE ON SCHEMA elsewhere TO web")
    attached.owner.execute(f"ALTER TABLE shop.appointments {change}")
    table = attached.db.one("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'slotbell_ring'")
    columns = "host_email, starts_at" if "DROP COLUMN id" in change else "host_email, starts_at, id"
    attached.write(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM (VALUES (%s, %s::timestamptz, 1)) AS row (host_email, starts_at, id)",
                   ADA, TO_COME)  # fmt: skip
    attached.write(f"UPDATE {table} SET notes = 'x'")
    warned = attached.warnings()
    assert [state for state, _ in warned] == [code] * 2 and attached.rang() == []
    if code.startswith("42"):
        assert all("does not exist" in words or "has no field" in words for _, words in warned)
    assert {row[2] for row in attached.refusals(attached.db.connect())} == {code}
    assert attached.write(f"DELETE FROM {table}").rowcount == 1


def test_attached_again_it_rings_again(attached):
    attached.owner.execute("ALTER TABLE shop.appointments RENAME COLUMN title TO subject")
    attached.attach(subject="subject")
    attached.book()
    attached.owner.execute("ALTER TABLE shop.appointments RENAME TO visits")
    attached.attach("shop.visits", subject="subject")
    attached.write("INSERT INTO shop.visits (id, host_email, starts_at) VALUES (2, %s, %s)", ADA, TO_COME)
    assert attached.rang() == [("created", "1"), ("created", "2")] and attached.db.one(LEFT) == 3


def test_columns_that_are_not_mapped_come_and_go(attached):
    attached.book()
    attached.owner.execute("ALTER TABLE shop.appointments DROP COLUMN notes; ALTER TABLE shop.appointments ADD colour text")
    attached.write("UPDATE shop.appointments SET colour = 'red'")
    attached.write("UPDATE shop.appointments SET title = 'Other'")
    assert attached.rang() == [("created", "1"), ("updated", "1")] and attached.warnings() == []


def test_a_mapped_column_may_change_its_type_to_one_that_fits(attached):
    attached.owner.execute("ALTER TABLE shop.appointments ALTER title TYPE varchar(100), ALTER minutes TYPE bigint")
    attached.book()
    assert attached.rang() == [("created", "1")]


def test_rows_and_the_table_may_change_in_one_transaction(attached):
    """No event of a trigger is left pending: PostgreSQL would refuse the ALTER TABLE."""
    owner = attached.connect("shopkeeper", autocommit=False)
    attached.book(1, owner)
    owner.execute("UPDATE shop.appointments SET title = 'Other'")
    owner.execute("ALTER TABLE shop.appointments ADD colour text")
    owner.execute("CREATE INDEX ON shop.appointments (room)")
    owner.commit()
    assert attached.rang() == [("created", "1")] and attached.event("subject") == "Other"


def test_a_dropped_table_is_no_longer_listed_and_a_new_one_of_its_name_can_be_attached(attached):
    attached.owner.execute("DROP TABLE shop.appointments")
    assert attached.db.query("SELECT * FROM slotbell.attachment") == []
    assert attached.owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (0,)
    attached.owner.execute("CREATE TABLE shop.appointments (id int PRIMARY KEY, host_email text, starts_at timestamptz NOT NULL, minutes int NOT NULL)")
    attached.owner.execute("GRANT ALL ON shop.appointments TO web")
    attached.attach(subject="'Call'", attendees=None, location=None, cancelled_when=None)
    attached.write("INSERT INTO shop.appointments VALUES (1, %s, %s, 30)", ADA, TO_COME)
    assert attached.rang() == [("created", "1")] and attached.db.one(LEFT) == 3


# ---- partitions and inheritance ----

PARTITIONED = """
CREATE TABLE shop.visits (LIKE shop.appointments INCLUDING DEFAULTS, PRIMARY KEY (id, starts_at)) PARTITION BY RANGE (starts_at);
CREATE TABLE shop.visits_past PARTITION OF shop.visits FOR VALUES FROM ('2000-01-01') TO ('2031-01-01');
CREATE TABLE shop.visits_may (notes text, status text DEFAULT 'booked' NOT NULL, room text, guests jsonb, title text DEFAULT 'Call' NOT NULL,
    minutes integer NOT NULL DEFAULT 30, gone int, starts_at timestamptz NOT NULL, host_email text, id bigint NOT NULL);
ALTER TABLE shop.visits_may DROP COLUMN gone;
ALTER TABLE shop.visits ATTACH PARTITION shop.visits_may FOR VALUES FROM ('2031-05-01') TO ('2031-06-01');
CREATE TABLE shop.visits_june PARTITION OF shop.visits FOR VALUES FROM ('2031-06-01') TO ('2031-07-01');
GRANT ALL ON ALL TABLES IN SCHEMA shop TO web;
"""


@pytest.fixture
def partitioned(shop):
    shop.owner.execute(PARTITIONED)
    shop.attach("shop.visits")
    shop.write("INSERT INTO shop.visits (id, host_email, starts_at) VALUES (1, %s, %s)", ADA, TO_COME)
    assert shop.rang() == [("created", "1")]
    return shop


def test_a_partitioned_table_rings_whichever_way_it_is_written_to(partitioned):
    partitioned.write("INSERT INTO shop.visits_june (id, host_email, starts_at) VALUES (2, %s, '2031-06-01')", ADA)
    partitioned.write("UPDATE shop.visits SET title = 'Other' WHERE id = 1")
    partitioned.write("UPDATE shop.visits_may SET title = 'Another' WHERE id = 1")
    partitioned.write("UPDATE shop.visits_may SET notes = 'x'")
    partitioned.write("DELETE FROM shop.visits WHERE id = 2")
    assert partitioned.rang() == [("created", "2"), ("updated", "1"), ("updated", "1"), ("cancelled", "2")]
    assert partitioned.warnings() == []


def moved(shop):
    shop.write("UPDATE shop.visits SET starts_at = '2031-06-07 10:00+00' WHERE id = 1")
    return shop.rang()


def test_a_row_that_moves_to_another_partition_has_only_changed(partitioned):
    assert moved(partitioned) == [("updated", "1")]
    assert str(partitioned.event("starts_at")).startswith("2031-06-07 10:00")


def test_without_looking_who_claims_it_a_moved_row_would_be_gone(partitioned):
    partitioned.db.cripple("cancel_released", ("IF NOT EXISTS", "IF true OR NOT EXISTS"))
    assert moved(partitioned)[-1] == ("cancelled", "1")


def test_a_row_that_moves_to_a_partition_of_the_past_is_moved_into_the_past(partitioned):
    partitioned.write("UPDATE shop.visits SET starts_at = %s WHERE id = 1", PAST)
    assert partitioned.rang() == [("updated", "1")] and str(partitioned.event("starts_at")).startswith("2020")
    partitioned.write("DELETE FROM shop.visits")
    assert partitioned.rang() == []


def test_new_partitions_ring_and_those_that_leave_do_not(partitioned):
    partitioned.owner.execute("CREATE TABLE shop.visits_july PARTITION OF shop.visits FOR VALUES FROM ('2031-07-01') TO ('2031-08-01')")
    partitioned.write("INSERT INTO shop.visits (id, host_email, starts_at) VALUES (3, %s, '2031-07-01')", ADA)
    assert partitioned.rang() == [("created", "3")]
    partitioned.owner.execute("ALTER TABLE shop.visits DETACH PARTITION shop.visits_may; DROP TABLE shop.visits_july")
    assert partitioned.rang() == []
    assert partitioned.owner.execute("SELECT relation FROM slotbell.attachment").fetchall() == [("shop.visits",)]
    partitioned.owner.execute("SELECT slotbell.detach('shop.visits')")


def test_a_partitioned_table_is_published_again_whole_and_once(partitioned):
    partitioned.write("INSERT INTO shop.visits (id, host_email, starts_at) VALUES (2, %s, '2031-06-01'), (3, %s, %s)", ADA, ADA, PAST)
    partitioned.rang()
    partitioned.db.enrol(ADA)
    assert partitioned.owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (2,)
    assert sorted(partitioned.rang()) == [("updated", "1"), ("updated", "2")]


def test_tables_that_inherit_are_named_as_not_attached_and_attached_apart_ring_once(shop):
    shop.owner.execute("CREATE TABLE shop.late () INHERITS (shop.appointments); ALTER TABLE shop.late ADD PRIMARY KEY (id); GRANT ALL ON shop.late TO web")
    shop.attach()
    ((_, words),) = shop.warnings()
    assert "inherit" in words
    shop.write("INSERT INTO shop.late (id, host_email, starts_at) VALUES (1, %s, %s)", ADA, TO_COME)
    assert shop.rang() == []
    shop.attach("shop.late")
    assert shop.owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (1,)
    shop.write("UPDATE shop.appointments SET title = 'Other'")
    assert shop.rang() == [("created", "1"), ("updated", "1")]


# ---- dump and restore ----


def test_a_dump_restores_with_its_attached_tables_rings_nothing_and_goes_on(attached):
    db = attached.db
    attached.book(1)
    attached.book(2, starts_at=PAST)
    db.cluster.create_database("restored")
    tools = {"env": {"LC_ALL": "C"}, "check": True, "capture_output": True}
    try:
        dump = subprocess.run([f"{db.cluster.bin}/pg_dump", "-Fc", db.url], **tools).stdout
        subprocess.run([f"{db.cluster.bin}/pg_restore", "--exit-on-error", "-d", db.cluster.url("restored")], input=dump, **tools)
        copy = type(db)(db.cluster.url("restored"), db.cluster, "restored")
        assert copy.seqs(ADA) == [1], "the restore itself rang"
        copy.query("SELECT slotbell.new_epoch()")
        with psycopg.connect(db.cluster.url("restored", "web"), autocommit=True) as web:
            web.execute("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (3, %s, %s)", (ADA, TO_COME))
        assert copy.query("SELECT relation, runs_as FROM slotbell.attachment") == [("shop.appointments", "shopkeeper")]
        assert copy.query("SELECT uid, change FROM slotbell.event ORDER BY seq") == [("1", "created"), ("3", "created")]
        with psycopg.connect(db.cluster.url("restored", "shopkeeper"), autocommit=True) as owner:
            assert owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (1,), "who knows what was lost in between"
    finally:
        db.cluster.drop_database("restored")


def test_rows_that_are_loaded_again_ring_only_where_they_are_new(attached):
    attached.book(1)
    with attached.web.transaction():
        attached.write("SET LOCAL slotbell.quiet = on")
        attached.write("DELETE FROM shop.appointments")
    with attached.web.cursor().copy("COPY shop.appointments (id, host_email, starts_at) FROM STDIN") as copy:
        copy.write_row((1, ADA, TO_COME))
        copy.write_row((2, ADA, TO_COME))
    assert attached.rang() == [("created", "1"), ("created", "2")]


# ---- without Slotbell ----


def test_a_backend_outlives_slotbell(attached):
    attached.db.connect().execute("DROP SCHEMA slotbell CASCADE")
    attached.book()
    attached.write("UPDATE shop.appointments SET title = 'Other'")
    attached.write("DELETE FROM shop.appointments")
    warned = attached.warnings()
    assert len(warned) == 3 and all("rings nothing" in words for _, words in warned)
    with attached.db.connect() as connection:
        connection.execute("DROP TRIGGER slotbell_ring ON shop.appointments")


def test_installed_again_it_is_attached_as_before(attached):
    attached.db.connect().execute("DROP SCHEMA slotbell CASCADE")
    apply_schema(attached.db.url)
    attached.db.connect().execute("GRANT slotbell_publisher TO shopkeeper")
    attached.db.enrol(ADA)
    attached.book()
    assert attached.rang() == [("created", "1")]
