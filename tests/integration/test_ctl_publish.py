"""slotbellctl publish: what is typed is what rings."""

import re

import pytest
from ctl_support import ADA

pytest_plugins = ["fixtures_ctl"]

BOOKING = ["publish", ADA, "--subject", "Intro call", "--starts-at", "2026-11-24T09:00:00Z", "--minutes", "30"]


def event(ctl):
    """The one event there is, as JSON."""
    (row,) = ctl.query("SELECT to_jsonb(e) FROM slotbell.event e")
    return row


def test_everything_typed_is_in_the_event(ctl):
    ctl.enrol()
    done = ctl.run(
        "publish", "ADA@example.com", "--subject", "Erstgespräch", "--starts-at", "2026-11-24T10:00:00+01:00",
        "--minutes", 45, "--time-zone", "Europe/Berlin", "--uid", "42@shop", "--change", "updated",
        "--attendee", "Grace Hopper <grace@example.com>", "--attendee", "bob@example.com",
        "--attendee", '"Lovelace, Ada" <ada@example.org>', "--organizer", "Linus <linus@example.com>",
        "--location", "Room 1", "--join-url", "https://meet.example/1", "--description", "Hello",
    )  # fmt: skip
    row = event(ctl)
    assert done.stdout == f"{row['id']} 42@shop\n"
    assert row["starts_local"] == "2026-11-24T10:00:00"
    assert {key: row[key] for key in ("uid", "change", "subject", "duration_minutes", "time_zone", "seq")} == {
        "uid": "42@shop", "change": "updated", "subject": "Erstgespräch", "duration_minutes": 45,
        "time_zone": "Europe/Berlin", "seq": 1,
    }  # fmt: skip
    assert row["attendees"] == [
        {"name": "Grace Hopper", "email": "grace@example.com"},
        {"name": "", "email": "bob@example.com"},
        {"name": "Lovelace, Ada", "email": "ada@example.org"},
    ]
    assert row["details"] == {
        "organizer": {"name": "Linus", "email": "linus@example.com"}, "location": "Room 1",
        "join_url": "https://meet.example/1", "description": "Hello",
    }  # fmt: skip


def test_without_a_uid_a_booking_gets_a_new_one(ctl):
    ctl.enrol()
    uids = {ctl.json(*BOOKING)[0]["uid"] for _ in range(2)}
    assert len(uids) == 2
    for uid in uids:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}@slotbell", uid)


def test_json_has_the_event_and_the_uid(ctl):
    ctl.enrol()
    assert ctl.json(*BOOKING, "--uid", "1") == [{"event": event(ctl)["id"], "uid": "1"}]


def test_a_time_without_an_offset_is_the_time_in_the_zone(ctl):
    ctl.enrol()
    ctl.run("publish", ADA, "--subject", "s", "--starts-at", "2026-07-01 10:00", "--minutes", 5,
            "--time-zone", "America/New_York")  # fmt: skip
    assert event(ctl)["starts_at"] == "2026-07-01T14:00:00+00:00"
    assert event(ctl)["starts_local"] == "2026-07-01T10:00:00"


@pytest.mark.parametrize("zone, name", [
    ("Europe/Berlin", "Europe/Berlin"), (":Asia/Tokyo", "Asia/Tokyo"),
    ("/usr/share/zoneinfo/America/New_York", "America/New_York"), ("CET-1CEST", "UTC"), ("../etc", "UTC"),
])  # fmt: skip
def test_the_zone_is_the_systems_where_that_has_a_name(ctl, zone, name):
    ctl.enrol()
    ctl.run(*BOOKING, env={"TZ": zone})
    assert event(ctl)["time_zone"] == name


def test_nothing_rings_without_a_plug_in(ctl):
    done = ctl.run(*BOOKING)
    assert done.stdout == "" and "Nothing rings" in done.stderr and ADA in done.stderr
    assert ctl.json(*BOOKING, "--uid", "1") == [{"event": None, "uid": "1"}]


def test_nothing_rings_for_the_same_again_or_after_a_cancel(ctl):
    ctl.enrol()
    booking = [*BOOKING, "--uid", "1"]
    ctl.run(*booking)
    assert "Nothing rings" in ctl.run(*booking).stderr
    assert re.fullmatch(r"\d+ 1\n", ctl.run("publish", ADA, "--uid", "1", "--change", "cancelled").stdout)
    done = ctl.run(*booking)
    assert done.stdout == "" and "Nothing rings" in done.stderr
    assert ctl.query("SELECT change FROM slotbell.event ORDER BY seq") == ["created", "cancelled"]


@pytest.mark.parametrize("arguments", [
    ["publish"], ["publish", ADA], BOOKING[:-2], [*BOOKING, "again"], ["publish", *BOOKING[2:]],
    [*BOOKING, "--change", "moved"], [*BOOKING, "--change", "updated"], ["publish", ADA, "--change", "cancelled"],
    [*BOOKING, "--minutes", "half"], [*BOOKING, "--minutes", "-5"], [*BOOKING, "--minutes", ""],
    [*BOOKING, "--starts-at", "tomorrow"], [*BOOKING, "--starts-at", "2026-11-24"],
    [*BOOKING, "--starts-at", "2026-11-24T10:00+0100"], [*BOOKING, "--starts-at", "infinity"],
    [*BOOKING, "--attendee", "Grace <grace@example.com"], [*BOOKING, "--attendee", "nobody"],
    [*BOOKING, "--attendee", ""], [*BOOKING, "--attendee", "Grace <>"], [*BOOKING, "--organizer", b"\xff@example.com"],
    [*BOOKING, "--location", b"\xff"],
])  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(ctl, arguments):
    ctl.enrol()
    done = ctl.run(*[a.decode(errors="surrogateescape") if isinstance(a, bytes) else a for a in arguments], expect=2)
    assert done.stdout == "" and "Try: slotbellctl publish --help" in done.stderr
    assert ctl.query("SELECT count(*) FROM slotbell.event") == [0]


@pytest.mark.parametrize("option, value", [
    ("--minutes", "0"), ("--minutes", "44641"), ("--time-zone", "Mars/Phobos"), pytest.param("--subject", "x" * 256, id="--subject of 256"),
    ("--starts-at", "2026-02-30T00:00Z"), ("--uid", ""), pytest.param("--uid", "x" * 256, id="--uid of 256"),
])  # fmt: skip
def test_what_the_database_refuses_is_a_failure(ctl, option, value):
    ctl.enrol()
    done = ctl.run(*BOOKING, option, value, expect=1)
    assert done.stdout == "" and done.stderr.startswith("slotbellctl: ")
    assert ctl.query("SELECT count(*) FROM slotbell.event") == [0]


def test_message_detail_and_hint_of_the_database_are_shown(ctl):
    ctl.enrol()
    words = ctl.run(*BOOKING, "--minutes", "0", expect=1).stderr
    assert re.search(r"^slotbellctl: .+\n  detail: .+\n  hint: .+", words)


def test_what_fails_at_commit_has_not_happened(ctl):
    ctl.enrol()
    ctl.query(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;"
        "CREATE CONSTRAINT TRIGGER zz_refuse AFTER INSERT ON slotbell.event DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )
    done = ctl.run(*BOOKING, expect=1)
    assert done.stdout == "" and "not today" in done.stderr
    assert ctl.query("SELECT count(*) FROM slotbell.event") == [0]
