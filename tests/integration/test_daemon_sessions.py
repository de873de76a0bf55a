"""One live session per device, at one daemon and at two, and how it ends from outside: replaced, revoked, expired, rotated, stalled."""

import asyncio
import time

import pytest
from session_client import Closed, run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
# "Within a second": told by the figure in the log. What decides is that the reconcile, once a minute, cannot have done it.
SOON = 20


@pytest.fixture
def shared(shared_house, shared_daemon):
    """One database and one daemon for all that leave each other alone."""
    assert shared_daemon in shared_house.daemons
    return shared_house


async def live(client, **hello):
    welcome = await client.welcome(**hello)
    await client.until("live")
    return welcome


async def answers(client):
    await client.send({"type": "ping"})
    await client.receive("pong")


async def ends(client, begun, what):
    """The code that it is closed with from outside, soon; nothing comes before it."""
    with pytest.raises(Closed) as end:
        await client.next(SOON)
    print(f"{what}: closed after {time.monotonic() - begun:.3f} s")
    return end.value.code


# ---- replaced ----


def test_the_newer_session_wins_and_the_late_end_of_the_older_evicts_nobody(shared):
    daemon, mailbox = shared.daemons[0], shared.mailbox()
    token = shared.enrol(mailbox)

    async def story():
        async with shared.client(daemon, token) as newer:
            async with shared.client(daemon, token) as older:
                await live(older)
                await live(newer)
                assert await ends(older, time.monotonic(), "replaced") == 4409
            shared.publish(mailbox)
            await newer.receive("booking")
            await answers(newer)

    run(story())


def test_a_newer_session_at_another_daemon_wins_too(house):
    here, there, token = house.daemon(), house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(here, token) as older, house.client(there, token) as newer:
            await live(older)
            begun = time.monotonic()
            await live(newer)
            assert await ends(older, begun, "replaced across daemons") == 4409
            house.publish(ADA)
            await newer.receive("booking")
            async with house.client(here, token) as back:
                await live(back)
                assert await ends(newer, time.monotonic(), "replaced back") == 4409

    run(story())


def test_of_two_that_come_at_once_at_two_daemons_one_stays(house):
    daemons, tokens = (house.daemon(), house.daemon()), [house.enrol(f"m{n}@example.com") for n in range(6)]

    async def quarrel(token):
        clients = [house.client(daemon, token) for daemon in daemons]
        for client in clients:
            await client.open()
        await asyncio.gather(*(client.hello() for client in clients))
        closing = [asyncio.ensure_future(client.closed()) for client in clients]
        done, rest = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED, timeout=SOON)
        assert [task.result() for task in done] == [4409], "exactly one of them was replaced"
        (other,) = rest
        other.cancel()
        await asyncio.wait([other])
        stays = clients[closing.index(other)]
        await answers(stays)
        await stays.close()

    async def story():
        await asyncio.gather(*(quarrel(token) for token in tokens))

    run(story())


# ---- revoked, expired, rotated ----


def test_a_revocation_cuts_the_live_session_and_lets_nobody_in(shared):
    daemon, token = shared.daemons[0], shared.enrol(shared.mailbox())

    async def story():
        async with shared.client(daemon, token) as client:
            await live(client)
            begun = time.monotonic()
            shared.ctl.query("SELECT slotbell.revoke(%s)", shared.device_of(token))
            assert await ends(client, begun, "revoked") == 4403
        async with shared.client(daemon, token) as client:
            await client.hello()
            assert await client.closed() == 4403
            assert client.error["code"] == "revoked"

    run(story())


def test_a_revocation_that_nobody_heard_of_is_met_by_the_next_ack(shared):
    """As if its notification had been lost: the row says so, and nothing else did."""
    daemon, mailbox = shared.daemons[0], shared.mailbox()
    token = shared.enrol(mailbox)
    shared.publish(mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome()
            booking = await client.receive("booking")
            await client.receive("live")
            shared.ctl.query("UPDATE slotbell.device SET revoked_at = now() WHERE id = %s", shared.device_of(token))
            await client.ack(booking["cursor"])
            assert await ends(client, time.monotonic(), "revoked, at its ack") == 4403

    run(story())


def test_a_token_that_ends_cuts_its_live_session_and_lets_nobody_in(shared):
    daemon, token = shared.daemons[0], shared.enrol(shared.mailbox())

    async def story():
        async with shared.client(daemon, token) as client:
            shared.ctl.query("UPDATE slotbell.device SET expires_at = now() + interval '2 seconds' WHERE id = %s", shared.device_of(token))
            await live(client)
            await answers(client)  # it is not over yet
            assert await ends(client, time.monotonic() + 2, "expired") == 4403
        over = shared.ctl.query("SELECT expires_at - now() FROM slotbell.device WHERE id = %s", shared.device_of(token))[0]
        assert over.total_seconds() < 1, "not before its time, but for the second that it is counted in"
        await asyncio.sleep(max(0, over.total_seconds()))
        async with shared.client(daemon, token) as client:
            await client.hello()
            assert await client.closed() == 4403
            assert client.error["code"] == "expired"

    run(story())


def test_rotation_ends_the_old_tokens_session_and_the_new_one_goes_on_where_it_was(shared):
    daemon, mailbox = shared.daemons[0], shared.mailbox()
    token = shared.enrol(mailbox)
    shared.publish(mailbox)

    async def story():
        async with shared.client(daemon, token) as client:
            await client.welcome()
            booking = await client.receive("booking")
            await client.receive("live")
            await client.ack(booking["cursor"])
            await client.receive("acked")
            begun = time.monotonic()
            rotated = await asyncio.to_thread(lambda: shared.ctl.run("device", "rotate", shared.device_of(token)).stdout.strip())
            assert await ends(client, begun, "rotated") == 4409
        async with shared.client(daemon, token) as client:
            await client.hello()
            assert await client.closed() == 4401
        async with shared.client(daemon, rotated) as client:
            assert (await live(client))["cursor"] == booking["cursor"]

    run(story())


# ---- stalled, and alive ----


def test_who_acks_nothing_is_told_that_it_stalls_and_who_has_nothing_to_ack_stays(house):
    """At 5 seconds, the least that can be set; and a heartbeat each second, which both answer."""
    daemon = house.daemon(sessions__stalled_seconds=5, sessions__heartbeat_seconds=1)
    lazy, idle, slow = house.enrol(ADA), house.enrol("idle@example.com"), house.enrol("slow@example.com")

    async def story():
        async with house.client(daemon, lazy) as client, house.client(daemon, idle) as other, house.client(daemon, slow) as third:
            await live(client)
            await live(other)
            await live(third)
            begun = time.monotonic()
            for _ in range(8):
                house.publish("slow@example.com")
            house.publish(ADA)
            booking = await client.receive("booking")
            stalled = asyncio.ensure_future(client.closed())
            while not stalled.done():  # one ack in a second: slow, and not stalled
                message = await third.until("booking")
                await third.ack(message["cursor"])
                await asyncio.wait([stalled], timeout=1)
            assert time.monotonic() - begun >= 5
            assert stalled.result() == 1013
            assert client.goodbye["reason"] == "stalled" and client.goodbye["reconnect_after_ms"] >= 500
            await answers(other)
            await third.send({"type": "ping"})
            await third.until("pong")
        async with house.client(daemon, lazy) as client:
            await client.welcome()
            assert (await client.receive("booking"))["cursor"] == booking["cursor"], "nothing is lost by it"

    run(story())
