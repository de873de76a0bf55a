"""What attach() takes for a mapping and what it refuses, by name; and that no name, however written, is ever more than a name."""

import psycopg
import pytest
from fixtures_attach import ADA, TO_COME

pytest_plugins = ["fixtures_attach"]


# ---- what is refused, and in which words ----


@pytest.mark.parametrize("parameter", ["mailbox", "uid", "starts_at", "duration_minutes", "time_zone", "subject", "attendees", "details",
                                       "organizer", "location", "join_url", "description", "cancelled_when", "only_when"])  # fmt: skip
def test_what_is_no_column_and_no_expression_is_named(same_shop, parameter):
    said = same_shop.refused("SB022", **{parameter: "no_such"})
    assert f"{parameter} => 'no_such'" in said.message_primary and "shop.appointments" in said.message_primary
    assert "no_such" in said.message_detail and "host_email, starts_at" in said.message_hint


@pytest.mark.parametrize("expression", ["host_email FROM shop.appointments --", "host_email)", "count(*)", "unnest(ARRAY['a'])", "$1", "",
                                        "host_email); DROP TABLE shop.appointments; --", "NEW.host_email", "tg_op"])  # fmt: skip
def test_what_is_not_one_expression_over_one_row_is_refused(same_shop, expression):
    same_shop.refused("SB022", mailbox=expression)
    assert same_shop.db.one("SELECT count(*) FROM shop.appointments") == 0


WRONG_TYPES = {
    "mailbox": ["starts_at", "guests", "1"], "uid": ["starts_at", "guests", "true", "host_email, title"], "starts_at": ["title", "'tomorrow'::text", "starts_at::date"],
    "duration_minutes": ["title", "starts_at"], "time_zone": ["minutes"], "subject": ["guests", "id"], "attendees": ["title", "ARRAY[title]"],
    "details": ["room"], "organizer": ["host_email"], "location": ["guests"], "cancelled_when": ["status", "1"], "only_when": ["minutes"],
}  # fmt: skip


@pytest.mark.parametrize("parameter, given", [(name, given) for name, all_ in WRONG_TYPES.items() for given in all_])
def test_a_wrong_type_is_named_with_what_it_should_be(same_shop, parameter, given):
    said = same_shop.refused("SB023", **{parameter: given})
    assert f"{parameter} => " in said.message_primary and "is of type" in said.message_primary and "should be" in said.message_detail


def test_a_timestamp_without_a_zone_is_told_how_to_say_which(shop):
    shop.owner.execute('ALTER TABLE shop.appointments ADD "Begins" timestamp NOT NULL DEFAULT now()')
    said = shop.refused("SB023", starts_at="Begins")
    assert said.message_hint == """Say in which zone it is: starts_at => '("Begins") AT TIME ZONE ''UTC'''."""
    shop.attach(starts_at="(\"Begins\") AT TIME ZONE 'UTC'")


@pytest.mark.parametrize("parameter", ["uid", "starts_at", "duration_minutes", "subject"])
def test_a_column_that_may_be_null_is_named_where_a_booking_needs_it(shop, parameter):
    kinds = {"starts_at": "timestamptz", "duration_minutes": "integer"}
    shop.owner.execute(f"ALTER TABLE shop.appointments ADD maybe {kinds.get(parameter, 'text')}")
    said = shop.refused("SB024", **{parameter: "maybe"})
    assert f"{parameter} => 'maybe'" in said.message_primary and "ALTER COLUMN maybe SET NOT NULL" in said.message_hint
    shop.attach(**{parameter: "maybe", "only_when": "maybe IS NOT NULL"})
    shop.owner.execute("UPDATE shop.appointments SET maybe = DEFAULT; ALTER TABLE shop.appointments ALTER maybe SET NOT NULL")
    shop.attach(**{parameter: "maybe"})


def test_a_domain_that_is_not_null_is_as_good_as_a_column_that_is_not(shop):
    shop.owner.execute("CREATE DOMAIN shop.words AS text NOT NULL; ALTER TABLE shop.appointments ADD words shop.words DEFAULT 'Call'")
    shop.attach(subject="words")
    shop.book()
    assert shop.event("subject") == "Call"


@pytest.mark.parametrize("missing", ["mailbox", "uid", "starts_at", "time_zone", "subject"])
def test_what_is_not_given_is_named(same_shop, missing):
    assert missing in same_shop.refused("SB025", **{missing: None}).message_primary


