"""slotbell-plugin against a scripted server: what it writes, acks and says in a session, and how that ends."""

import json
import re
import signal

import pytest

from fake_server import EPOCH, FakeServer, booking, cursor
from plugin_process import PROGRAM, TOKEN

pytest_plugins = ["fixtures_plugin"]


def version_in(text):
    return int(re.search(r"^X-SLOTBELL-VERSION:(\d+)$", text, re.MULTILINE).group(1))


def test_a_booking_is_written_then_acked_and_the_process_leaves_when_told(start, context):
    async def script(session):
        await session.welcome(41)
        await session.live(41)
        await session.send(booking(42, "one", location="Room 1, left", join_url="https://example.com/j?a=1",
                                   organizer={"name": "Ada", "email": "ada@example.com"}, description="a\nb; c"))
        await session.acked(42)
        assert await session.closed_by_client() == 1001

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run() as running:
            written = running.wait_for("written")
            assert running.wait_for("acked")["cursor"] == cursor(42)
            assert running.stop() == 0
            assert running.lines[-1]["what"] == "bye"
    names = [line["what"] for line in running.lines]
    assert names == ["connecting", "welcome", "live", "written", "acked", "closed", "bye"]
    assert written["file"] == str(plugin.calendar / "one.ics") and not written["repeat"]
    assert (written["seq"], written["version"], written["uid"]) == (42, 42, "one")
    assert written["starts_at"] == "2026-11-24T09:00:00Z" and written["duration_minutes"] == 30
    assert written["published_at"] == "2026-11-23T09:12:44.123456Z" and written["latency_ms"] > 0
    text = plugin.files()["one.ics"]
    for line in ("UID:one", "SEQUENCE:0", "X-SLOTBELL-VERSION:42", "DTSTART:20261124T090000Z", "DURATION:PT30M", "SUMMARY:Intro call 42",
                 "DTSTAMP:20261123T091244Z", "LAST-MODIFIED:20261123T091244Z", "LOCATION:Room 1\\, left",
                 "URL:https://example.com/j?a=1", "DESCRIPTION:a\\nb\\; c", "STATUS:CONFIRMED",
                 "ATTENDEE;CN=Grace Hopper:mailto:grace@example.com", "ORGANIZER;CN=Ada:mailto:ada@example.com",
                 "X-SLOTBELL-TIME-ZONE:Europe/Berlin", "X-SLOTBELL-STARTS-LOCAL:2026-11-24T10:00:00"):
        assert f"\n{line}\n" in text, line
    assert plugin.saved() == {"device": 7, "cursor": cursor(42), "failed": []}
    assert server.messages("hello")[0]["client"]["name"] == "slotbell-plugin"


def test_the_token_goes_in_a_header_or_in_hello_but_never_in_both(start, context):
    seen = []

    async def script(session):
        await session.welcome()
        seen.append((session.headers.get("Authorization"), session.hello.get("token"), session.socket.path,
                     session.socket.subprotocol))
        await session.live(0)
        await session.close(1000)

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run("--once") as running:
            assert running.end() == 0
        with plugin.run("--once", "--token-in-hello") as running:
            assert running.end() == 0
    assert seen == [(f"Bearer {TOKEN}", None, "/v1/session", "slotbell.v1"), (None, TOKEN, "/v1/session", "slotbell.v1")]


def test_once_catches_up_waits_for_its_last_acked_and_leaves(start, context):
    async def script(session):
        await session.welcome(0, head=100)
        assert session.hello["mode"] == "once" and "cursor" not in session.hello
        for seq in range(1, 101):
            await session.send(booking(seq, f"uid-{seq}"))
        await session.live(100)
        await session.acked(100)
        assert await session.closed_by_client() == 1000

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run("--once") as running:
            assert running.end() == 0
        assert len(plugin.files()) == 100
        assert len(server.messages("ack")) <= 100
        assert [line["seq"] for line in running.said("written")] == list(range(1, 101))
        assert running.said("closed")[0]["code"] == 1000


