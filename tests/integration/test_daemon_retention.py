"""Retention end to end: slotbelld sweeps by itself, whoever comes too late is told, and nothing personal is left."""

import json
import pathlib
import re
import subprocess
import threading

import psycopg
import pytest
from ctl_support import wait_until
from receipts_help import age
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA, BOB = "ada@example.com", "bob@example.com"


def count(house, table):
    return house.ctl.query(f"SELECT count(*) FROM slotbell.{table}")[0]


def sweepers(house):
    return house.ctl.query("SELECT holder FROM slotbell.sweep_lease JOIN pg_stat_activity ON pid = holder WHERE lease_until > now()")


async def take(client, events):
    """Receives so many events and acks them."""
    bookings = await client.bookings(events)
    await client.ack(bookings[-1]["cursor"])
    await client.acked(bookings[-1]["cursor"])
    return bookings


# ---- what goes by itself ----


def test_an_event_goes_soon_after_everybody_has_it(house):
    daemon, tokens = house.daemon(), [house.enrol(ADA), house.enrol(ADA)]

    async def story():
        async with house.client(daemon, tokens[0]) as client:
            await client.welcome()
            for _ in range(3):
                house.publish(ADA)
            await take(client, 3)
        async with house.client(daemon, tokens[1]) as client:
            await client.welcome()
            assert [b["seq"] for b in await client.bookings(3)] == [1, 2, 3], "the other one has it all the same"
            await client.ack(client.received[-1]["cursor"])

    run(story())
    wait_until(lambda: count(house, "event") == 0, "they are swept")
    assert house.ctl.query("SELECT count(*), count(reason) FROM slotbell.receipt") == [(6, 0)]
    assert house.ctl.query("SELECT floor FROM slotbell.mailbox") == [0]
    assert "event=swept" in daemon.log_text() or 'event="swept"' in daemon.log_text()


def test_one_of_two_daemons_sweeps_and_the_other_takes_over(house):
    daemons = [house.daemon(), house.daemon()]
    wait_until(lambda: len(sweepers(house)) == 1, "one of them sweeps")
    (pid,) = sweepers(house)
    (first,) = [d for d in daemons if 'event=sweeping' in d.log_text() or 'event="sweeping"' in d.log_text()]
    first.kill()
    wait_until(lambda: sweepers(house) and sweepers(house) != [pid], "the other one sweeps")
    assert len(sweepers(house)) == 1
    token = house.enrol(ADA)
    house.publish(ADA)
    house.ctl.run("device", "revoke", house.device_of(token))
    wait_until(lambda: count(house, "event") == 0, "and it does")


def test_who_comes_too_late_is_reset_once_and_gets_what_comes_then(house):
    daemon, token = house.daemon(retention__days=2), house.enrol(ADA)
    for _ in range(3):
        house.publish(ADA)
    age(house.ctl, 3)
    house.publish(ADA)
    wait_until(lambda: count(house, "event") == 1, "three are past their time")

    async def story():
        async with house.client(daemon, token) as client:
            assert (await client.welcome())["cursor"].endswith(".0")
            reset = await client.receive("reset")
            assert reset["reason"] == "expired" and reset["cursor"].endswith(".3")
            assert (await client.bookings(1))[0]["seq"] == 4
        async with house.client(daemon, token) as client:
            await client.welcome()
            reset = await client.receive("reset")  # it was not acked
            await client.ack(reset["cursor"])
            assert (await take(client, 1))[0]["seq"] == 4
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")

    run(story())
    states = house.ctl.query("SELECT seq, state FROM slotbell.delivery ORDER BY seq")
    assert states == [(1, "expired"), (2, "expired"), (3, "expired"), (4, "written")]


def test_a_session_that_is_there_while_its_events_pass_their_time_is_reset(house):
    """Its window is full: the rest waits in the database until it is too old. It hears of that when it can take more."""
    daemon, token = house.daemon(sessions__window=2, retention__days=2), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            for _ in range(5):
                house.publish(ADA)
            second = (await client.bookings(2))[1]
            age(house.ctl, 3)
            wait_until(lambda: count(house, "event") == 0, "all five are past their time")
            house.publish(ADA)
            await client.ack(second["cursor"])
            reset = await client.until("reset")  # acked may come before it, or after
            assert reset["reason"] == "expired" and reset["cursor"].endswith(".5")
            assert (await client.bookings(1))[0]["seq"] == 6
            assert [m["type"] for m in client.received if m["type"] not in ("acked", "live")] == [
                "welcome", "booking", "booking", "reset", "booking"]  # fmt: skip

    run(story())


