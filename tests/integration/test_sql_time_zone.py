"""Time zones: a booking's local time is what its zone's clock shows, and slotbell.time_zone has what clients know."""

import datetime
import zoneinfo

import psycopg
import pytest
from fixtures_sql import apply_schema, publish

pytest_plugins = ["fixtures_sql"]

ADA = "ada@example.com"
INSTANTS = [datetime.datetime(year, month, 15, 12, tzinfo=datetime.timezone.utc) for year in range(2020, 2030) for month in (1, 7)]
UNKNOWN_TO_CLIENTS = ("localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin")
SETTINGS = ("SET timezone_abbreviations = 'Australia'", "SET timezone_abbreviations = 'India'", "SET timezone = 'Asia/Kathmandu'",
            "SET datestyle = 'SQL, DMY'", "SET intervalstyle = 'sql_standard'")  # fmt: skip


def local(name, instant):
    return instant.astimezone(zoneinfo.ZoneInfo(name)).replace(tzinfo=None)


@pytest.mark.parametrize("setting", ("SELECT 1", *SETTINGS))
def test_every_name_is_what_zoneinfo_says_in_january_and_july(db, setting):
    connection = db.connect()
    connection.execute(setting)
    found = connection.execute("SELECT z.name, extract(epoch FROM i)::bigint, to_char(slotbell.local_time(i, z.name), 'YYYY-MM-DD HH24:MI:SS')"
                               " FROM slotbell.time_zone z, unnest(%s::timestamptz[]) i", (INSTANTS,)).fetchall()  # fmt: skip
    assert len(found) == len(INSTANTS) * db.one("SELECT count(*) FROM slotbell.time_zone") > 10000
    wrong = [row for row in found if row[2] != str(local(row[0], datetime.datetime.fromtimestamp(row[1], datetime.timezone.utc)))]
    assert not wrong
    for name in ("CET", "UTC", "Europe/Berlin"):
        assert connection.execute("SHOW timezone").fetchone() == connection.execute(
            "SELECT current_setting('timezone') FROM slotbell.local_time(now(), %s)", (name,)).fetchone()  # fmt: skip


@pytest.mark.parametrize("name", ["CET", "EET", "MET", "WET", "EST", "MST", "HST", "EST5EDT", "GB", "UTC", "Zulu", "Europe/Berlin"])
def test_a_booking_in_july_has_the_local_time_of_its_zone(db, name):
    db.enrol(ADA)
    connection = db.connect()
    for number, instant in enumerate(INSTANTS):
        connection.execute("SELECT slotbell.publish(%s, %s, %s, 30, %s, 'Call')", (ADA, str(number), instant, name))
    assert db.query("SELECT starts_local FROM slotbell.event ORDER BY id") == [local(name, instant) for instant in INSTANTS]


def test_publish_leaves_the_time_zone_of_the_session_as_it_is(db):
    db.enrol(ADA)
    connection = db.connect(autocommit=False)
    connection.execute("SET LOCAL timezone = 'Asia/Kathmandu'")
    connection.execute("SELECT slotbell.publish(%s, 'u', now(), 30, 'CET', 'Call')", (ADA,))
    assert connection.execute("SHOW timezone").fetchone() == ("Asia/Kathmandu",)


def test_what_no_client_knows_is_not_a_time_zone(db):
    names = set(db.query("SELECT name FROM slotbell.time_zone"))
    assert names == {name for name in zoneinfo.available_timezones() if name not in UNKNOWN_TO_CLIENTS}
    with db.connect() as connection:
        for name in UNKNOWN_TO_CLIENTS:
            with pytest.raises(psycopg.Error) as error:
                connection.execute("SELECT slotbell.publish(%s, 'u', now(), 30, %s, 'Call')", (ADA, name))
            assert error.value.sqlstate == "SB005"


def test_an_event_of_before_that_has_such_a_name_is_delivered(sql_cluster):
    from fixtures_sql import Database

    db = Database(sql_cluster.create_database("zone_before"), sql_cluster, "zone_before")
    apply_schema(db.url, last=8)
    db.enrol(ADA)
    with db.connect() as connection:
        connection.execute("SELECT slotbell.publish(%s, 'u', '2026-07-01 10:00+00', 30, 'localtime', 'Call')", (ADA,))
    apply_schema(db.url, after=8)
    assert "localtime" not in db.query("SELECT name FROM slotbell.time_zone")
    assert db.query("SELECT uid, time_zone, starts_local FROM slotbell.next_events('{1}', '{0}', 10, 100000)") == [
        ("u", "localtime", "2026-07-01T10:00:00")]  # fmt: skip
    with db.connect() as connection:
        assert publish(connection, ADA, "u") is not None
    db.close()
    sql_cluster.drop_database("zone_before")


def test_what_was_learnt_and_lost_is_counted_and_renewed(db):
    assert db.query("SELECT * FROM slotbell.zone_news()") == [(0, 0)]
    db.query("DELETE FROM slotbell.time_zone WHERE name IN ('Europe/Berlin', 'CET') RETURNING 1")
    db.query("INSERT INTO slotbell.time_zone VALUES ('Mars/Base'), ('localtime'), ('Factory') RETURNING 1")
    assert db.query("SELECT * FROM slotbell.zone_news()") == [(2, 3)]
    assert db.query("SELECT * FROM slotbell.renew_zones()") == [(2, 3)]
    assert db.query("SELECT * FROM slotbell.zone_news()") == [(0, 0)]
