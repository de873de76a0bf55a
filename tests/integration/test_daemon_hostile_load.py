"""Too much of everything: hellos, bytes that nobody reads, connections, descriptors. The daemon bounds it, others go on."""

import asyncio
import contextlib
import os
import resource
import ssl
import time

import pytest
from ctl_support import wait_until
from raw_client import Raw, request, text
from session_client import SECONDS, run
from witness import Witness

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
MIB = 1 << 20
# AddressSanitizer keeps what was freed, up to 256 MiB of it; here memory is measured.
LEAN = ("env", f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=4:malloc_context_size=1")


# ---- who does not read ----

READERS, EACH, SIZE = 20, 100, 60000  # 2,000 bookings, 120 MB


def publish_large(house, mailbox, count):
    with house.connect() as connection:
        connection.execute(
            "SELECT slotbell.publish(mailbox => %s, uid => 'large-' || n, starts_at => '2027-03-01 09:00+00',"
            " duration_minutes => 30, time_zone => 'UTC', subject => 'Large',"
            " details => jsonb_build_object('description', repeat('ä', %s))) FROM generate_series(1, %s) n",
            (mailbox, SIZE // 2, count))


async def stop_reading(daemon, token):
    """A session that said hello and reads nothing more, with little room in its kernel."""
    raw = await Raw(daemon, receive=4096).__aenter__()
    await raw.upgrade()
    raw.writer.transport.pause_reading()
    await raw.send(text({"type": "hello", "token": token}))
    return raw


def test_readers_that_never_read_cost_a_cursor_and_never_a_queue(house):
    daemon = house.daemon(prefix=LEAN, sessions__window=256)  # larger than what a kernel holds for a socket
    mailboxes = [f"reader{i}@example.com" for i in range(READERS)]
    tokens = [house.enrol(mailbox) for mailbox in mailboxes]

    async def story():
        async with Witness(house, daemon) as witness:
            await witness.rung()
            before = daemon.rss_bytes()
            readers = [await stop_reading(daemon, token) for token in tokens[:READERS // 2]]
            await asyncio.gather(*[asyncio.to_thread(publish_large, house, mailbox, EACH) for mailbox in mailboxes])
            # One half has bookings pushed to it, the other comes to a backlog.
            readers += [await stop_reading(daemon, token) for token in tokens[READERS // 2:]]
            most = 0
            for _ in range(20):
                await witness.rung()
                most = max(most, daemon.rss_bytes() - before)
            # The bound is what the runs of so many mailboxes may hold for two seconds, and far below what waits.
            assert most < READERS * EACH * SIZE / 3, f"{most / MIB:.1f} MiB"
            for raw in readers:
                raw.drop()

    run(story(), 120)

    async def catch_up():
        async with house.client(daemon, tokens[0]) as client:
            await client.welcome()
            for seq in range(1, EACH + 1):
                booking = (await client.bookings(1))[0]
                assert booking["seq"] == seq and len(booking["booking"]["description"]) == SIZE // 2
                await client.ack(booking["cursor"])

    run(catch_up())


def test_who_reads_nothing_is_cut_after_two_heartbeats(house):
    """Nobody else is here: nothing but the daemon's own clock may be needed, though bytes wait for the reader."""
    daemon, token = house.daemon(sessions__heartbeat_seconds=1, sessions__window=256), house.enrol(ADA)

    async def story():
        raw = await stop_reading(daemon, token)
        await asyncio.to_thread(publish_large, house, ADA, EACH)
        await asyncio.to_thread(wait_until, lambda: 'event="session ended"' in daemon.log_text(), "the end of the session")
        raw.drop()

    run(story())
    assert "reason=lost" in daemon.log_text()


# ---- descriptors ----


def leave_descriptors(daemon, spare):
    """Lets the daemon open about so many more: how many exactly."""
    held = [int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd")]
    limit = max(max(held) + 1, len(held) + spare)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]))
    return limit - len(held)


async def until_served(daemon):
    """Tries until one gets through: a descriptor is free a moment after its client has gone."""
    deadline = time.monotonic() + SECONDS
    while not await is_served(daemon):
        assert time.monotonic() < deadline, "nobody is served any more"


async def is_served(daemon):
    """Whether a new connection gets as far as a session."""
    try:
        async with Raw(daemon) as raw:
            await raw.send(request())
            response = await raw.response()
            return response is not None and response.status == 101
    except (ssl.SSLError, ConnectionError):
        return False


def test_without_descriptors_the_next_ones_are_turned_away_and_it_recovers(house):
    daemon = house.daemon()

    async def story():
        async with Witness(house, daemon) as witness:
            usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
            spare, begun = leave_descriptors(daemon, 5), time.monotonic()
            async with contextlib.AsyncExitStack() as stack:
                taken = []
                for _ in range(spare):
                    taken.append(await stack.enter_async_context(Raw(daemon)))
                    await taken[-1].upgrade()
                assert not any(await asyncio.gather(*[is_served(daemon) for _ in range(40)]))
                await witness.rung()
                # A pause after each time that some are turned away: the loop does not spin on those that wait.
                assert 1 <= daemon.log_text().count("out of descriptors") <= 2 + 10 * (time.monotonic() - begun)
                taken[0].drop()
                await until_served(daemon)
                resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
                await until_served(daemon)
                assert all(await asyncio.gather(*[is_served(daemon) for _ in range(20)]))
            await witness.rung()

    run(story())


def soft_limit(daemon):
    return resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize("before", [100, 5000])
def test_the_limit_on_descriptors_is_what_the_sessions_need(house, before):
    daemon = house.daemon(prefix=("prlimit", f"--nofile={before}:6000"), sessions__max=1000)
    assert soft_limit(daemon) == 1000 + 250 + 64 + 192  # sessions, connections beside them, what else there is
    assert "too few descriptors" not in daemon.log_text()


def test_a_limit_that_is_too_low_for_the_sessions_is_said(house):
    daemon = house.daemon(prefix=("prlimit", "--nofile=100:1505"), sessions__max=1000)
    assert soft_limit(daemon) == 1505
    assert "limit=1505 wanted=1506" in daemon.log_text()


# ---- sessions ----


def test_sessions_are_counted_and_the_one_too_many_is_told_when_to_come_back(house):
    most = 4
    daemon = house.daemon(sessions__max=most)
    tokens = [house.enrol(ADA) for _ in range(most)]

    async def story():
        async with Witness(house, daemon) as witness, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(house.client(daemon, token)) for token in tokens[1:]]
            for client in clients:  # with the witness as many as there may be
                await client.welcome()
            for _ in range(3):
                async with house.client(daemon, tokens[0]) as client:
                    assert await client.closed() == 1013
                    assert client.goodbye["reason"] == "busy" and 500 <= client.goodbye["reconnect_after_ms"] < 60000
                    assert [message["type"] for message in client.received] == ["goodbye"]
            await witness.rung()
            await clients[0].close()
            async with house.client(daemon, tokens[0]) as client:
                await client.welcome()
            for client in clients[1:]:
                await client.until("live")

    run(story())
