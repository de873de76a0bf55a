"""slotbell.publish(): what it takes, what it refuses and with which words, what rings and what does not."""

import json
import re

import psycopg
import pytest
from fixtures_sql import BOOKING, ROOT, publish

pytest_plugins = ["fixtures_sql"]

ADA = "ada@example.com"
LIMITS = dict(re.findall(r"#define SB_(\w+)\s+(\d+)", (ROOT / "protocol/limits.h").read_text()))


def limit(name):
    return int(LIMITS[name])


def booking(**changes):
    """The arguments of a good call, with some changed; None leaves one out."""
    whole = {
        "mailbox": ADA, "uid": "u", "starts_at": "2026-11-24 09:00+00", "duration_minutes": 30,
        "time_zone": "Europe/Berlin", "subject": "Intro call", "attendees": [], **changes,
    }  # fmt: skip
    needed = ("mailbox", "uid")
    return {
        key: json.dumps(v) if key in ("attendees", "details") else v for key, v in whole.items() if v is not None or key in needed
    }


def call(connection, **changes):
    arguments = booking(**changes)
    types = {"starts_at": "timestamptz", "duration_minutes": "int", "attendees": "jsonb", "details": "jsonb"}
    text = ", ".join(f"{name} => %({name})s::{types.get(name, 'text')}" for name in arguments)
    return connection.execute(f"SELECT slotbell.publish({text})", arguments).fetchone()[0]


def refused(connection, state, **changes):
    with pytest.raises(psycopg.Error) as caught:
        call(connection, **changes)
    said = caught.value.diag
    assert said.sqlstate == state, said.message_primary
    assert said.message_primary and said.message_detail and said.message_hint
    return said


def people(count, name="Grace", email="grace@example.com"):
    return [{"name": name, "email": email}] * count


LINK = "https://meet.example.com/"
UTC, TOKYO, NEW_YORK = ({"time_zone": zone} for zone in ("UTC", "Asia/Tokyo", "America/New_York"))
# What is just possible, and what is just not: (SQLSTATE, accepted, refused).
EDGES = {
    "mailbox": ("SB001", {"mailbox": "a@" + "b" * (limit("EMAIL_MAX") - 2)}, {"mailbox": "a@" + "b" * (limit("EMAIL_MAX") - 1)}),
    "shortest mailbox": ("SB001", {"mailbox": "a@b"}, {"mailbox": "@b"}),
    "uid": ("SB002", {"uid": "ü" * limit("UID_MAX")}, {"uid": "ü" * (limit("UID_MAX") + 1)}),
    "shortest uid": ("SB002", {"uid": "x"}, {"uid": ""}),
    "first start": ("SB003", {"starts_at": "1970-01-01 00:00+00"}, {"starts_at": "1969-12-31 23:59:59+00"}),
    "first start behind UTC": ("SB003", {"starts_at": "1970-01-01 05:00+00", **NEW_YORK}, {"starts_at": "1970-01-01 04:59:59+00", **NEW_YORK}),
    "first start ahead of UTC": ("SB003", {"starts_at": "1970-01-01 00:00+00", **TOKYO}, {"starts_at": "1969-12-31 23:59:59+00", **TOKYO}),
    "last end": ("SB003", {"starts_at": "9999-12-31 23:29:59+00", **UTC}, {"starts_at": "9999-12-31 23:30+00", **UTC}),
    "last end ahead of UTC": ("SB003", {"starts_at": "9999-12-31 14:29:59+00", **TOKYO}, {"starts_at": "9999-12-31 14:30+00", **TOKYO}),
    "last end behind UTC": ("SB003", {"starts_at": "9999-12-31 23:29:59+00", **NEW_YORK}, {"starts_at": "9999-12-31 23:30+00", **NEW_YORK}),
    "last start": ("SB003", {"starts_at": "9999-12-31 23:58:59+00", "duration_minutes": 1, **UTC}, {"starts_at": "10000-01-01 00:00+00", **UTC}),
    "longest at the end": ("SB003", {"starts_at": "9999-11-30 23:59:59+00", "duration_minutes": 44640, **UTC}, {"starts_at": "9999-12-01 00:00+00", "duration_minutes": 44640, **UTC}),
    "shortest": ("SB004", {"duration_minutes": limit("DURATION_MINUTES_MIN")}, {"duration_minutes": limit("DURATION_MINUTES_MIN") - 1}),
    "longest": ("SB004", {"duration_minutes": limit("DURATION_MINUTES_MAX")}, {"duration_minutes": limit("DURATION_MINUTES_MAX") + 1}),
    "subject": ("SB006", {"subject": "é" * limit("SUBJECT_MAX")}, {"subject": "é" * (limit("SUBJECT_MAX") + 1)}),
    "attendees": ("SB007", {"attendees": people(limit("ATTENDEES_MAX"))}, {"attendees": people(limit("ATTENDEES_MAX") + 1)}),
    "name": ("SB007", {"attendees": people(1, name="n" * limit("NAME_MAX"))}, {"attendees": people(1, name="n" * (limit("NAME_MAX") + 1))}),
    "email": ("SB007", {"attendees": people(1, email="e@" + "x" * (limit("EMAIL_MAX") - 2))}, {"attendees": people(1, email="e@" + "x" * (limit("EMAIL_MAX") - 1))}),
    "shortest email": ("SB007", {"attendees": people(1, email="a@b")}, {"attendees": people(1, email="@b")}),
    "organizer": ("SB009", {"details": {"organizer": {"email": "e@" + "x" * (limit("EMAIL_MAX") - 2)}}}, {"details": {"organizer": {"email": "e@" + "x" * (limit("EMAIL_MAX") - 1)}}}),
    "organizer's name": ("SB009", {"details": {"organizer": {"name": "n" * limit("NAME_MAX"), "email": ADA}}}, {"details": {"organizer": {"name": "n" * (limit("NAME_MAX") + 1), "email": ADA}}}),
    "location": ("SB009", {"details": {"location": "l" * limit("LOCATION_MAX")}}, {"details": {"location": "l" * (limit("LOCATION_MAX") + 1)}}),
    "join_url": ("SB009", {"details": {"join_url": f"{LINK:j<{limit('JOIN_URL_MAX')}}"}}, {"details": {"join_url": f"{LINK:j<{limit('JOIN_URL_MAX') + 1}}"}}),
    "description": ("SB009", {"details": {"description": "d" * limit("DESCRIPTION_MAX")}}, {"details": {"description": "d" * (limit("DESCRIPTION_MAX") + 1)}}),
}  # fmt: skip