def test_once_is_not_done_before_acked_and_comes_back(start, context):
    async def forgets(session):
        await session.welcome(0, head=1)
        await session.send(booking(1, "one"))
        await session.live(1)
        await session.receive("ack")
        await session.close(1000, "bye")

    async def remembers(session):
        assert (await session.welcome(0, head=1))["cursor"] == cursor(1)
        await session.send(booking(1, "one"))
        await session.live(1)
        await session.acked(1)
        await session.close(1000, "bye")

    with FakeServer(context, forgets, remembers) as server:
        plugin = start(server, "--once")
        with plugin.run() as running:
            assert running.end() == 0
        assert [line["repeat"] for line in running.said("written")] == [False, True]
        assert len(plugin.files()) == 1


def test_once_with_nothing_to_do_leaves_after_live(start, context):
    async def script(session):
        await session.welcome(7)
        await session.live(7)
        await session.close(1000, "bye")

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        with plugin.run() as running:
            assert running.end() == 0
        assert plugin.saved()["cursor"] == cursor(7) and not server.messages("ack")


def test_an_older_version_never_overwrites_and_a_late_create_does_not_revive(start, context):
    async def script(session):
        await session.welcome(0)
        await session.send(booking(1, "moved", subject="First"))
        await session.send(booking(2, "moved", "updated", subject="Second"))
        await session.send(booking(3, "moved", "updated", version=1, subject="Late"))
        await session.send(booking(4, "gone"))
        await session.send({"type": "booking", "seq": 5, "cursor": cursor(5), "change": "cancelled",
                            "published_at": "2026-11-23T09:13:00Z", "booking": {"uid": "gone", "version": 5}})
        await session.send(booking(6, "gone", version=4))
        await session.send({"type": "booking", "seq": 7, "cursor": cursor(7), "change": "cancelled",
                            "published_at": "2026-11-23T09:13:00Z", "booking": {"uid": "never-seen", "version": 7}})
        await session.send(booking(8, "never-seen", version=3))
        await session.live(8)
        await session.acked(8)
        await session.close(1000)

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        with plugin.run() as running:
            assert running.end() == 0
    assert [line["repeat"] for line in running.said("written")] == [False, False, True, False, False, True, False, True]
    files = plugin.files()
    assert version_in(files["moved.ics"]) == 2 and "SUMMARY:Second" in files["moved.ics"]
    assert version_in(files["gone.ics"]) == 5 and version_in(files["never-seen.ics"]) == 7
    for name in ("gone.ics", "never-seen.ics"):
        assert "\nSTATUS:CANCELLED\n" in files[name] and "\nMETHOD:CANCEL\n" in files[name]
    # What a bare cancellation does not repeat is still there to be read.
    assert "SUMMARY:Intro call 4" in files["gone.ics"] and "DTSTART:20261124T090000Z" in files["gone.ics"]
    assert "ATTENDEE;CN=Grace Hopper:mailto:grace@example.com" in files["gone.ics"]


def test_what_cannot_be_an_appointment_is_reported_until_it_is_confirmed(start, context):
    broken = booking(2, "no-start", starts_at=None, starts_local=None)

    async def loses_it(session):
        await session.welcome(0)
        await session.send(booking(1, "one"))
        await session.send(broken)
        await session.live(2)
        acks = [await session.receive("ack")]
        while acks[-1]["cursor"] != cursor(2):
            acks.append(await session.receive("ack"))
        assert acks[-1]["failed"] == [{"seq": 2, "reason": "unsupported"}]
        await session.break_off()

    async def takes_it(session):
        assert (await session.welcome(2))["cursor"] == cursor(2)
        await session.live(2)
        ack = await session.receive("ack")
        assert (ack["cursor"], ack["failed"]) == (cursor(2), [{"seq": 2, "reason": "unsupported"}])
        await session.send({"type": "acked", "cursor": cursor(2)})
        await session.send(booking(3, "three"))
        assert not (await session.receive("ack")).get("failed")
        await session.send({"type": "acked", "cursor": cursor(3)})
        await session.closed_by_client()

    with FakeServer(context, loses_it, takes_it) as server:
        plugin = start(server)
        with plugin.run() as running:
            running.wait_for("closed")
            assert [item["cursor"] for item in plugin.saved()["failed"]] == [cursor(2)]
            while running.wait_for("acked")["cursor"] != cursor(3):
                pass
            assert running.stop() == 0
    assert running.said("failed")[0]["seq"] == 2
    assert plugin.saved() == {"device": 7, "cursor": cursor(3), "failed": []} and sorted(plugin.files()) == ["one.ics", "three.ics"]