def test_a_booking_has_one_length(same_shop):
    assert "Neither" in same_shop.refused("SB025", duration_minutes=None).message_detail
    assert "Both" in same_shop.refused("SB025", ends_at="starts_at").message_detail


def test_on_error_is_one_of_two_words(same_shop):
    assert "'ignore'" in same_shop.refused("SB025", on_error="ignore").message_primary
    with pytest.raises(psycopg.Error) as caught:
        same_shop.owner.execute("SELECT slotbell.attach('shop.appointments', 'host_email', 'id', 'starts_at', 'minutes', time_zone => 'UTC',"
                           " subject => 'title', on_error => NULL)")  # fmt: skip
    assert caught.value.diag.sqlstate == "SB025"


@pytest.mark.parametrize("made, name", [
    ("CREATE VIEW shop.v AS SELECT * FROM shop.appointments", "shop.v"),
    ("CREATE MATERIALIZED VIEW shop.m AS SELECT * FROM shop.appointments", "shop.m"),
    ("CREATE TEMP TABLE t (LIKE shop.appointments)", "pg_temp.t"),
    ("CREATE TABLE shop.whole (LIKE shop.appointments) PARTITION BY LIST (status); CREATE TABLE shop.part PARTITION OF shop.whole DEFAULT", "shop.part"),
    ("SELECT 1", "pg_catalog.pg_class"),
])  # fmt: skip
def test_what_is_not_a_table_of_bookings_is_refused(shop, made, name):
    shop.owner.execute(made)
    shop.refused("SB020", name)


def test_slotbells_own_tables_are_refused_and_so_is_null(same_shop):
    superuser = same_shop.db.connect()
    same_shop.refused("SB020", "slotbell.event", superuser)
    same_shop.refused("SB020", None, superuser)


# ---- what is taken ----


def test_types_near_by_are_taken_as_what_they_mean(shop):
    shop.owner.execute("""
        CREATE TYPE shop.zone AS ENUM ('Europe/Berlin', 'UTC');
        CREATE TABLE shop.visits (
            key uuid PRIMARY KEY, host varchar(100) NOT NULL, span interval NOT NULL, begins timestamptz NOT NULL,
            zone shop.zone NOT NULL, words char(20) NOT NULL, who json);
        GRANT ALL ON shop.visits TO web""")
    shop.attach("shop.visits", uid="key", mailbox="host", duration_minutes="span", starts_at="begins", time_zone="zone", subject="words",
                attendees="who", location=None, cancelled_when=None)  # fmt: skip
    key = "6f1c0f0e-0000-4000-8000-000000000001"
    shop.write("INSERT INTO shop.visits VALUES (%s, %s, '1 hour 29 seconds', %s, 'UTC', 'Call', '[{\"email\": \"g@h\"}]')", key, ADA, TO_COME)
    assert shop.rang() == [("created", key)] and shop.warnings() == []
    row = shop.db.query("SELECT duration_minutes, time_zone, subject, attendees FROM slotbell.event")
    assert row == [(61, "UTC", "Call", [{"email": "g@h"}])]


@pytest.mark.parametrize("ends, minutes", [("09:30", 30), ("09:29:59", 30), ("09:29:01", 30), ("09:29", 29)])
def test_an_end_makes_whole_minutes_rounded_up(shop, ends, minutes):
    shop.owner.execute("ALTER TABLE shop.appointments ADD ends timestamptz NOT NULL DEFAULT '2031-05-06 10:00+00'")
    shop.attach(duration_minutes=None, ends_at="ends")
    shop.book(ends=f"2031-05-06 {ends}+00")
    assert shop.event("duration_minutes") == minutes


def test_details_come_whole_or_in_parts_and_the_part_wins(shop):
    shop.owner.execute("ALTER TABLE shop.appointments ADD more jsonb, ADD link text")
    shop.attach(details="more", join_url="link", description="notes", organizer="jsonb_build_object('email', host_email)")
    shop.book(1, more='{"location": "Room 9", "description": "old"}', link="https://meet.example.com/1", notes="new")
    assert shop.event("details") == {"location": "Room 9", "join_url": "https://meet.example.com/1", "description": "new",
                                     "organizer": {"email": ADA}}  # fmt: skip
    shop.book(2, room="Room 4", more="null")
    assert shop.event("details", "2") == {"location": "Room 4", "organizer": {"email": ADA}}


def test_without_any_detail_there_are_no_details(shop):
    shop.attach(location=None)
    shop.book()
    assert shop.event("details") is None