@pytest.mark.parametrize("edge", EDGES)
def test_each_limit_holds_at_its_edge(shared_db, edge):
    state, good, bad = EDGES[edge]
    good = {"uid": edge, **good}
    shared_db.enrol(good.get("mailbox", ADA))
    connection = shared_db.connect()
    assert call(connection, **good) is not None
    refused(connection, state, **bad)


REFUSED = [
    ("SB001", {"mailbox": None}), ("SB001", {"mailbox": "ada"}), ("SB001", {"mailbox": "a b@c"}), ("SB001", {"mailbox": "a@b@c"}),
    ("SB002", {"uid": None}), ("SB002", {"uid": "a\nb"}),
    ("SB003", {"starts_at": None}), ("SB003", {"starts_at": "infinity"}), ("SB003", {"starts_at": "-infinity"}),
    ("SB004", {"duration_minutes": None}), ("SB004", {"duration_minutes": -30}),
    ("SB005", {"time_zone": None}), ("SB005", {"time_zone": "Mars/Olympus"}), ("SB005", {"time_zone": "europe/berlin"}),
    ("SB005", {"time_zone": "CEST+nonsense"}), ("SB005", {"time_zone": "posixrules"}),
    ("SB006", {"subject": None}),
    ("SB007", {"attendees": [None]}), ("SB007", {"attendees": [[]]}), ("SB007", {"attendees": [{}]}), ("SB007", {"attendees": [{"email": None}]}),
    ("SB007", {"attendees": [{"email": "a@b", "phone": None}]}), ("SB007", {"attendees": [{"email": "a@b", "name": {}}]}), ("SB007", {"attendees": ""}),
    ("SB007", {"attendees": {}}), ("SB007", {"attendees": ["grace@example.com"]}), ("SB007", {"attendees": [{"name": "Grace"}]}),
    ("SB007", {"attendees": [{"email": ""}]}), ("SB007", {"attendees": [{"email": 7}]}), ("SB007", {"attendees": [{"email": "a@b", "name": 7}]}),
    ("SB007", {"attendees": [{"email": "a@b", "phone": "7"}]}), ("SB007", {"attendees": 7}),
    ("SB008", {"change": "moved"}), ("SB008", {"change": "Created"}),
    ("SB009", {"details": []}), ("SB009", {"details": {"colour": "red"}}), ("SB009", {"details": {"location": 7}}),
    ("SB009", {"details": {"organizer": "Ada"}}), ("SB009", {"details": {"organizer": {"name": "Ada"}}}), ("SB009", {"details": {"organizer": {"name": None, "email": None}}}),
    ("SB009", {"details": {"organizer": {}}}), ("SB009", {"details": {"organizer": []}}), ("SB009", {"details": {"colour": None}}),
    ("SB009", {"details": {"location": {}}}), ("SB009", {"details": {"description": ["d"]}}), ("SB009", {"details": {"join_url": True}}), ("SB009", {"details": 7}),
]  # fmt: skip


