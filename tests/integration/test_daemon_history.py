"""Cursors of other histories: beyond head, of a foreign epoch, of events that are gone; and a failover that loses some."""

import pytest
from ctl_support import wait_until
from fixtures_sql import Database
from pgcluster import PgCluster
from session_client import run, seq_of

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


def epoch_of(cursor):
    return cursor.partition(".")[0]


async def story_of(client, **hello):
    """What the client is told from welcome to live, as words: "welcome 0", "reset expired 3", "booking 4", "live 4".

    Without acked, which comes when the database has it.
    """
    await client.hello(**hello)
    await client.until("live")
    return [" ".join(filter(None, [m["type"], m.get("reason"), str(seq_of(m["cursor"]))]))
            for m in client.received if m["type"] != "acked"]  # fmt: skip


def resets_until_acked(house, daemon, token, cursor, reason, at, after):
    """The reset comes in every session, whatever else is acked by hello's cursor, until it is acked itself."""

    async def story():
        for _ in range(2):
            async with house.client(daemon, token) as client:
                told = await story_of(client, cursor=cursor)
                assert told[1:] == [f"reset {reason} {at}", *after]
        async with house.client(daemon, token) as client:
            await story_of(client, cursor=cursor)
            reset = next(m for m in client.received if m["type"] == "reset")
            await client.ack(reset["cursor"])
            await client.acked(reset["cursor"])
        async with house.client(daemon, token) as client:
            assert await story_of(client, cursor=reset["cursor"]) == [f"welcome {at}", *after]

    run(story())


def booked(house, count):
    """A device, and so many bookings after its enrolment. Returns its token, and the epoch."""
    token = house.enrol(ADA)
    for _ in range(count):
        house.publish(ADA)
    return token, house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]


def test_a_cursor_at_head_is_good_and_one_beyond_is_unknown(house):
    daemon = house.daemon()
    token, epoch = booked(house, 3)

    async def story():
        async with house.client(daemon, token) as client:
            assert await story_of(client, cursor=f"{epoch}.2") == ["welcome 2", "booking 3", "live 3"]
        async with house.client(daemon, token) as client:
            assert await story_of(client, cursor=f"{epoch}.3") == ["welcome 3", "live 3"]

    run(story())
    resets_until_acked(house, daemon, token, f"{epoch}.4", "unknown-cursor", 3, ["live 3"])


def test_a_cursor_of_a_foreign_epoch_is_reset_to_what_the_server_knows(house):
    daemon = house.daemon()
    token, _ = booked(house, 2)
    resets_until_acked(house, daemon, token, "elsewhere.7", "epoch", 0, ["booking 1", "booking 2", "live 2"])


def test_events_that_expired_undelivered_are_said_to_be_lost(house):
    daemon = house.daemon()
    token, _ = booked(house, 5)
    # As the sweep leaves it: floor first, then the events up to it.
    house.ctl.query("UPDATE slotbell.mailbox SET floor = 3")
    house.ctl.query("DELETE FROM slotbell.event WHERE seq <= 3")
    resets_until_acked(house, daemon, token, None, "expired", 3, ["booking 4", "booking 5", "live 5"])


def test_at_the_floor_nothing_is_lost_and_below_it_something_is(house):
    daemon = house.daemon()
    token, epoch = booked(house, 5)
    house.ctl.query("UPDATE slotbell.mailbox SET floor = 3")
    house.ctl.query("DELETE FROM slotbell.event WHERE seq <= 3")

    async def story():
        for seq, told in ((2, ["welcome 2", "reset expired 3"]), (3, ["welcome 3"]), (4, ["welcome 4"])):
            async with house.client(daemon, token) as client:
                rest = [f"booking {n}" for n in range(max(seq, 3) + 1, 6)]
                assert await story_of(client, cursor=f"{epoch}.{seq}") == [*told, *rest, "live 5"]

    run(story())


def test_an_epoch_by_hand_loses_nothing_live_or_away(house):
    """After a restore an operator opens a new epoch: who has everything goes on in it, without a reset."""
    daemon = house.daemon()
    token, epoch = booked(house, 2)
    away = house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await story_of(client)
            await client.ack(f"{epoch}.2")
            await client.receive("acked")
            house.ctl.query("SELECT slotbell.new_epoch()")
            house.publish(ADA)
            booking = await client.receive("booking")
            assert booking["seq"] == 1_000_003 and epoch_of(booking["cursor"]) != epoch
            await client.ack(booking["cursor"])
            await client.receive("acked")
        async with house.client(daemon, away) as client:
            assert await story_of(client, cursor=f"{epoch}.2") == ["welcome 2", "booking 1000003", "live 1000003"]

    run(story())