def test_a_zone_may_be_a_column_a_name_or_an_expression(shop):
    shop.owner.execute("""ALTER TABLE shop.appointments ADD "UTC" text NOT NULL DEFAULT 'Asia/Tokyo'""")
    for number, (given, zone) in enumerate([("Europe/Paris", "Europe/Paris"), ("UTC", "Asia/Tokyo"), ("coalesce(notes, 'UTC')", "UTC")], 1):
        shop.attach(time_zone=given)
        shop.book(number)
        assert shop.event("time_zone", str(number)) == zone
    shop.refused("SB022", time_zone="Mars/Olympus")


def test_hosts_in_a_table_of_their_own(shop):
    shop.owner.execute("CREATE TABLE shop.hosts (name text PRIMARY KEY, email text)")
    shop.owner.execute("INSERT INTO shop.hosts VALUES ('Ada', %s)", (ADA,))
    shop.attach(mailbox="(SELECT h.email FROM shop.hosts h WHERE h.name = appointments.notes)")
    shop.book(host_email=None, notes="Ada")
    shop.book(2, notes="Nobody")
    assert shop.rang() == [("created", "1")] and shop.warnings() == []


def test_an_expression_means_the_same_whoever_writes(shop):
    shop.owner.execute("ALTER TABLE shop.appointments ADD day text NOT NULL DEFAULT '06.05.2031 09:00'")
    shop.attach(starts_at="to_timestamp(day, 'DD.MM.YYYY HH24:MI')", description=r"replace(notes, '\', '/')")
    shop.web.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET standard_conforming_strings = off")
    shop.web.execute("SET escape_string_warning = off")
    shop.book(notes="C:\\new")
    assert shop.db.query("SELECT starts_at::text, details FROM slotbell.event") == [("2031-05-06 09:00:00+00", {"description": "C:/new"})]
    assert shop.warnings() == []


# ---- names ----

NASTY = ['Weird Table', 'a"b', "it's", "select", "new", "old", "x; DROP TABLE y --", "$body$", "%s %I", "back\\slash", "ünï→", "slotbell_was", "appointments'||'"]


def quoted(name):
    """As an identifier, in a text that psycopg looks at for parameters."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def nasty_table(shop, schema, name):
    """A table of this name with columns of this name, attached. Returns its name as SQL."""
    table = f"{quoted(schema)}.{quoted(name)}"
    columns = f"{quoted(name + ' id')} text PRIMARY KEY, {quoted(name)} text, {quoted(name + ' at')} timestamptz NOT NULL, {quoted(name + ' min')} int NOT NULL"
    shop.owner.execute(f"CREATE TABLE {table} ({columns})".replace("%%", "%"))
    shop.owner.execute(f"GRANT ALL ON {table} TO web".replace("%%", "%"))
    shop.attach(table.replace("%%", "%"), mailbox=name, uid=name + " id", starts_at=name + " at", duration_minutes=name + " min", subject="'Call'",
                attendees=None, location=None, cancelled_when=None)  # fmt: skip
    return table


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_a_name_however_it_is_written(shop, name):
    shop.db.connect().execute('CREATE SCHEMA "My ""Shop""" AUTHORIZATION shopkeeper; GRANT USAGE ON SCHEMA "My ""Shop""" TO web')
    for schema, uid in (("shop", "1"), ('My "Shop"', "2")):
        table = nasty_table(shop, schema, name)
        shop.write(f"INSERT INTO {table} VALUES (%s, %s, %s, 30)", uid, ADA, TO_COME)
        shop.write(f"UPDATE {table} SET {quoted(name + ' min')} = %s", 45)
        shop.write(f"DELETE FROM {table} WHERE %s", True)
        assert shop.rang() == [("created", uid), ("updated", uid), ("cancelled", uid)]
        assert shop.warnings() == []
        assert shop.owner.execute("SELECT slotbell.detach(a.oid) FROM slotbell.attachment a").fetchall() == [(True,)]
    assert shop.db.one("SELECT count(*) FROM pg_proc WHERE proname ~ '^slotbell_r' AND pronamespace <> 'slotbell'::regnamespace") == 0


def test_a_column_is_meant_before_an_expression_of_the_same_words(shop):
    shop.owner.execute("""ALTER TABLE shop.appointments ADD "upper(title)" text NOT NULL DEFAULT 'the column'""")
    shop.attach(subject="upper(title)")
    shop.book()
    assert shop.event("subject") == "the column"