@pytest.mark.parametrize("state, changes", REFUSED, ids=lambda v: str(v)[:40])
def test_what_makes_no_sense_is_refused_in_four_parts(shared_db, state, changes):
    refused(shared_db.connect(), state, **changes)


WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROLS = [chr(c) for c in (1, 7, 27, 31, 127, 128, 0x85, 0x9f, 0x2028, 0x2029)]
UNSEEN = [chr(c) for c in (0xAD, 0x34F, 0x61C, 0x180E, 0x200B, 0x200D, 0x200E, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0x3164, 0xFEFF, 0xFFFB, 0x1BCA0, 0xE0041)]
NO_ADDRESS = [
    "", "ada", "@", "a@", "@b", "a@b@c", "Ada <a@b.c>", "Ada<a@b.c>", "<a@b.c>", "mailto:a@b.c", "MAILTO:a@b.c", "smtp:a@b.c", "a@b.c,d", "a,b@c", "a@b.c;", "a;b@c", '"a"@b.c',
    "a\\b@c", "a@[127.0.0.1]", "a@b(x)", "a b@c", " a@b.c", "a@b.c ", "a@b.c\n", "a@b\tc", *(f"a{c}b@c.d" for c in WHITE), *(f"a@b.c{c}" for c in [*CONTROLS, *UNSEEN]),
]  # fmt: skip
ADDRESSES = ["a@b", "Ada.Lovelace+x@Example.COM", "o'neil@example.com", "a/b=c!#$%&*?^_`{|}~-@example.com", "müller@bücher.example", "用户@例子.广告", "a@b-c.d", "\U0001f600@example.com"]


def test_an_email_is_one_address_and_nothing_else(shared_db):
    connection = shared_db.connect()
    for address in NO_ADDRESS:
        refused(connection, "SB001", mailbox=address)
        refused(connection, "SB007", attendees=[{"email": "a@b"}, {"email": address}])
        refused(connection, "SB009", details={"organizer": {"email": address}})
        with pytest.raises(psycopg.Error) as caught:
            shared_db.enrol(address)
        assert caught.value.diag.sqlstate == "SB001" and caught.value.diag.message_primary == "slotbell.enrol: mailbox is not an address"


def test_an_address_of_many_forms_is_one(shared_db):
    connection = shared_db.connect()
    for address in ADDRESSES:
        shared_db.enrol(address)
        assert call(connection, mailbox=address, uid=address, attendees=[{"email": address}], details={"organizer": {"email": address}}) is not None


def test_a_uid_has_no_blank_at_its_ends_and_no_control_character(shared_db):
    shared_db.enrol(ADA)
    connection = shared_db.connect()
    for character in [*WHITE, *CONTROLS]:
        for uid in (character, character + "u", "u" + character):
            refused(connection, "SB002", uid=uid)
        if character in CONTROLS or character < " ":
            refused(connection, "SB002", uid=f"u{character}v")
        else:
            assert call(connection, uid=f"u{character}v") is not None


def test_a_null_in_an_optional_field_is_absent_and_stored_so(db):
    db.enrol(ADA)
    connection = db.connect()
    people = [{"name": None, "email": "g@example.com"}, {"email": "h@example.com"}, {"name": "", "email": "i@example.com"}]
    details = {"organizer": {"name": None, "email": "o@example.com"}, "location": None, "join_url": None, "description": None}
    assert call(connection, attendees=people, details=details) is not None
    kept = [{"email": "g@example.com"}, {"email": "h@example.com"}, {"name": "", "email": "i@example.com"}]
    assert db.query("SELECT attendees, details FROM slotbell.event") == [(kept, {"organizer": {"email": "o@example.com"}})]
    # said without the nulls it is the same booking
    assert call(connection, attendees=kept, details={"organizer": {"email": "o@example.com"}}) is None