def test_a_reset_is_said_saved_and_acked(start, context):
    async def script(session):
        assert (await session.welcome(41))["cursor"] == cursor(41)
        await session.send({"type": "reset", "cursor": cursor(1000006, "m7d2x9"), "reason": "epoch"})
        await session.send(booking(1000007, "after", epoch="m7d2x9"))
        await session.live(1000007, "m7d2x9")
        acks = await session.acked(1000006)
        if acks[-1]["cursor"] != cursor(1000007, "m7d2x9"):
            acks += await session.acked(1000007)
        assert all(ack["cursor"].startswith("m7d2x9.") for ack in acks)
        await session.closed_by_client()

    with FakeServer(context, script) as server:
        plugin = start(server)
        plugin.state.write_text(f'{{"cursor":"{EPOCH}.41","failed":[{{"cursor":"{EPOCH}.40","reason":"conflict"}}]}}')
        with plugin.run() as running:
            assert running.wait_for("reset")["reason"] == "epoch"
            while running.wait_for("acked")["cursor"] != cursor(1000007, "m7d2x9"):
                pass
            assert running.stop(signal.SIGINT) == 0
    assert "resync" in running.words
    assert plugin.saved() == {"device": 7, "cursor": cursor(1000007, "m7d2x9"), "failed": []}


def test_unknown_types_and_fields_are_ignored(start, context):
    async def script(session):
        await session.welcome(0, colour="blue", features=["tea"])
        await session.send({"type": "tea", "strength": 3})
        await session.send({**booking(1, "one"), "mood": "good"})
        await session.live(1)
        await session.acked(1)
        await session.close(1000)

    with FakeServer(context, script) as server:
        with start(server, "--once").run() as running:
            assert running.end() == 0
    assert len(running.said("written")) == 1


@pytest.mark.parametrize("message,words", [
    ("{", "broke the protocol"),
    (booking(7, "seven"), "skipped an event"),
    ({"type": "booking", "seq": "x"}, "broke the protocol"),
])
def test_a_server_that_breaks_the_protocol_is_left_and_not_acked(start, context, message, words):
    async def breaks(session):
        await session.welcome(5)
        await session.live(5)
        await session.send(message)
        assert await session.closed_by_client() == 4400

    async def is_good(session):
        assert (await session.welcome(5))["cursor"] == cursor(5)
        await session.live(5)
        await session.closed_by_client()

    with FakeServer(context, breaks, is_good) as server:
        with start(server).run() as running:
            running.wait_for("live")
            running.wait_for("closed")
            running.wait_for("live")
            assert running.stop() == 0
        assert not server.messages("ack")
    assert words in running.words


def test_a_large_booking_in_many_frames_is_one_message(start, context):
    attendees = [{"name": f"Guest {n}", "email": f"guest{n}@example.com"} for n in range(500)]

    async def script(session):
        await session.welcome(0)
        text = json.dumps(booking(1, "large", description="ä" * 12000, attendees=attendees))

        async def parts():
            for start_at in range(0, len(text), 1000):
                yield text[start_at:start_at + 1000]

        await session.socket.send(parts())
        await session.live(1)
        await session.acked(1)
        await session.close(1000)

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        with plugin.run() as running:
            assert running.end() == 0
    text = plugin.files()["large.ics"]
    assert text.count("\nATTENDEE") == 500 and "ä" * 12000 in text


def test_one_process_per_state_and_calendar(start, context, tmp_path):
    async def script(session):
        await session.welcome(0)
        await session.live(0)
        await session.closed_by_client()

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run() as running:
            running.wait_for("live")
            for more in (["--calendar", str(tmp_path / "other")], ["--state", str(tmp_path / "other.json")]):
                with plugin.run(*more) as second:
                    assert second.end() == 1 and "another slotbell-plugin" in second.words
            assert running.stop() == 0


def test_the_program_is_built():
    assert PROGRAM.exists()