@pytest.mark.parametrize("receipts_days, code", [(4, 3), (5, 0), (6, 0)])
def test_receipts_must_not_go_before_the_bookings_that_they_are_about(house, receipts_days, code):
    daemon = house.daemon(start=False, retention__days=5, retention__receipts_days=receipts_days)
    daemon.configure()
    done = subprocess.run([str(daemon.program), "--config", str(daemon.config), "--check-config"], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (f"[retention] receipts_days = {receipts_days}: must not be below days = 5" in done.stderr) == (code != 0)


# ---- stale devices ----


def test_a_stale_device_comes_back_with_a_reset_and_is_served_again(house):
    daemon, stale, live = house.daemon(), house.enrol(ADA), house.enrol(ADA)
    age(house.ctl, 91)

    async def story():
        async with house.client(daemon, live) as client:
            await client.welcome()
            await client.receive("live")
            wait_until(lambda: house.ctl.query("SELECT id FROM slotbell.devices WHERE stale_at IS NOT NULL") == [house.device_of(stale)],
                       "one is stale")  # fmt: skip
            house.publish(ADA)
            await take(client, 1)
            wait_until(lambda: count(house, "event") == 0, "nothing is held back for it")
            async with house.client(daemon, stale) as back:
                await back.welcome()
                reset = await back.receive("reset")
                assert reset["reason"] == "expired" and reset["cursor"].endswith(".1")
                await back.ack(reset["cursor"])
                await back.acked(reset["cursor"])
                uid = house.publish(ADA)
                assert (await take(back, 1))[0]["booking"]["uid"] == uid
                assert (await take(client, 1))[0]["seq"] == 2, "and the other one sees no gap"

    run(story())
    states = [device["state"] for device in house.ctl.json("device", "list")]
    assert states == ["live", "live"]


def test_one_that_cannot_be_counted_just_now_is_told_when_to_come_again(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    age(house.ctl, 91)
    wait_until(lambda: house.ctl.json("device", "list")[0]["state"] == "stale", "it is stale")

    async def story():
        with house.connect(autocommit=False) as holder:
            holder.execute("SELECT FROM slotbell.mailbox FOR UPDATE")
            async with house.client(daemon, token) as client:
                await client.hello()
                assert await client.closed() == 1013
                assert client.goodbye["reconnect_after_ms"] > 0
        async with house.client(daemon, token) as client:
            await client.welcome()
            assert (await client.receive("reset"))["reason"] == "expired"

    run(story())


# ---- nothing personal is left ----

MARK = "Zq7marked"
MARKS = {
    "subject": f"{MARK} subject",
    "attendees": json.dumps([{"name": f"{MARK} name", "email": f"{MARK}@attendee.example"}]),
    "details": json.dumps({"organizer": {"name": f"{MARK} organizer", "email": f"{MARK}@organizer.example"}, "location": f"{MARK} location",
                           "join_url": f"https://{MARK}.example", "description": f"{MARK} description"}),
}  # fmt: skip
ADDRESS = f"{MARK.lower()}@example.com"


class Ear(threading.Thread):
    """Hears every notification of a database."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("LISTEN slotbell_wake; LISTEN slotbell_control")
        self.heard = []
        self.start()

    def run(self):
        for notification in self.connection.notifies():
            self.heard.append((notification.channel, notification.payload))
            if notification.payload == "over":
                return

    def all(self, url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("NOTIFY slotbell_wake, 'over'")
        self.join(20)
        self.connection.close()
        return self.heard[:-1]


def dump(house):
    url = house.ctl.url
    return subprocess.run([f"{house.cluster.bin}/pg_dump", "--data-only", "--dbname", url], check=True, capture_output=True,
                          text=True).stdout.lower()  # fmt: skip


def busy_life(house, daemons, tokens):
    """Everything that may happen to bookings and sessions, with marks in all that is personal."""

    async def story():
        async with house.client(daemons[0], tokens[0]) as one, house.client(daemons[1], tokens[1]) as two:
            await one.welcome(client={"name": "outlook", "version": "1"})
            await two.welcome()
            for uid in ("a", "b", "c"):
                house.publish(ADDRESS, uid, **MARKS)
            house.publish(ADDRESS, "a", **{**MARKS, "change": "updated", "subject": f"{MARK} again"})
            house.publish(ADDRESS, "b", change="cancelled", subject=f"{MARK} cancelled", attendees=MARKS["attendees"])
            with house.connect(autocommit=False) as connection:
                house.publish(ADDRESS, "rolled back", connection, **MARKS)
                connection.rollback()
            seen = await one.bookings(5)
            assert all(MARK in json.dumps(message) for message in seen), "plug-ins do get it"
            await one.ack(seen[-1]["cursor"], [{"seq": 1, "reason": "conflict"}])
            await one.acked(seen[-1]["cursor"])
            await two.bookings(5)
            two.drop()  # and acks nothing
            await one.send({"type": "hello", "token": MARK, "subject": MARK})
            assert await one.closed() == 4400
        for daemon in daemons:
            async with house.client(daemon, f"sbd_1_{MARK}") as wrong:
                await wrong.hello()
                assert await wrong.closed() == 4401

    run(story())
    for field, value in {"subject": MARK * 40, "attendees": f'[{{"email": "{MARK}", "x": 1}}]', "details": f'{{"{MARK}": 1}}',
                         "time_zone": MARK, "change": MARK}.items():  # fmt: skip
        with pytest.raises(psycopg.Error) as refused:
            house.publish(ADDRESS, "refused", **{**MARKS, field: value})
        if field not in ("details", "time_zone", "change"):
            assert MARK not in str(refused.value), "an error repeats nothing personal"
    with house.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'slotbelld' AND datname = current_database()")


def test_nothing_personal_is_left_when_its_time_is_over(house):
    daemons = [house.daemon(log__level="debug"), house.daemon(start=False, log__level="debug", log__format="json")]
    daemons[1].start()
    tokens = [house.enrol(ADDRESS, "--label", f"{MARK} laptop"), house.enrol(ADDRESS, "--label", f"{MARK} desk")]
    ear = Ear(house.ctl.url)
    busy_life(house, daemons, tokens)
    assert MARK.lower() in dump(house), "so this test could find it"
    heard = ear.all(house.ctl.url)
    assert {channel for channel, _ in heard} == {"slotbell_wake", "slotbell_control"}
    assert all(re.fullmatch(r"[1-9][0-9]*", payload) for _, payload in heard), heard

    age(house.ctl, 15)
    wait_until(lambda: count(house, "event") == 0, "events go after 14 days, acked or not")
    remaining = house.ctl.query("SELECT string_agg(b::text, '') FROM slotbell.booking_state b")[0] + str(
        house.ctl.query("SELECT string_agg(r::text, '') FROM slotbell.receipt r"))
    assert remaining and MARK.lower() not in remaining.lower(), "receipts are there, and have none of it"
    found = [line for line in dump(house).splitlines() if MARK.lower() in line]
    assert len(found) == 3, "its address and the labels, for it is enrolled still"

    for token in tokens:
        house.ctl.run("device", "revoke", house.device_of(token))
    age(house.ctl, 1000)
    wait_until(lambda: count(house, "mailbox") == 0, "the mailbox goes with its last device")
    assert MARK.lower() not in dump(house)
    tables = house.ctl.query("SELECT relname FROM pg_class WHERE relnamespace = 'slotbell'::regnamespace AND relkind = 'r'")
    assert set(tables) >= {"event", "booking_state", "receipt", "mailbox", "device", "session", "instance"}
    for table in tables:
        rows = house.ctl.query(f"SELECT t::text FROM slotbell.{table} t")
        assert not any(MARK.lower() in row.lower() for row in rows), table
        assert table in ("migration", "time_zone", "instance", "sweep_lease", "guard") or rows == [], f"{table} is empty: {rows}"

    for daemon in daemons:
        assert daemon.stop() == 0
        text = daemon.log_text()
        assert "session began" in text and "client refused" in text, "the log is a full one"
        assert MARK.lower() not in text.lower()
        assert not any(token.split("_", 2)[2] in text for token in tokens)
    server_log = pathlib.Path(house.cluster.log).read_text(errors="replace")
    ours = [line for line in server_log.splitlines() if "slotbelld" in line]
    assert not any(MARK.lower() in line.lower() for line in ours)


def test_no_plug_in_no_copy(house):
    house.daemon()
    house.publish(ADDRESS, "a", **MARKS)
    assert MARK.lower() not in dump(house)
    token = house.enrol(BOB)
    house.ctl.run("device", "revoke", house.device_of(token))
    house.publish(BOB, "a", **MARKS)
    assert MARK.lower() not in dump(house)
