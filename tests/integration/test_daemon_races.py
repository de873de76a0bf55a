"""Races and traps that show at the daemon, each also with its remedy taken out: in SQL, or in the daemon's source."""

import asyncio
import signal

import psycopg
import pytest
from crippled import Remedy, build_without
from ctl_support import wait_until
from fixtures_sql import Database
from gate import Gate
from session_client import Closed, run
from test_sql_order import IMMEDIATE, opposite_orders

pytest_plugins = ["fixtures_daemon"]

ADA, BOB = "ada@example.com", "bob@example.com"
FLOOD = 300

REGISTER_THEN_FETCH = Remedy("daemon/core/mailbox.c", "session->settled = false;", "session->settled = true;")
ONE_FETCH_AT_A_TIME = Remedy("daemon/core/mailbox.c", "\tif (mailbox->fetching)\n\t\treturn;\n", "")
ONE_RECHECK_AT_A_TIME = Remedy("daemon/store/reconcile.c", "\tif (recheck) {\n", "\tif (0) {\n")
ASK_THE_ROW = Remedy("daemon/core/hub.c", "(void)hub->store->ops->recheck(hub->store, device_id);",
                     "sb_session_close(sb_devices_find(hub, device_id), SB_REASON_REVOKED);")  # fmt: skip
COMPARE_HEADS = Remedy("daemon/core/hub.c", "return held->head != told->head || ", "return ")


# Its last statement is a NOTIFY to itself, or its LISTEN.
END_LISTENER = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    " AND (query LIKE '%%LISTEN%%slotbell_ping%%' OR query LIKE 'NOTIFY slotbell_ping_' || pid || ',%%')"
)


def database(house):
    return Database(house.ctl.url, house.cluster, house.name)


def slotbelld(house, remedy, folder):
    """A daemon as it is, or without a remedy."""
    return house.daemon(program=build_without(remedy, "slotbelld", folder) if remedy else None)


async def live(client, **hello):
    """Says hello, reads on to live; returns welcome."""
    welcome = await client.welcome(**hello)
    await client.until("live")
    return welcome


async def answers(client):
    """It is there, and nothing has come that was not read: what comes next is the answer to this ping."""
    await client.send({"type": "ping"})
    await client.receive("pong")


# ---- a commit between authentication and registration ----


def between_authentication_and_registration(house, remedy, folder, rounds):
    """The token is checked, head is read; before the daemon hears of it a booking commits, and rings nobody.

    What the session is told after welcome, in each round. (The wake and the
    answer come by two connections: mostly, not always, the wake is first.)
    """
    gate, daemon, token = Gate(house, "authenticate"), slotbelld(house, remedy, folder), house.enrol(ADA)

    async def story():
        for n in range(1, rounds + 1):
            async with house.client(daemon, token) as client:
                gate.shut()
                await client.hello()
                await gate.until(n)
                house.publish(ADA)
                gate.open()
                assert (await client.receive("welcome"))["head"] == n - 1
                message = await client.next()
                yield message["type"]
                if message["type"] != "booking":
                    return  # it was lost
                await client.ack(message["cursor"])
                await client.until("acked")

    async def told():
        return [kind async for kind in story()]

    try:
        return run(told())
    finally:
        gate.close()


def test_a_booking_that_commits_between_authentication_and_registration_is_delivered(house, tmp_path):
    assert between_authentication_and_registration(house, None, tmp_path, 3) == ["booking"] * 3


def test_a_session_that_trusted_its_authentication_would_miss_it(house, tmp_path):
    assert "live" in between_authentication_and_registration(house, REGISTER_THEN_FETCH, tmp_path, 10)


# ---- enrolment while a booking commits ----


def enrolment_while_a_booking_commits(house):
    """A booking is published, a plug-in enrols and connects, the booking commits, and one more. What comes?"""
    daemon = house.daemon()
    house.ctl.run("device", "revoke", house.device_of(house.enrol(ADA)))
    with house.connect(autocommit=False) as booking:
        house.publish(ADA, "during", booking)
        token = house.enrol(ADA)

        async def story():
            async with house.client(daemon, token) as client:
                await live(client)
                booking.commit()
                house.publish(ADA, "after")
                return (await client.receive("booking"))["booking"]["uid"]

        return run(story())


def test_a_booking_that_commits_after_the_enrolment_rings(house):
    assert enrolment_while_a_booking_commits(house) == "during"


def test_looking_for_devices_before_the_commit_would_lose_it(house):
    database(house).cripple("publish", ("WHERE m.address = at_address", "WHERE m.address = at_address AND m.device_count > 0"))
    assert enrolment_while_a_booking_commits(house) == "after"


# ---- two mailboxes in opposite order ----


