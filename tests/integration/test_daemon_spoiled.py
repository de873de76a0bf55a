"""Rows of slotbell.event that somebody changed by hand: each is one failed event for a client, and nothing behind it waits."""

import asyncio
import json

import http_client as http
import pytest
from ctl_support import wait_until
from plugin_process import Plugin
from session_client import run
from test_daemon_three_ways import by_poll, by_stream, by_websocket

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
SPOILED = {
    "change": "change = 'moved'", "starts_at infinite": "starts_at = 'infinity'", "starts_at missing": "starts_at = NULL",
    "starts_local too late": "starts_local = '12026-01-01 00:00'", "no zone": "time_zone = ''", "a zone too long": "time_zone = repeat('z', 65)",
    "too short": "duration_minutes = -5", "too long": "duration_minutes = 2147483647", "no minutes": "duration_minutes = NULL",
    "a subject too long": "subject = repeat('s', 256)", "attendees no list": "attendees = '7'", "an attendee no object": "attendees = '[7]'",
    "no address": """attendees = '[{"email": ""}]'""", "too many": """attendees = (SELECT jsonb_agg('{"email": "a@b.c"}'::jsonb) FROM generate_series(1, 501))""",
    "details a number": "details = '12345'", "details a list": """details = '["a", "b"]'""", "details a text": """details = '"}"'""",
    "details that say the uid": """details = '{"uid": "another"}'""", "a location that is a number": """details = '{"location": 7}'""",
    "details too deep": "details = ('{\"x\": ' || repeat('[', 40) || repeat(']', 40) || '}')::jsonb",
    "a megabyte": "subject = repeat('s', 1000000)", "a uid too long for an index": "uid = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n)", "a uid too long": "uid = repeat('u', 256)", "no uid": "uid = ''",
}  # fmt: skip
# What can be said all the same.
HARMLESS = {
    "no published_at": "published_at = NULL", "published_at infinite": "published_at = 'infinity'", "published_at too late": "published_at = '294276-12-31'", "published_at BC": "published_at = '4000-01-01 BC'",
    "octets": "octets = 2147483647", "octets below": "octets = -2147483648", "version below": "version = -5", "version above": "version = 9223372036854775807", "version missing": "version = NULL",
    "starts_local infinite": "starts_local = 'infinity'",
}  # fmt: skip


def spoil(house):
    """A good booking, a spoiled one, a good one, …: {seq: name} of those that cannot be said, and how many there are in all."""
    count, spoiled = 0, {}
    with house.connect() as connection:
        for name, change in {**SPOILED, **HARMLESS}.items():
            house.publish(ADA, f"good {name}", connection)
            house.publish(ADA, f"odd {name}", connection)
            connection.execute(f"UPDATE slotbell.event SET {change} WHERE uid = %s", [f"odd {name}"])
            count += 2
            if name in SPOILED:
                spoiled[count] = name
    return spoiled, count


def test_a_spoiled_row_is_said_with_its_uid_alone_in_its_place(house):
    tokens = [house.enrol(ADA) for _ in range(3)]
    daemon = house.daemon()
    spoiled, count = spoil(house)

    async def story():
        return [await way(house, daemon, token) for way, token in zip((by_websocket, by_stream, by_poll), tokens, strict=True)]

    first, *others = run(story())
    assert others == [first, first], "the same by all three"
    events = [json.loads(text) for text in first if json.loads(text)["type"] == "booking"]
    assert [event["seq"] for event in events] == list(range(1, count + 1)), "in order, and without a hole"
    bare = {event["seq"] for event in events if set(event["booking"]) == {"uid", "version"}}
    assert {spoiled.get(seq, seq) for seq in bare} == set(spoiled.values())
    for event in events:
        assert event["change"] in ("created", "updated") and 1 <= len(event["booking"]["uid"]) <= 255 and 0 < event["booking"]["version"] < 2**53
    wait_until(lambda: "event unreadable" in daemon.log_text(), "it is logged")
    assert "mailbox=1 seq=" in daemon.log_text() and "Intro call" not in daemon.log_text()


def test_a_spoiled_cancel_is_a_cancel(house):
    token = house.enrol(ADA)
    daemon = house.daemon()
    house.publish(ADA, "u")
    with house.connect() as connection:
        connection.execute("SELECT slotbell.publish(%s, 'u', change => 'cancelled')", [ADA])
        connection.execute("UPDATE slotbell.event SET attendees = '7', details = '[true, false]' WHERE change = 'cancelled'")
    messages = run(asyncio.wait_for(http.poll(daemon, token), 20)).messages()
    assert [(m["change"], sorted(m["booking"])) for m in messages if m["type"] == "booking"][1:] == [("cancelled", ["uid", "version"])]


@pytest.mark.parametrize("transport", ["websocket", "stream", "poll"])
def test_the_plug_in_reports_them_and_writes_the_others(house, tmp_path, transport):
    token = house.enrol(ADA)
    daemon = house.daemon()
    spoiled, count = spoil(house)
    plugin = Plugin(tmp_path / "ada", daemon.url, daemon.ca, "--transport", transport, "--once", token=token)
    with plugin.run() as running:
        assert running.end() == 0, running.words
    assert {line["seq"]: line["reason"] for line in running.said("failed")} == dict.fromkeys(spoiled, "unsupported")
    assert len(plugin.files()) == count - len(spoiled)
    with house.connect() as connection:
        assert connection.execute("SELECT acked FROM slotbell.device").fetchone() == (count,)