@pytest.mark.parametrize("details", [None, {}, {"location": None}, {"organizer": None, "description": None}], ids=str)
def test_details_of_nothing_are_none(db, details):
    db.enrol(ADA)
    connection = db.connect()
    sent = {"mailbox": ADA, "details": json.dumps(details)}
    publish = f"SELECT slotbell.publish(mailbox => %(mailbox)s, uid => 'u', {BOOKING}, details => %(details)s::jsonb, attendees => 'null')"
    assert connection.execute(publish, sent).fetchone() != (None,)
    assert db.query("SELECT attendees, details FROM slotbell.event") == [([], None)]
    assert call(connection, attendees=[]) is None, "the same booking"
    connection.execute("SELECT slotbell.publish(%(mailbox)s, 'u', change => 'cancelled', details => %(details)s::jsonb, attendees => 'null')", sent)
    assert db.query("SELECT attendees, details FROM slotbell.event WHERE change = 'cancelled'") == [(None, None)]


def test_a_null_in_a_text_never_reaches_a_booking(db):
    db.enrol(ADA)
    with pytest.raises(psycopg.Error):
        call(db.connect(), attendees=[{"email": "a@b", "name": "\u0000"}])


def test_64_kib_in_all_is_the_limit(db):
    db.enrol(ADA)
    connection = db.connect()
    attendees = people(250, name="n" * 100)
    rest = {"attendees": attendees, "details": {"description": ""}}
    call(connection, uid="empty", **rest)
    used = db.one("SELECT octets FROM slotbell.event")
    room = limit("EVENT_BYTES_MAX") - used + len("empty") - 1
    assert 0 < room < limit("DESCRIPTION_MAX")
    rest["details"]["description"] = "d" * room
    assert call(connection, uid="f", **rest) is not None
    assert db.one("SELECT max(octets) FROM slotbell.event") == limit("EVENT_BYTES_MAX")
    rest["details"]["description"] += "d"
    refused(connection, "SB010", uid="g", **rest)


def test_an_error_repeats_no_personal_data(db):
    db.enrol(ADA)
    said = refused(db.connect(), "SB007", attendees=[{"email": "grace@example.com", "name": "Grace", "phone": "555"}])
    for part in (said.message_primary, said.message_detail, said.message_hint):
        assert "grace" not in part.lower() and "555" not in part


def test_a_booking_of_a_mailbox_without_a_plug_in_is_not_kept(db):
    connection = db.connect()
    assert call(connection) is None
    assert db.one("SELECT count(*) FROM slotbell.booking_state") == 0
    device = db.enrol(ADA)
    db.query("SELECT slotbell.revoke(%s)", device)
    call(connection)
    assert db.one("SELECT count(*) FROM slotbell.event") == 0
    assert db.one("SELECT count(*) FROM slotbell.booking_state") == 0
    assert db.one("SELECT head FROM slotbell.mailbox") == 0
    # so that a plug-in that comes later gets the same booking
    db.enrol(ADA)
    assert call(connection) is not None
    assert db.seqs(ADA) == [1]


def test_the_address_is_compared_without_case(db):
    db.enrol("Ada@Example.com")
    assert call(db.connect(), mailbox="ADA@example.COM") is not None


def test_the_same_state_rings_once_and_a_changed_one_again(db):
    db.enrol(ADA)
    connection = db.connect()
    connection.execute("SET timezone = 'Asia/Tokyo'")
    assert call(connection) is not None
    connection.execute("SET timezone = 'UTC'")
    assert call(connection) is None
    assert call(connection, change="updated") is None
    assert call(connection, change="updated", subject="Another") is not None
    assert call(connection) is not None
    assert db.seqs(ADA) == [1, 2, 3]