# ---- a promoted standby that had lagged ----


@pytest.fixture
def pair(own_house):
    """A primary with the schema, and a running standby of it."""
    with PgCluster(settings={"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}) as primary:
        with own_house(primary) as house, primary.standby() as standby:
            yield house, house.at(standby)


def cut_off(house, after):
    """The standby hears no more. (Were only its replay paused, it would catch up when it is promoted.)"""
    after.cluster.psql("ALTER SYSTEM SET primary_conninfo = ''")
    after.cluster.reload()
    wait_until(lambda: house.cluster.psql("SELECT count(*) FROM pg_stat_replication") == "0", "the standby is cut off")


def fail_over(pair, crippled):
    """Of five bookings the standby has two. Two devices saw all five; one stays, one is away during the failover.

    Returns what each was told after it: of the one that stays all messages, of the other its next session.
    """
    house, after = pair
    if crippled:
        Database(house.ctl.url, house.cluster, house.name).cripple(
            "history", ("system_identifier", "0::bigint"), ("substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", "'00000001'"))  # fmt: skip
    stays, away = house.enrol(ADA), house.enrol(ADA)
    daemon = house.daemon(start=False)
    sockets = house.cluster.socket_dir, after.cluster.socket_dir
    daemon.settings["database.url"] = daemon.settings["database.url"].replace(sockets[0], ",".join(sockets))
    daemon.start()

    async def see(client, count):
        for booking in await client.bookings(count):
            await client.ack(booking["cursor"])
        await client.acked(booking["cursor"])
        return booking["cursor"]

    async def story():
        async with house.client(daemon, stays) as client:
            await story_of(client)
            async with house.client(daemon, away) as soon_away:
                await story_of(soon_away)
                for uid in ("1", "2"):
                    house.publish(ADA, uid)
                await see(client, 2)
                await see(soon_away, 2)
                wait_until(lambda: after.ctl.query("SELECT acked FROM slotbell.device") == [2, 2], "the standby has two")
                cut_off(house, after)
                for uid in ("3", "4", "5"):
                    house.publish(ADA, uid)
                assert seq_of(await see(client, 3)) == 5
                saved = await see(soon_away, 3)
            house.cluster.kill()
            after.cluster.promote()
            before = len(client.received)
            for uid in ("6", "7", "8"):
                after.publish(ADA, uid)
            if not crippled:
                while client.received[-1].get("booking", {}).get("uid") != "8":
                    await client.next()
                await client.ack(client.received[-1]["cursor"])
                await client.acked(client.received[-1]["cursor"])
            async with house.client(daemon, away) as back:
                told = await story_of(back, cursor=saved)
            return client.received[before:], back.received, told

    return run(story())


def test_after_a_failover_that_lost_bookings_new_ones_come_to_all_and_no_number_twice(pair):
    stayed, came_back, told = fail_over(pair, crippled=False)
    numbers = [m["seq"] for m in stayed if m["type"] == "booking"]
    uids = [m["booking"]["uid"] for m in stayed if m["type"] == "booking"]
    assert uids == ["6", "7", "8"] and numbers == [1_000_003, 1_000_004, 1_000_005], "none vanished, none has a number of 3 to 5"
    # It was told that there is something to compare, and where the new history begins.
    reset = next(m for m in stayed if m["type"] == "reset")
    assert reset["reason"] in ("epoch", "unknown-cursor") and seq_of(reset["cursor"]) == 2
    assert stayed.index(reset) < stayed.index(next(m for m in stayed if m["type"] == "booking"))
    assert told == ["welcome 2", "reset epoch 2", "booking 1000003", "booking 1000004", "booking 1000005", "live 1000005"]
    assert [m["booking"]["uid"] for m in came_back if m["type"] == "booking"] == ["6", "7", "8"]


def test_without_a_new_epoch_the_new_bookings_would_vanish(pair):
    """They are given the numbers of those that were lost: who had seen these is told that it has everything."""
    _, came_back, told = fail_over(pair, crippled=True)
    assert told == ["welcome 5", "live 5"]
    assert not [m for m in came_back if m["type"] == "booking"]