def two_mailboxes_in_opposite_order(house):
    """How many of the two transactions came through, and what rang at Ada's and at Bob's."""
    daemon = house.daemon()
    ada, bob = house.client(daemon, house.enrol(ADA)), house.client(daemon, house.enrol(BOB))

    async def story():
        async with ada, bob:
            await live(ada)
            await live(bob)
            db = database(house)
            try:
                through = await asyncio.to_thread(opposite_orders, db)
            finally:
                db.close()
            return through, [[b["booking"]["uid"] for b in await client.bookings(through)] for client in (ada, bob)]

    return run(story())


def test_two_transactions_over_two_mailboxes_in_opposite_order_ring_all(house):
    through, (at_ada, at_bob) = two_mailboxes_in_opposite_order(house)
    assert through == 2
    assert [sorted(at_ada), sorted(at_bob)] == [["1a", "2a"], ["1b", "2b"]]
    assert [uid[0] for uid in at_ada] == [uid[0] for uid in at_bob], "one order of commits for both"


def test_numbers_given_while_publishing_would_deadlock(house):
    house.ctl.query(IMMEDIATE)
    through, (at_ada, at_bob) = two_mailboxes_in_opposite_order(house)
    assert through == 1 and len(at_ada) == len(at_bob) == 1


# ---- who holds a mailbox holds up no session ----


def hello_while_a_publisher_holds_the_mailbox(house):
    """A publisher is stuck in its commit: the mailbox's row is locked. Can its plug-in come in, and ack?"""
    daemon, token = house.daemon(), house.enrol(ADA)
    house.publish(ADA)

    async def story():
        with house.connect(autocommit=False) as publisher:
            publisher.execute("SELECT FROM slotbell.mailbox FOR UPDATE")
            async with house.client(daemon, token) as client:
                try:
                    await client.welcome()
                    booking = await client.receive("booking")
                    await client.receive("live")
                    await client.ack(booking["cursor"])
                    await client.receive("acked")
                    return "served"
                except AssertionError:
                    assert await client.closed() == 1013
                    return "sent away"

    return run(story())


def test_a_publisher_that_holds_its_mailbox_holds_up_no_session(house):
    assert hello_while_a_publisher_holds_the_mailbox(house) == "served"


def test_a_statement_that_locked_the_mailbox_would_wait_for_it(house):
    database(house).cripple("authenticate", ("IF stale IS NOT NULL", "PERFORM FROM slotbell.mailbox FOR SHARE; IF stale IS NOT NULL"))
    assert hello_while_a_publisher_holds_the_mailbox(house) == "sent away"


# ---- a fetch that fails ----


def test_a_fetch_that_failed_is_made_again_though_nobody_rings_again(house):
    """A table is locked for a moment, by an upgrade say, just when the booking rings."""
    gate, daemon, token = Gate(house, "next_events", by_lock=True), house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await live(client)
            gate.shut()
            house.publish(ADA)
            await asyncio.to_thread(wait_until, lambda: "query=fetch" in daemon.log_text(), "the fetch fails")
            gate.open()
            await client.receive("booking", 20)  # by the heartbeat it would come after 25 s, by the reconcile after 60

    run(story())
    gate.close()


# ---- an ack that comes after its session was taken over ----


def an_ack_while_the_next_session_begins(house):
    """Its daemon is frozen when it is sent; the next session, at another daemon, asks for all. What the row has, and then?"""
    one, other, token = house.daemon(), house.daemon(), house.enrol(ADA)
    for n in range(3):
        house.publish(ADA, f"uid-{n}")

    def acked():
        return house.ctl.query("SELECT acked FROM slotbell.device")[0]

    async def story():
        async with house.client(one, token) as old, house.client(other, token) as new:
            await old.welcome()
            last = [await old.receive("booking") for _ in range(3)][-1]
            one.process.send_signal(signal.SIGSTOP)
            await old.ack(last["cursor"])
            assert (await new.welcome())["cursor"].endswith(".0")
            one.process.send_signal(signal.SIGCONT)
            assert await old.closed() == 4409
            found = acked()
            assert [(await new.receive("booking"))["seq"] for _ in range(3)] == [1, 2, 3]
            await new.ack(last["cursor"])
            await new.until("acked")
            return found, acked()

    return run(story())


def test_an_ack_of_a_session_that_was_taken_over_does_not_move_the_next_ones_start(house):
    assert an_ack_while_the_next_session_begins(house) == (0, 3)


def test_it_would_if_the_database_took_it(house):
    database(house).cripple("ack", ("WHEN d.session_no > said.session_no THEN 'replaced'", ""), ("WHEN d.session_no > session_nos[1] THEN 'replaced'", ""))
    assert an_ack_while_the_next_session_begins(house) == (3, 3)


# ---- forged notifications ----


def mallory(house):
    """Somebody who may connect to the database, and nothing else: that is enough to NOTIFY."""
    house.ctl.query("CREATE ROLE mallory LOGIN")
    return psycopg.connect(house.cluster.url(house.name, "mallory"), autocommit=True)


