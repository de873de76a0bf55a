"""slotbell.v1 against the real daemon, message by message: what one session and its client say to each other.

What is not of the protocol is in test_daemon_hostile.py.
"""

import asyncio
import datetime
import re

import psycopg.types.json
import pytest
from ctl_support import wait_until
from gate import Gate
from session_client import Closed, run, seq_of

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
WINDOW = 32


@pytest.fixture
def shared(shared_house, shared_daemon):
    """One database and one daemon for all that leave each other alone."""
    assert shared_daemon in shared_house.daemons
    return shared_house


@pytest.fixture
def ada(shared):
    """A mailbox of the test's own, with a token for it."""
    mailbox = shared.mailbox()
    return mailbox, shared.enrol(mailbox)


async def nothing_waits(client):
    """What comes next is the answer to this ping: nothing else was on its way."""
    await client.send({"type": "ping"})
    await client.receive("pong")


async def live(client, **hello):
    welcome = await client.welcome(**hello)
    await client.until("live")
    return welcome


# ---- hello and welcome ----


def test_the_token_may_come_in_the_header_or_in_hello_and_hellos_counts(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    other = shared.enrol(shared.mailbox())

    async def story():
        async with shared.client(daemon, token) as client:
            assert (await live(client))["mailbox"] == mailbox
        async with shared.client(daemon, token, header=True) as client:
            assert (await live(client))["mailbox"] == mailbox
        async with shared.client(daemon, other, header=True) as client:
            assert (await live(client, token=token))["mailbox"] == mailbox

    run(story())


def test_welcome_says_where_the_session_starts_and_what_holds_for_it(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    shared.publish(mailbox)
    shared.publish(mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            welcome = await client.welcome(client={"name": "test", "version": "1"}, features=["none-yet"], later="ignored")
            epoch = shared.ctl.query("SELECT epoch FROM slotbell.mailbox WHERE address = %s", mailbox)[0]
            assert re.fullmatch(r"[0-9a-f]{8}-\d+", welcome.pop("session"))
            told = datetime.datetime.fromisoformat(welcome.pop("server_time"))
            assert abs(told - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=60)
            assert welcome == {
                "type": "welcome", "mailbox": mailbox, "cursor": f"{epoch}.0", "head": 2, "window": WINDOW,
                "heartbeat_seconds": 25, "reconnect": {"min_ms": 500, "max_ms": 60000}, "features": [],
            }  # fmt: skip
            assert [b["seq"] for b in await client.bookings(2)] == [1, 2]
            assert (await client.receive("live"))["cursor"] == f"{epoch}.2"

    run(story())


def test_a_booking_comes_with_all_that_was_booked(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    details = {"organizer": {"name": "Ada", "email": "ada@example.com"}, "location": "Room 4",
               "join_url": "https://meet.example.com/4", "description": "Bring the slides.\nAll of them. \U0001f600 \u2028"}  # fmt: skip
    attendees = [{"name": "Grace Hopper", "email": "grace@example.com"}, {"name": "", "email": "x@example.com"}]

    async def story():
        async with shared.client(daemon, token) as client:
            await live(client)
            before = datetime.datetime.now(datetime.UTC)
            uid = shared.publish(mailbox, subject="Intro \"call\" \\ \u00fc", attendees=psycopg.types.json.Jsonb(attendees),
                                 details=psycopg.types.json.Jsonb(details), starts_at="2026-11-24 09:00+00")  # fmt: skip
            created = await client.receive("booking")
            published = datetime.datetime.fromisoformat(created.pop("published_at"))
            assert before - datetime.timedelta(seconds=1) < published < datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
            epoch = created["cursor"].partition(".")[0]
            version = created["booking"]["version"]
            assert abs(version / 1000 - published.timestamp()) < 1, "the clock's milliseconds"
            assert created == {"type": "booking", "seq": 1, "cursor": f"{epoch}.1", "change": "created", "booking": {
                "uid": uid, "version": version, "starts_at": "2026-11-24T09:00:00Z", "starts_local": "2026-11-24T10:00:00",
                "time_zone": "Europe/Berlin", "duration_minutes": 30, "subject": "Intro \"call\" \\ \u00fc",
                "attendees": attendees, **details}}  # fmt: skip
            shared.publish(mailbox, uid, change="updated", subject="Later", starts_at="2026-07-01 09:00+00")
            updated = await client.receive("booking")
            assert updated["change"] == "updated" and updated["booking"]["version"] > version
            assert updated["booking"]["starts_local"] == "2026-07-01T11:00:00", "summer time"
            shared.ctl.query("SELECT slotbell.publish(mailbox => %s, uid => %s, change => 'cancelled')", mailbox, uid)
            cancelled = await client.receive("booking")
            assert cancelled["change"] == "cancelled" and cancelled["booking"] == {"uid": uid, "version": cancelled["booking"]["version"]}
            assert cancelled["booking"]["version"] > updated["booking"]["version"]

    run(story())


def test_what_rolls_back_never_rings(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada

    async def story():
        async with shared.client(daemon, token) as client:
            await live(client)
            with shared.connect(autocommit=False) as connection:
                shared.publish(mailbox, "rolled back", connection)
                connection.rollback()
                shared.publish(mailbox, "committed", connection)
                await nothing_waits(client)
                connection.commit()
            assert (await client.receive("booking"))["booking"]["uid"] == "committed"

    run(story())


# ---- the window ----


@pytest.mark.parametrize("window", [1, 2, WINDOW, 256])
def test_unacked_events_below_at_and_above_the_window(house, window):
    """A second device, which acks at once, tells when the daemon has fetched them all."""
    daemon, token, quick = house.daemon(sessions__window=window), house.enrol(ADA), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client, house.client(daemon, quick) as other:
            assert (await live(client))["window"] == window
            await live(other)

            async def book(count):
                with house.connect() as connection:
                    for _ in range(count):
                        house.publish(ADA, connection=connection)
                for _ in range(count):
                    await other.ack((await other.until("booking"))["cursor"])

            await book(window - 1)
            bookings = await client.bookings(window - 1)
            await nothing_waits(client)
            await book(1)
            bookings += await client.bookings(1)
            await book(2)
            await nothing_waits(client)  # above: they wait
            await client.ack(bookings[0]["cursor"])
            both = sorted([await client.next(), await client.next()], key=lambda message: message["type"])
            assert [message["type"] for message in both] == ["acked", "booking"]
            bookings.append(both[1])
            await nothing_waits(client)  # one acked, one more
            await client.ack(bookings[-1]["cursor"])
            bookings += await client.bookings(1)
            assert [b["seq"] for b in bookings] == list(range(1, window + 3))

    run(story())


# ---- acks ----


def test_acks_are_cumulative_and_kept(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    for _ in range(4):
        shared.publish(mailbox)

    def stored():
        return shared.ctl.query("SELECT acked FROM slotbell.devices WHERE mailbox = %s", mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome()
            bookings = await client.bookings(4)
            await client.receive("live")
            await client.ack(bookings[2]["cursor"])
            assert (await client.receive("acked"))["cursor"] == bookings[2]["cursor"]
            assert stored() == [3]
            await client.ack(bookings[0]["cursor"])  # said before: said again, and nothing goes back
            assert (await client.receive("acked"))["cursor"] == bookings[2]["cursor"]
            assert stored() == [3]
        async with shared.client(daemon, token) as client:
            assert (await client.welcome())["cursor"] == bookings[2]["cursor"]
            assert (await client.receive("booking"))["seq"] == 4
            await client.receive("live")

    run(story())


def test_a_cursor_in_hello_is_an_ack(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    for _ in range(3):
        shared.publish(mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome()
            bookings = await client.bookings(3)
        async with shared.client(daemon, token) as client:
            assert (await client.welcome(cursor=bookings[1]["cursor"]))["cursor"] == bookings[1]["cursor"]
            # Without a word: an acked answers acks.
            await asyncio.to_thread(
                wait_until, lambda: shared.ctl.query("SELECT acked FROM slotbell.devices WHERE mailbox = %s", mailbox) == [2], "it is kept")
            assert not [message for message in client.received if message["type"] == "acked"]
        async with shared.client(daemon, token) as client:  # the stored one is later: it counts
            assert (await client.welcome(cursor=bookings[0]["cursor"]))["cursor"] == bookings[1]["cursor"]

    run(story())


def test_failures_are_kept_as_receipts_once(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    for uid in ("a", "b", "c"):
        shared.publish(mailbox, f"{uid} {mailbox}")
    failed = [{"seq": 1, "reason": "conflict"}, {"seq": 3, "reason": "unsupported"}]

    async def story():
        for _ in range(2):  # resent after the next welcome, as a client does whose acked was lost
            async with shared.client(daemon, token) as client:
                welcome = await client.welcome()
                cursor = f"{welcome['cursor'].partition('.')[0]}.3"
                await client.until("live")
                await client.ack(cursor, failed)
                await client.acked(cursor)

    run(story())
    receipts = shared.ctl.query("SELECT r.seq, r.uid, r.reason FROM slotbell.receipt r JOIN slotbell.mailbox m ON m.id = r.mailbox_id"
                                " WHERE m.address = %s AND r.reason IS NOT NULL ORDER BY r.seq", mailbox)  # fmt: skip
    assert receipts == [(1, f"a {mailbox}", "conflict"), (3, f"c {mailbox}", "unsupported")]


def test_acked_comes_when_the_ack_is_committed_and_not_before(house):
    gate, daemon, token = Gate(house, "ack"), house.daemon(), house.enrol(ADA)
    house.publish(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            booking = await client.receive("booking")
            await client.receive("live")
            gate.shut()
            await client.ack(booking["cursor"])
            await gate.until(1)
            await nothing_waits(client)
            assert house.ctl.query("SELECT acked FROM slotbell.device") == [0]
            gate.open()
            await client.receive("acked")
            assert house.ctl.query("SELECT acked FROM slotbell.device") == [1]

    run(story())
    gate.close()


# ---- mode once ----


def test_mode_once_catches_up_beside_the_live_session_and_leaves_when_its_ack_is_saved(house):
    gate, daemon, token = Gate(house, "ack"), house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as stays, house.client(daemon, token) as once:
            await live(stays)
            for _ in range(2):
                house.publish(ADA)
            await stays.bookings(2)
            await once.welcome(mode="once")
            bookings = await once.bookings(2)
            assert (await once.receive("live"))["cursor"] == bookings[1]["cursor"]
            gate.shut()
            await once.ack(bookings[0]["cursor"])
            await gate.until(1)
            await once.ack(bookings[1]["cursor"])
            await nothing_waits(once)
            gate.open()
            assert await once.closed() == 1000
            assert [seq_of(m["cursor"]) for m in once.received if m["type"] == "acked"][-1] == 2
            assert house.ctl.query("SELECT acked FROM slotbell.device") == [2]
            house.publish(ADA)
            assert (await stays.until("booking"))["seq"] == 3, "the live session was not taken over"

    run(story())
    gate.close()


def test_mode_once_with_nothing_to_catch_up_leaves_at_once(shared, ada):
    daemon, (_, token) = shared.daemons[0], ada

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome(mode="once")
            await client.receive("live")
            assert await client.closed() == 1000

    run(story())


def test_a_session_of_mode_once_is_cut_by_a_revocation_too(shared, ada):
    daemon, (mailbox, token) = shared.daemons[0], ada
    shared.publish(mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome(mode="once")
            await client.receive("booking")
            await client.receive("live")
            await asyncio.to_thread(shared.ctl.run, "device", "revoke", shared.device_of(token))
            with pytest.raises(Closed) as end:
                await client.next()
            assert end.value.code == 4403

    run(story())
