"""Revoked, expired, replaced: a session ends on any daemon, also when that was deaf at the time."""

import time

import pytest
from ctl_support import wait_until
from session_client import Closed, run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


@pytest.fixture
def two(house):
    """Two daemons at one database; the first can be cut off from it, and let in again."""
    role = f"deaf_{house.name}"
    house.cluster.psql(f"CREATE ROLE {role} LOGIN; GRANT slotbell_daemon TO {role}")
    house.deaf = house.daemon(database__url=house.cluster.url(house.name, role))
    house.other = house.daemon()

    def cut():
        house.cluster.psql(f"ALTER ROLE {role} NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")
        wait_until(lambda: house.deaf.log_text().count("database down") > house.deaf.log_text().count("database up") - 1, "it is cut off")

    house.cut = cut
    house.mend = lambda: house.cluster.psql(f"ALTER ROLE {role} LOGIN")
    yield house
    house.close()
    house.cluster.psql(f"DROP ROLE {role}")


async def closing(client):
    begun = time.monotonic()
    code = await client.closed()
    return code, time.monotonic() - begun


# ---- while all is well ----


def test_a_revoked_device_is_cut_off_on_whichever_daemon_it_is(house):
    daemons, tokens = [house.daemon(), house.daemon()], [house.enrol(ADA), house.enrol(ADA)]

    async def story():
        for daemon, token in zip(daemons, tokens, strict=True):
            async with house.client(daemon, token) as client:
                await client.welcome()
                house.ctl.run("device", "revoke", house.device_of(token))
                code, seconds = await closing(client)
                assert code == 4403
                assert seconds < 10, "not only at the reconcile"
            async with house.client(daemon, token) as client:
                await client.hello()
                assert await client.closed() == 4403

    run(story())


def test_a_token_that_ends_cuts_its_session_off(house):
    daemon = house.daemon()
    ends = house.ctl.query("SELECT to_char((now() + interval '3 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")[0]
    token = house.enrol(ADA, "--expires", ends)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            code, seconds = await closing(client)
            assert code == 4403
            assert seconds < 15, "not only at a heartbeat"
        assert house.ctl.query("SELECT now() >= %s::timestamptz", ends) == [True]

    run(story())


def test_of_two_sessions_on_two_daemons_the_newer_stays(house):
    one, two, token = house.daemon(), house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(one, token) as old, house.client(two, token) as new:
            await old.welcome()
            await new.welcome()
            assert await old.closed() == 4409
            uid = house.publish(ADA)
            assert (await new.bookings(1))[0]["booking"]["uid"] == uid

    run(story())


# ---- while a daemon is deaf ----


def test_what_was_revoked_meanwhile_is_cut_off_when_it_hears_again(two):
    revoked, kept = two.enrol(ADA), two.enrol(ADA)

    async def story():
        async with two.client(two.deaf, revoked) as client, two.client(two.deaf, kept) as other:
            await client.welcome()
            await other.welcome()
            two.cut()
            two.ctl.run("device", "revoke", two.device_of(revoked))
            two.mend()
            assert await client.closed() == 4403
            uid = two.publish(ADA)
            assert (await other.bookings(1))[0]["booking"]["uid"] == uid

    run(story())


def test_what_was_replaced_meanwhile_gives_way_when_it_hears_again(two):
    token = two.enrol(ADA)

    async def story():
        async with two.client(two.deaf, token) as old:
            await old.welcome()
            two.cut()
            async with two.client(two.other, token) as new:
                await new.welcome()
                first = two.publish(ADA)
                booking = (await new.bookings(1))[0]
                assert booking["booking"]["uid"] == first
                await new.ack(booking["cursor"])
                await new.acked(booking["cursor"])
                two.mend()
                assert await old.closed() == 4409
                second = two.publish(ADA)
                assert (await new.bookings(1))[0]["booking"]["uid"] == second

    run(story())


def test_a_token_that_ended_meanwhile_needs_no_database_to_be_over(two):
    ends = two.ctl.query("SELECT to_char((now() + interval '3 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")[0]
    token = two.enrol(ADA, "--expires", ends)

    async def story():
        async with two.client(two.deaf, token) as client:
            await client.welcome()
            two.cut()
            assert await client.closed() == 4403
        two.mend()

    run(story())


# ---- two machines, one token ----


def test_two_that_throw_each_other_out_are_made_to_wait(house):
    """Neither waits for its user, as it should. On two daemons, so that neither sees both."""
    daemons, token = [house.daemon(), house.daemon()], house.enrol(ADA)

    async def story():
        clients, refused = [], None
        for turn in range(20):
            client = await house.client(daemons[turn % 2], token).open()
            clients.append(client)
            try:
                await client.welcome()
            except (Closed, AssertionError):
                refused = client
                break
            if turn:
                assert await clients[-2].closed() == 4409
        assert refused, "twenty turns, and no end"
        assert len(clients) <= 8
        assert refused.received[-1]["type"] == "goodbye" and refused.received[-1]["reason"] == "too-many"
        assert 0 < refused.received[-1]["reconnect_after_ms"] <= 2000
        assert await refused.closed() == 4429
        uid = house.publish(ADA)
        assert (await clients[-2].bookings(1))[0]["booking"]["uid"] == uid, "the one that is in stays in"
        for client in clients:
            await client.close()

    run(story())
    logs = "".join(daemon.log_text() for daemon in daemons)
    assert f"device={house.device_of(token)} hint=" in logs