def test_two_long_names_that_are_cut_alike_have_functions_of_their_own(shop):
    tables = ["shop." + "t" * 60 + letter for letter in "ab"]
    for number, table in enumerate(tables):
        shop.owner.execute(f"CREATE TABLE {table} (LIKE shop.appointments INCLUDING ALL); GRANT ALL ON {table} TO web")
        shop.attach(table, uid=f"'{number}'")
        shop.write(f"INSERT INTO {table} (id, host_email, starts_at) VALUES (7, %s, %s)", ADA, TO_COME)
    assert shop.rang() == [("created", "0"), ("created", "1")]
    assert len(set(shop.db.query("SELECT ring_function::text FROM slotbell.attachment"))) == 2


def test_a_name_that_another_function_has_is_left_alone(shop):
    shop.db.connect().execute("CREATE FUNCTION shop.slotbell_ring_appointments() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    shop.attach()
    shop.book()
    assert shop.rang() == [("created", "1")]
    assert shop.db.one("SELECT ring_function::text FROM slotbell.attachment") == "shop.slotbell_ring_2_appointments()"


# ---- hostile schemas ----

HOSTILE = """
CREATE SCHEMA evil AUTHORIZATION stranger;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET ROLE stranger;
CREATE TABLE evil.log (who text, what text);
GRANT ALL ON evil.log TO PUBLIC;
CREATE FUNCTION evil.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.log VALUES (current_user, what); RETURN false; END $$;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.note('=') $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE FUNCTION evil.image(shop.appointments, shop.appointments) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.note('*<>') $$;
CREATE OPERATOR evil.*<> (LEFTARG = shop.appointments, RIGHTARG = shop.appointments, FUNCTION = evil.image);
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('lower')::text $$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT CASE WHEN evil.note('now') THEN NULL::timestamptz END $$;
CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('current_setting')::text $$;
CREATE FUNCTION evil.jsonb_build_object(text, text, text, text) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(evil.note('build')) $$;
CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('format')::text $$;
CREATE TABLE evil.pg_class (oid oid, relname name);
CREATE TYPE evil.text AS (x int);
CREATE TYPE evil.regclass AS (x int);
RESET ROLE;
"""


def hostile(shop, spoil=""):
    """All of an attached table's life with a stranger's schema first in everybody's path. Returns what rang, and who ran the stranger's code."""
    shop.owner.execute("GRANT USAGE ON SCHEMA shop TO stranger")
    shop.db.connect().execute(HOSTILE)
    for connection in (shop.owner, shop.web):
        connection.execute("SET search_path = evil, pg_catalog")
    shop.owner.execute("SELECT slotbell.attach('shop.appointments'::pg_catalog.regclass, mailbox => 'host_email', uid => 'id', starts_at => 'starts_at',"
                       " duration_minutes => 'minutes', time_zone => 'UTC', subject => 'title', cancelled_when => 'status = ''cancelled'' AND lower(title) = title')")  # fmt: skip
    shop.owner.execute(spoil or "SELECT 1")
    shop.web.execute("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (1, 'ada@example.com', '2031-05-06 09:00+00')")
    shop.web.execute("UPDATE shop.appointments SET title = 'Other'")
    shop.web.execute("DELETE FROM shop.appointments")
    shop.owner.execute("SELECT slotbell.resync('ada@example.com'::pg_catalog.text)")
    shop.owner.execute("SELECT slotbell.detach('shop.appointments'::pg_catalog.regclass)")
    return shop.rang(), set(shop.db.query("SELECT who FROM evil.log"))


def test_what_lies_in_the_way_of_the_search_path_is_never_run(shop):
    assert hostile(shop) == ([("created", "1"), ("updated", "1"), ("cancelled", "1")], set())


def test_without_a_path_of_its_own_the_trigger_would_run_it_as_the_tables_owner(shop):
    _, ran_as = hostile(shop, "ALTER FUNCTION shop.slotbell_ring_appointments() RESET search_path")
    assert ran_as == {"shopkeeper"}


def test_a_temporary_table_of_the_writer_is_not_taken_for_another(shop):
    shop.owner.execute("CREATE TEMP TABLE hosts (email text)")
    shop.attach(mailbox="coalesce(host_email, (SELECT email FROM hosts LIMIT 1))")
    shop.owner.execute("DROP TABLE hosts")
    shop.web.execute("CREATE FUNCTION pg_temp.who() RETURNS text LANGUAGE sql AS 'SELECT ''ada@example.com''::text'; CREATE TEMP TABLE pg_class (email text)")
    shop.book()
    assert shop.rang() == [] and [state for state, _ in shop.warnings()] == ["42P01"]
