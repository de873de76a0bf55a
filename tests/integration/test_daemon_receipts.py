"""Receipts and presence end to end: what slotbelld leaves for those who ask where a booking is, and who is on."""

import datetime

from ctl_support import wait_until
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA, BOB = "ada@example.com", "bob@example.com"


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def trace(house, uid):
    return house.ctl.json("trace", uid)


def presence(house):
    return house.ctl.query("SELECT device FROM slotbell.presence ORDER BY 1")


def test_a_booking_can_be_followed_from_its_commit_to_its_ack(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            uid = house.publish(ADA)
            booking = (await client.bookings(1))[0]
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])
            return uid, booking

    uid, booking = run(story())
    (row,) = trace(house, uid)
    assert (row["state"], row["reason"], row["seq"]) == ("written", None, booking["seq"])
    assert row["committed_at"] == booking["published_at"]
    assert instant(row["committed_at"]) <= instant(row["sent_at"]) <= instant(row["done_at"])


def test_every_event_of_a_burst_has_its_own_times(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    first = [house.publish(ADA) for _ in range(20)]

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.bookings(20)
            second = [house.publish(ADA) for _ in range(3)]
            last = (await client.bookings(3))[-1]
            await client.ack(last["cursor"], [{"seq": 2, "reason": "conflict"}, {"seq": 23, "reason": "unsupported"}])
            await client.acked(last["cursor"])
            return second

    second = run(story())
    rows = [trace(house, uid)[0] for uid in first + second]
    assert [row["seq"] for row in rows] == list(range(1, 24))
    assert {row["seq"]: row["reason"] for row in rows if row["state"] == "failed"} == {2: "conflict", 23: "unsupported"}
    sent = [instant(row["sent_at"]) for row in rows]
    assert sent == sorted(sent)
    assert all(instant(row["committed_at"]) <= at for row, at in zip(rows, sent, strict=True))
    assert sent[19] < instant(rows[20]["committed_at"]), "not all at the time of the last"


def test_what_was_sent_and_is_not_acked_is_told_while_it_waits(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            uid = house.publish(ADA)
            booking = (await client.bookings(1))[0]
            wait_until(lambda: trace(house, uid)[0]["state"] == "sent", "a late ack is told of")
            (row,) = trace(house, uid)
            assert row["on"] and row["session"] and row["done_at"] is None
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])
            assert trace(house, uid)[0]["sent_at"] == row["sent_at"]
            return uid

    assert trace(house, run(story()))[0]["state"] == "written"


def test_a_session_that_vanishes_leaves_word_of_what_it_was_sent(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        client = await house.client(daemon, token).open()
        await client.welcome()
        uid = house.publish(ADA)
        await client.bookings(1)
        client.drop()
        return uid

    uid = run(story())
    wait_until(lambda: trace(house, uid)[0]["state"] == "sent", "the end of a session is told of")
    assert trace(house, uid)[0]["on"] is False

    async def again():
        async with house.client(daemon, token) as client:
            await client.welcome()
            booking = (await client.bookings(1))[0]
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])

    before = trace(house, uid)[0]["sent_at"]
    run(again())
    (row,) = trace(house, uid)
    assert row["state"] == "written" and instant(row["sent_at"]) > instant(before), "it was sent again"


# ---- who is on ----


def test_who_is_connected_is_on_and_who_left_is_not(house):
    daemon, ada, bob = house.daemon(), house.enrol(ADA), house.enrol(BOB)
    devices = [house.device_of(ada), house.device_of(bob)]

    async def story():
        async with house.client(daemon, ada) as one:
            welcome = await one.welcome()
            async with house.client(daemon, bob) as two:
                await two.welcome()
                wait_until(lambda: presence(house) == devices, "both are on")
                sessions = house.ctl.query("SELECT session FROM slotbell.presence WHERE device = %s", devices[0])
                assert sessions == [welcome["session"]], "by the name that the log has"
            wait_until(lambda: presence(house) == devices[:1], "one left")
            async with house.client(daemon, bob) as two:
                await two.welcome(mode="once")
                assert await two.closed() == 1000
            assert presence(house) == devices[:1], "a short visit is none"
        wait_until(lambda: presence(house) == [], "the other one left too")

    run(story())


def test_a_daemon_that_ends_leaves_nobody_on(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            wait_until(lambda: presence(house), "it is on")
            daemon.process.terminate()
            assert await client.closed() == 1012

    run(story())
    assert daemon.stop() == 0
    assert house.ctl.query("SELECT count(*) FROM slotbell.session") == [0], "it said so, and did not wait for the lease to end"


def test_the_sessions_of_a_daemon_that_was_killed_are_off_when_its_lease_ends(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            wait_until(lambda: presence(house), "it is on")
            daemon.kill()

    run(story())
    (left,) = house.ctl.query("SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM slotbell.instance")
    assert 0 < left <= 16
    wait_until(lambda: presence(house) == [], "the lease ends")


def test_a_database_that_forgot_who_was_on_is_told_again(house):
    """An unlogged table is empty after a crash; sessions outlive that."""
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            wait_until(lambda: presence(house), "it is on")
            with house.connect() as connection:
                connection.execute("TRUNCATE slotbell.session, slotbell.instance")
            wait_until(lambda: presence(house) == [house.device_of(token)], "it is on again")

    run(story())