def test_what_was_cancelled_stays_so(db):
    db.enrol(ADA)
    connection = db.connect()
    call(connection)
    cancel = {"change": "cancelled", "starts_at": None, "duration_minutes": None, "time_zone": None, "subject": None, "attendees": None}
    assert call(connection, **cancel) is not None
    assert call(connection, **cancel) is None
    assert call(connection) is None
    assert call(connection, change="updated", subject="Another") is None
    # also one whose create comes after its cancel
    assert call(connection, uid="late", **cancel) is not None
    assert call(connection, uid="late") is None
    assert db.seqs(ADA) == [1, 2, 3]


def test_a_cancelled_event_holds_no_more_than_it_was_given(db):
    db.enrol(ADA)
    connection = db.connect()
    connection.execute("SELECT slotbell.publish(%s, 'u', change => 'cancelled')", (ADA,))
    assert db.query("SELECT subject, attendees, starts_at, details FROM slotbell.event") == [(None, None, None, None)]


def test_starts_at_is_cut_to_the_second_and_its_local_time_is_kept(db):
    db.enrol(ADA)
    call(db.connect(), starts_at="2026-07-01 09:00:00.999999+00")
    row = db.query("SELECT starts_at_s, starts_local FROM slotbell.fetch((SELECT array_agg(id) FROM slotbell.mailbox), '{0}', 9, 99999)")
    assert row == [(1782896400, "2026-07-01T11:00:00")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_booking_is_committed_to_the_disk_whenever_its_transaction_turned_that_off(db, when):
    """A number that is lost in a crash, after a plug-in was given it, would be another booking's."""
    db.enrol(ADA)
    with db.connect() as owner:
        owner.execute("CREATE TABLE seen (setting text); GRANT INSERT ON seen TO PUBLIC;"
                      "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
                      " $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;"
                      "CREATE CONSTRAINT TRIGGER zzz AFTER INSERT ON slotbell.event DEFERRABLE INITIALLY DEFERRED"
                      " FOR EACH ROW EXECUTE FUNCTION see()")  # fmt: skip
    connection = db.connect(autocommit=False)
    for step in ("before", "publish", "after"):
        if step == "publish":
            publish(connection, ADA, "u")
        elif step == when:
            connection.execute("SET synchronous_commit = off")
    connection.commit()
    assert db.query("SELECT setting FROM seen") == ["on"], "at the commit"
    assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",), "and no longer"


def test_a_rollback_and_a_savepoint_leave_no_hole(db):
    db.enrol(ADA)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "gone")
    connection.rollback()
    publish(connection, ADA, "one")
    connection.execute("SAVEPOINT here")
    publish(connection, ADA, "never")
    connection.execute("ROLLBACK TO here")
    publish(connection, ADA, "two")
    connection.commit()
    assert db.query("SELECT uid, seq FROM slotbell.event ORDER BY seq") == [("one", 1), ("two", 2)]
    assert db.query("SELECT uid, seq FROM slotbell.booking_state ORDER BY uid") == [("one", 1), ("two", 2)]


def test_one_notification_for_a_mailbox_and_transaction_with_nothing_in_it_but_the_id(db):
    db.enrol(ADA)
    db.enrol("bob@example.com")
    listener = db.connect()
    listener.execute("LISTEN slotbell_wake")
    connection = db.connect(autocommit=False)
    for uid in "abc":
        publish(connection, ADA, uid)
    publish(connection, "bob@example.com", "d")
    connection.commit()
    heard = []
    for notification in listener.notifies():
        heard.append(notification.payload)
        if len(heard) == 2:
            break
    listener.execute("SELECT 1")
    ids = [str(i) for i in db.query("SELECT id FROM slotbell.mailbox ORDER BY id")]
    assert sorted(heard) == ids


def test_prepare_transaction_is_refused_by_postgresql_as_documented(db):
    db.enrol(ADA)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "u")
    with pytest.raises(psycopg.Error):
        connection.execute("PREPARE TRANSACTION 'x'")


def test_repeatable_read_may_end_in_40001_at_commit_as_documented(db):
    db.enrol(ADA)
    slow = db.connect(autocommit=False)
    slow.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    publish(slow, ADA, "slow")
    publish(db.connect(), ADA, "quick")
    with pytest.raises(psycopg.errors.SerializationFailure):
        slow.commit()
    assert db.query("SELECT uid FROM slotbell.event") == ["quick"]


def test_the_sql_in_the_readme_form_works(db):
    db.enrol(ADA)
    assert db.one(f"SELECT slotbell.publish(mailbox => 'ada@example.com', uid => 'x', {BOOKING})") is not None