@pytest.fixture
def no_mallory_after(house):
    yield
    house.ctl.query("DROP ROLE IF EXISTS mallory")


def flood(house, function, channel, remedy, folder):
    """How many items `function` was asked for by FLOOD forged notifications while it was at one already."""
    gate, daemon = Gate(house, function), slotbelld(house, remedy, folder)
    ada, bob = house.client(daemon, house.enrol(ADA)), house.client(daemon, house.enrol(BOB))
    real = house.ctl.query(f"SELECT {'mailbox_id' if channel == 'slotbell_wake' else 'id'} FROM slotbell.device ORDER BY id")[0]

    async def story():
        async with ada, bob:
            await live(ada)
            await live(bob)
            before = gate.passed
            gate.shut()
            with mallory(house) as forger:
                forger.execute(f"NOTIFY {channel}, '{real}'")
                await gate.until(before + 1)
                for nonsense in ("", "x", "0", "-1", f"{real}x", " 1", "9" * 25, "999999999", "y" * 7000):
                    forger.execute("SELECT pg_notify(%s, %s)", (channel, nonsense))
                forger.execute(f"DO $$ BEGIN FOR n IN 1..{FLOOD} LOOP PERFORM pg_notify('{channel}', '{real}'); COMMIT; END LOOP; END $$")
            gate.open()
            # All of it was heard when what commits after it was.
            house.publish(BOB)
            await bob.receive("booking")
            house.publish(ADA)
            await ada.receive("booking")
            await answers(ada)
            await answers(bob)
            return gate.passed - before

    try:
        return run(story())
    finally:
        gate.close()


def test_forged_wakes_cost_a_fetch_at_a_time_and_nobody_notices(house, tmp_path, no_mallory_after):
    # The one in flight, one for all that came meanwhile, one for each booking; more where the last were heard late.
    assert flood(house, "next_events", "slotbell_wake", None, tmp_path) < FLOOD / 10


def test_a_fetch_for_each_wake_would_be_their_servant(house, tmp_path, no_mallory_after):
    assert flood(house, "next_events", "slotbell_wake", ONE_FETCH_AT_A_TIME, tmp_path) > FLOOD


def test_forged_controls_cost_a_look_at_a_time_and_nobody_notices(house, tmp_path, no_mallory_after):
    assert flood(house, "reconcile", "slotbell_control", None, tmp_path) < FLOOD / 10


def test_a_look_for_each_control_would_be_their_servant(house, tmp_path, no_mallory_after):
    assert flood(house, "reconcile", "slotbell_control", ONE_RECHECK_AT_A_TIME, tmp_path) > FLOOD


def forged_revocation(house, remedy, folder):
    """Somebody says that a live device was revoked. What becomes of its session?"""
    daemon, token = slotbelld(house, remedy, folder), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await live(client)
            with mallory(house) as forger:
                forger.execute(f"NOTIFY slotbell_control, '{house.device_of(token)}'")
            house.publish(ADA)
            try:
                await client.receive("booking")
                await answers(client)
                return "lives on"
            except Closed as end:
                return end.code

    return run(story())


def test_a_forged_revocation_closes_nobody(house, tmp_path, no_mallory_after):
    assert forged_revocation(house, None, tmp_path) == "lives on"


def test_a_daemon_that_obeyed_notifications_would_close_it(house, tmp_path, no_mallory_after):
    assert forged_revocation(house, ASK_THE_ROW, tmp_path) == 4403


# ---- a notification that is lost ----


def booking_while_nobody_listens(house, remedy, folder):
    """The listening connection is lost, and cannot be made anew until a booking has committed. What rings?"""
    daemon, token = slotbelld(house, remedy, folder), house.enrol(ADA)
    login = daemon.settings["database.url"].partition("//")[2].partition("@")[0]

    async def story():
        async with house.client(daemon, token) as client:
            await live(client)
            house.ctl.query(f"ALTER ROLE {login} NOLOGIN")
            try:
                assert house.ctl.query(END_LISTENER, house.name) == [True]
                house.publish(ADA, "while nobody listened")
            finally:
                house.ctl.query(f"ALTER ROLE {login} LOGIN")
            await asyncio.to_thread(wait_until, lambda: daemon.log_text().count('event="database up"') == 2, "it listens again")
            await answers(client) if remedy else await client.receive("booking")
            house.publish(ADA, "after")
            return [message["booking"]["uid"] for message in client.received if message["type"] == "booking"]

    return run(story())


def test_a_booking_that_rang_while_nobody_listened_is_found_on_reconnect(house, tmp_path):
    assert booking_while_nobody_listens(house, None, tmp_path) == ["while nobody listened"]


def test_without_comparing_heads_it_would_lie_there(house, tmp_path):
    assert booking_while_nobody_listens(house, COMPARE_HEADS, tmp_path) == []
