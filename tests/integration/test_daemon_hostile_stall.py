"""What one client might hold the daemon's only loop with: others are served while it does.

That it did hold it is counted, not timed: by the bytes that the daemon has not
read yet, and by what else costs as much.
"""

import asyncio
import contextlib

import pytest
from door_support import unread
from key_updates import REQUESTED, Updating
from raw_client import CONTINUATION, PING, PONG, TEXT, Raw, frame, request, text
from session_client import run
from witness import Witness

pytest_plugins = ["fixtures_daemon"]


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon(sessions__window=256, sessions__unauthenticated_per_address=0)


# ---- key updates: TLS reads on after each, by itself, as long as more comes ----

UPDATES = 40000  # a second or two of work


def test_a_flood_of_key_updates_lets_others_be_served(shared_house, daemon):
    """Without a token, and even without a request."""

    async def story():
        async with Witness(shared_house, daemon) as witness:
            with Updating(daemon) as flood:
                flood.socket.sendall(await asyncio.to_thread(flood.updates, UPDATES))
                await witness.rung()
                assert unread(daemon, flood.socket) > 0, "the witness had to wait until all of it was read"

    run(story())


@pytest.mark.parametrize("count", [1, 40])
def test_a_connection_lives_on_after_key_updates(daemon, count):
    with Updating(daemon) as connection:
        for _ in range(3):
            connection.socket.sendall(connection.updates(count, REQUESTED))
        connection.socket.sendall(connection.data(request()))
        assert b" 101 " in connection.read()
        connection.socket.sendall(connection.updates(count, REQUESTED) + connection.data(text({"type": "ping"})))
        assert b"pong" in connection.read()


# ---- a client that reads nothing, and then breaks the protocol ----

BOOKINGS, SIZE = 200, 30000  # more than a kernel holds for a socket

BREAKS = {
    "a reserved bit": frame(TEXT, "x", rsv=4),
    "a reserved opcode": frame(11, "x"),
    "a long ping": frame(PING, b"x" * 126),
}


@pytest.fixture
def token(shared_house):
    mailbox = shared_house.mailbox()
    found = shared_house.enrol(mailbox)
    with shared_house.connect() as connection:
        connection.execute(
            "SELECT slotbell.publish(mailbox => %s, uid => 'large-' || n, starts_at => '2027-03-01 09:00+00',"
            " duration_minutes => 30, time_zone => 'UTC', subject => 'Large',"
            " details => jsonb_build_object('description', repeat('x', %s))) FROM generate_series(1, %s) n",
            (mailbox, SIZE, BOOKINGS))
    return found


@contextlib.asynccontextmanager
async def full(daemon, token, witness):
    """A session that has stopped reading, and whose socket is full by now."""
    async with Raw(daemon, receive=4096) as raw:
        await raw.upgrade(text({"type": "hello", "token": token}))
        epoch = (await raw.message())["cursor"].split(".")[0]
        raw.writer.transport.pause_reading()
        # It acks what it has not read: what is not acked would be less than a socket holds.
        for seq in (25, 50):
            for _ in range(3):
                await witness.rung()
            await raw.send(text({"type": "ack", "cursor": f"{epoch}.{seq}"}))
        for _ in range(3):
            await witness.rung()
        yield raw


@pytest.mark.parametrize("broken", BREAKS.values(), ids=list(BREAKS))
def test_a_reader_that_never_reads_and_breaks_the_protocol_stops_nobody(shared_house, daemon, token, broken):
    async def story():
        async with Witness(shared_house, daemon) as witness, full(daemon, token, witness) as raw:
            await raw.send(broken)
            await raw.send(bytes(8000))
            for _ in range(3):
                await witness.rung()
            # What it holds for this client goes out, and then it ends the connection.
            raw.writer.transport.resume_reading()
            await raw.read_to_end()

    run(story())


def test_a_reader_that_reads_again_is_heard_again(shared_house, daemon, token):
    async def story():
        async with Witness(shared_house, daemon) as witness, full(daemon, token, witness) as raw:
            await raw.send(text({"type": "ping"}))
            raw.writer.transport.resume_reading()
            while (message := await raw.message())["type"] != "pong":
                assert message["type"] in ("booking", "acked")

    run(story())


# ---- messages in many parts ----


def test_a_message_in_thousands_of_parts_costs_no_more_than_other_frames(shared_house, daemon):
    full = frame(TEXT, b"x" * 16000, fin=False)

    async def cost(frames):
        async with Raw(daemon) as raw:
            await raw.upgrade()
            before = daemon.cpu_seconds()
            await raw.send(frames, frame(PING, "last"))
            while (await raw.frame())[1] != b"last":
                pass
            return daemon.cpu_seconds() - before

    async def story():
        usual = await cost(full + frame(PONG) * 100000)
        assert await cost(full + frame(CONTINUATION, fin=False) * 100000) < 4 * usual + 0.1, usual
        assert await cost(frame(TEXT, "x", fin=False) + frame(CONTINUATION, "x", fin=False) * 16000) < 4 * usual + 0.1, usual

    run(story())
