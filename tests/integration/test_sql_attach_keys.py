"""By which key a row is known, which types a mapping goes on to read, and what an error tells of a row."""

import psycopg
import pytest
from fixtures_attach import ADA, TO_COME

pytest_plugins = ["fixtures_attach"]

REMEMBERED = "SELECT uid FROM slotbell.attached_row ORDER BY uid"


# ---- keys ----

SETTINGS = "SET datestyle = 'German'; SET timezone = 'Asia/Tokyo'; SET extra_float_digits = -10; SET bytea_output = 'escape'; SET intervalstyle = 'iso_8601'"
KEYS = {
    "text": "'a'' b'", "varchar(9)": "'ä'", "timestamptz": "'2031-01-02 03:04:05.678+00'", "bytea": r"'\xff00'", "float8": "0.1", "numeric": "1.50",
    "interval": "'1 day 2 hours'", "date": "'2031-01-02'", "uuid": "'6f1c0f0e-0000-4000-8000-000000000001'", "boolean": "true", "int[]": "'{1,2}'",
    "jsonb": "'{\"a\": 1}'", "inet": "'10.0.0.1'", "bit(4)": "'0101'", "char(5)": "'a'", "name": "'a'",
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_is_the_same_whatever_the_writer_has_set(shop, kind):
    shop.owner.execute(f"CREATE TABLE shop.keyed (key {kind} PRIMARY KEY, host_email text, starts_at timestamptz NOT NULL, title text NOT NULL);"
                       " GRANT ALL ON shop.keyed TO web")  # fmt: skip
    shop.attach("shop.keyed", uid="'u'", duration_minutes="30", attendees=None, location=None, cancelled_when=None)
    shop.write(f"INSERT INTO shop.keyed VALUES ({KEYS[kind]}, '{ADA}', '{TO_COME}', 'Call')")
    shop.web.execute(SETTINGS)
    shop.write("UPDATE shop.keyed SET title = 'Other'")
    assert shop.db.one("SELECT count(*) FROM slotbell.attached_row") == 1
    shop.write("DELETE FROM shop.keyed")
    assert shop.rang() == [("created", "u"), ("updated", "u"), ("cancelled", "u")] and shop.warnings() == []


def test_keys_that_are_equal_and_not_the_same_are_told_apart(shop):
    shop.owner.execute("CREATE TABLE shop.keyed (key numeric PRIMARY KEY, host_email text, starts_at timestamptz NOT NULL); GRANT ALL ON shop.keyed TO web")
    shop.attach("shop.keyed", uid="'u'", subject="'Call'", duration_minutes="30", attendees=None, location=None, cancelled_when=None)
    shop.write(f"INSERT INTO shop.keyed VALUES (1.0, '{ADA}', '{TO_COME}')")
    shop.write("UPDATE shop.keyed SET key = 1.00")
    assert shop.rang() == [("created", "u")]
    shop.write("DELETE FROM shop.keyed")
    assert shop.rang() == [("cancelled", "u")] and shop.db.query(REMEMBERED) == []


@pytest.mark.parametrize("key", ["", "ADD UNIQUE (room)", "ADD EXCLUDE USING btree (id WITH =)"])
def test_a_table_without_a_key_is_refused(shop, key):
    shop.owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey, ALTER id DROP NOT NULL")
    if key:
        shop.owner.execute(f"ALTER TABLE shop.appointments {key}")
    shop.owner.execute("CREATE UNIQUE INDEX ON shop.appointments (title) WHERE minutes > 1; CREATE UNIQUE INDEX ON shop.appointments (lower(title))")
    assert "PRIMARY KEY" in shop.refused("SB026").message_hint


# ---- types ----


@pytest.mark.parametrize("kind, value, minutes", [("numeric", "30.2", 31), ("float8", "30.2", 31), ("float4", "29.5", 30), ("numeric", "30", 30), ("smallint", "30", 30)])
def test_begun_minutes_count(shop, kind, value, minutes):
    shop.owner.execute(f"ALTER TABLE shop.appointments ALTER minutes TYPE {kind}")
    shop.attach()
    shop.book(minutes=value)
    assert shop.event("duration_minutes") == minutes


@pytest.mark.parametrize("before, change, mapping", [
    ("", "ALTER starts_at TYPE timestamp", {}), ("", "ALTER starts_at TYPE date", {}), ("", "ALTER title TYPE jsonb USING to_jsonb(title), ALTER title DROP DEFAULT", {}),
    ("", "ALTER minutes DROP DEFAULT, ALTER minutes TYPE interval USING make_interval(mins => minutes), ALTER minutes SET DEFAULT '30 minutes'", {}),
    ("ALTER minutes DROP DEFAULT, ALTER minutes TYPE interval USING make_interval(mins => minutes), ALTER minutes SET DEFAULT '30 minutes'",
     "ALTER minutes DROP DEFAULT, ALTER minutes TYPE time USING minutes::time, ALTER minutes SET DEFAULT '00:30'", {}),
    ("", "ALTER host_email TYPE jsonb USING to_jsonb(host_email)", {}), ("", "ALTER guests TYPE text", {}),
    ("ADD more json", "ALTER more TYPE text", {"details": "more"}), ("ADD ref uuid NOT NULL DEFAULT gen_random_uuid()", "ALTER ref TYPE text", {"uid": "ref"}),
])  # fmt: skip
def test_a_column_whose_type_changed_is_not_read_as_something_else(shop, before, change, mapping):
    if before:
        shop.owner.execute(f"ALTER TABLE shop.appointments {before}")
    shop.attach(**mapping)
    shop.owner.execute(f"ALTER TABLE shop.appointments ALTER title DROP DEFAULT; ALTER TABLE shop.appointments {change}")
    mailbox = f'"{ADA}"' if "host_email" in change else ADA
    shop.write("INSERT INTO shop.appointments (id, host_email, starts_at, title) VALUES (1, %s, %s, %s)", mailbox, TO_COME, '"Call"' if "title TYPE" in change else "Call")
    assert shop.rang() == []
    assert [row[2] for row in shop.refusals()] == ["42883"]
    assert "does not exist" in shop.warnings()[0][1]


# ---- which row it was ----


def test_an_error_at_commit_says_which_row(shop):
    shop.attach(on_error="raise")
    web = shop.connect("web", autocommit=False)
    shop.book(7, web)
    shop.book(8, web, title="x" * 256)
    with pytest.raises(psycopg.Error) as caught:
        web.commit()
    said = caught.value.diag
    assert said.sqlstate == "SB006" and said.message_detail.endswith("It came of the INSERT of a row in shop.appointments, id = 8.")
    assert shop.db.one("SELECT count(*) FROM shop.appointments") == 0


def test_a_warning_says_which_row_was_the_first(attached):
    with attached.web.transaction():
        attached.book(7, minutes=0)
        attached.book(8, minutes=0)
    (notice,) = attached.notices
    assert "id = 7" in notice.message_detail


def test_a_key_that_is_a_text_is_not_said(shop):
    shop.owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey, ADD PRIMARY KEY (title)")
    shop.attach(on_error="raise")
    with pytest.raises(psycopg.Error) as caught:
        shop.book(title="Grace Hopper", minutes=0)
    said = caught.value.diag
    assert "Grace" not in str((said.message_primary, said.message_detail, said.message_hint, said.context))
    assert "INSERT of a row in shop.appointments" in said.message_detail


def test_ten_thousand_rows_of_one_statement(attached):
    """Each is noted, judged and numbered once, and nothing of it is left."""
    attached.web.execute("SET statement_timeout = '120s'")
    attached.write("INSERT INTO shop.appointments (id, host_email, starts_at) SELECT i, %s, %s FROM generate_series(1, 10000) i", ADA, TO_COME)
    attached.write("UPDATE shop.appointments SET id = id + 20000")
    assert attached.db.query("SELECT change, count(*) FROM slotbell.event WHERE seq IS NOT NULL GROUP BY 1 ORDER BY 1") == [("cancelled", 10000), ("created", 20000)]
    assert attached.db.query("SELECT count(*) FROM slotbell.released UNION ALL SELECT count(*) FROM shop.slotbell_keys_appointments") == [0, 0]
