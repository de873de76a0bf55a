"""Drain: goodbyes one after the other, service until then, acks saved, a second signal that hurries, exit code 0."""

import asyncio
import contextlib
import signal
import time

from door_support import connect, tls, wait_alone, wait_taken
from session_client import Closed, run
from slotbelld import built

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


@contextlib.asynccontextmanager
async def crowd(house, daemon, count):
    """Clients who say nothing more than hello, connected one after the other."""
    tokens = [house.enrol(f"host{i}@example.com") for i in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for token in tokens:
            clients.append(await stack.enter_async_context(house.client(daemon, token)))
            await clients[-1].welcome()
        yield clients


async def sent_away(client, begun):
    """When it will be back, in seconds since `begun`."""
    assert await client.closed(60) == 1012
    assert client.goodbye["reason"] == "draining"
    return time.monotonic() - begun + client.goodbye["reconnect_after_ms"] / 1000


def test_goodbyes_are_spread_so_that_clients_return_at_the_rate_that_was_set(house):
    daemon = house.daemon(sessions__return_per_second=10, drain__seconds=40)

    async def story():
        async with crowd(house, daemon, 20) as clients:
            begun = time.monotonic()
            daemon.process.terminate()
            back = sorted(await asyncio.gather(*(sent_away(client, begun) for client in clients)))
            # 20 at 10 a second: nearly two seconds from the first to the last, and none of them at once.
            assert back[-1] - back[0] > 1.5
            assert back[0] > 0.5

    run(story(), 90)
    assert daemon.process.wait(40) == 0
    assert "connections=0 unsaved=no" in daemon.log_text()


def test_who_is_not_told_yet_is_served_and_acks_until_the_end(house):
    daemon = house.daemon(sessions__return_per_second=1, drain__seconds=40)
    token = house.enrol(ADA)

    async def story():
        async with crowd(house, daemon, 8) as others, house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            begun = time.monotonic()
            daemon.process.terminate()
            await sent_away(others[0], begun)
            uid = house.publish(ADA)
            booking = await client.receive("booking")
            assert booking["booking"]["uid"] == uid
            await client.ack(booking["cursor"])
            assert (await client.receive("acked"))["cursor"] == booking["cursor"]
            assert await client.closed(60) == 1012

    run(story(), 90)
    assert daemon.process.wait(40) == 0
    assert house.ctl.query("SELECT max(acked) FROM slotbell.device") == [1]


def test_an_ack_that_waits_for_the_database_is_saved_before_the_end(house):
    daemon, token = house.daemon(drain__seconds=60), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            house.publish(ADA)
            booking = await client.receive("booking")
            with house.connect(autocommit=False) as connection:
                connection.execute("SELECT 1 FROM slotbell.device FOR UPDATE")
                await client.ack(booking["cursor"])
                await client.send({"type": "ping"})
                await client.receive("pong")  # so the ack was read
                daemon.process.terminate()
                assert await client.closed() == 1012
                assert daemon.process.poll() is None, "it ended with an ack on its way"

    run(story())
    assert daemon.process.wait(60) == 0
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [1]


def test_acks_that_cannot_be_saved_do_not_hold_it_beyond_the_window(house):
    daemon, token = house.daemon(drain__seconds=2), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            house.publish(ADA)
            booking = await client.receive("booking")
            house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS false")
            house.cluster.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{house.name}'")
            await asyncio.to_thread(daemon.wait_log, 'event="database down"')
            await client.ack(booking["cursor"])
            await client.send({"type": "ping"})
            await client.receive("pong")  # so the ack was read
            begun = time.monotonic()
            daemon.process.terminate()
            assert await asyncio.to_thread(daemon.process.wait, 30) == 0
            assert 2 <= time.monotonic() - begun < 20

    run(story())
    assert "unsaved=yes" in daemon.log_text()


def test_a_second_signal_hurries_and_everybody_is_told_all_the_same(house):
    daemon = house.daemon(sessions__return_per_second=1, drain__seconds=3600)

    async def story():
        async with crowd(house, daemon, 10) as clients:
            daemon.process.terminate()
            await asyncio.to_thread(daemon.wait_log, 'event="draining"')
            assert await clients[0].closed() == 1012
            daemon.process.terminate()
            assert [await client.closed() for client in clients[1:]] == [1012] * 9

    run(story())
    assert daemon.process.wait(30) == 0
    assert 'event="draining faster"' in daemon.log_text()


def test_a_third_signal_ends_it_even_if_somebody_does_not_leave(house):
    daemon = house.daemon(sessions__return_per_second=1, drain__seconds=3600)

    async def story():
        async with crowd(house, daemon, 2) as clients:
            for _ in range(3):
                before = len(daemon.log_text())
                daemon.process.send_signal(signal.SIGINT)
                await asyncio.to_thread(daemon.wait_log, "told to end", before)
            assert await asyncio.to_thread(daemon.process.wait, 30) == 0
            for client in clients:
                with contextlib.suppress(Closed):
                    while True:
                        await client.next()

    run(story())


def test_who_has_said_nothing_does_not_hold_it(house):
    """Connected, and no more; within TLS; in half a request; waiting for a place: they have nothing to lose."""
    daemon = house.daemon(drain__seconds=300, sessions__hello_seconds=300, sessions__handshakes=4)
    wait_alone(daemon)
    with contextlib.ExitStack() as stack:
        within = [stack.enter_context(tls(daemon, connect(daemon))) for _ in range(2)]
        within[0].sendall(b"GET /v1/reconnect HT")
        within[1].sendall(b"POST /v1/acks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        silent = [stack.enter_context(connect(daemon)) for _ in range(30)]
        for plain in silent:
            wait_taken(daemon, plain)
        daemon.process.terminate()
        assert daemon.process.wait(15) == 0  # a second or two; libwebsockets would cut them after half a minute
    assert "connections=0 unsaved=no" in daemon.log_text()


def test_who_has_not_said_hello_yet_is_told_when_to_come_back(house):
    daemon = house.daemon(drain__seconds=60)

    async def story():
        async with house.client(daemon, None) as client:
            daemon.process.terminate()
            assert await client.closed(60) == 1012
            assert client.goodbye["reason"] == "draining" and client.goodbye["reconnect_after_ms"] >= 500

    run(story())
    assert daemon.process.wait(60) == 0


def test_nobody_new_is_let_in_and_with_a_window_of_nothing_it_ends_at_once(house):
    daemon = house.daemon(drain__seconds=0)

    async def story():
        async with crowd(house, daemon, 3):
            daemon.process.terminate()
            assert await asyncio.to_thread(daemon.process.wait, 30) == 0

    run(story())


def test_at_the_end_nothing_is_closed_that_is_not_open(house):
    """libwebsockets closes its event pipe twice: a connection to the database that had its number by then would be lost, and libuv abort."""
    daemon = house.daemon(start=False)
    daemon.program = built("tests/slotbelld_strict")
    daemon.start()
    token = house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.until("live")

    run(story())
    assert daemon.stop() == 0, daemon.log_text()
