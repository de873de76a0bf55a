"""An upgrade goes database first, then daemons, and the daemons can be rolled back.

So the daemon of the release before works with the schema of now. Every story
here runs it, built from this repository's history, against a real database.
"""

import os
import subprocess

import before
import psycopg
import pytest
from ctl_support import wait_until
from pgcluster import PgCluster
from session_client import run, seq_of

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def old():
    """The folder of the old programs."""
    try:
        return before.programs()
    except before.NoHistory as why:
        pytest.skip(str(why))


def old_ctl(old, url, *arguments):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "SLOTBELL"))}
    return subprocess.run([old / "slotbellctl", "--database", url, *arguments], env=kept, check=False,
                          capture_output=True, text=True, timeout=60)


@pytest.fixture
def used_house(own_house, old):
    """A House whose database was made by the old release, and is in use: nothing is upgraded yet."""
    with PgCluster(tcp=True) as cluster:
        with own_house(cluster, "spare") as house:  # makes the daemon's role
            url = cluster.create_database("used")
            made = old_ctl(old, url, "db", "init")
            assert made.returncode == 0, made.stderr
            house.name, house.ctl.url, house.ctl.name = "used", url, "used"
            yield house


def lose_connections(house):
    """The database ends what the daemons have, as a failover or a restart does."""
    house.ctl.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = 'slotbelld_login'")


def last_daemon_of_before_has_left(house):
    """Its lease is over."""
    with psycopg.connect(house.ctl.url, autocommit=True) as admin:
        admin.execute("UPDATE slotbell.guard SET seqs_until = clock_timestamp()")


class Folder:
    """What a plug-in has: it applies a higher version only, whichever daemon says it."""

    def __init__(self):
        self.versions, self.subjects, self.skipped, self.cursor = {}, {}, [], None

    def apply(self, message):
        booking = message["booking"]
        if booking["version"] <= self.versions.get(booking["uid"], 0):
            self.skipped.append(message)
        else:
            self.versions[booking["uid"]] = booking["version"]
            self.subjects[booking["uid"]] = booking.get("subject")
        self.cursor = message["cursor"]

    async def session(self, house, daemon, token, count):
        """One that takes so many bookings."""
        async with house.client(daemon, token) as client:
            await client.welcome(**({"cursor": self.cursor} if self.cursor else {}))
            for message in await client.bookings(count):
                self.apply(message)
            await client.ack(self.cursor)
            await client.acked(self.cursor)


async def ring_and_ack(house, client, count=1):
    for _ in range(count):
        house.publish(ADA)
        message = await client.until("booking")
        await client.ack(message["cursor"])
        await client.acked(message["cursor"])
    return message["cursor"]


def old_token(old, house):
    made = old_ctl(old, house.ctl.url, "device", "enrol", ADA)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_a_running_daemon_goes_on_through_the_upgrade_and_after_it_lost_its_connections(used_house, old):
    house, token = used_house, old_token(old, used_house)
    daemon = house.daemon(program=old / "slotbelld")

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            await ring_and_ack(house, client)
            house.publish(ADA)
            waiting = await client.receive("booking")  # sent, not acked, while the schema changes
            upgraded = house.ctl.run("db", "upgrade")
            assert "009_release_0_2" in upgraded.stderr
            await client.ack(waiting["cursor"])
            await client.acked(waiting["cursor"])
            known = len(daemon.log_text())
            lose_connections(house)
            daemon.wait_log('event="database up"', known)
            cursor = await ring_and_ack(house, client, 3)
            assert seq_of(cursor) == 5
        # All was acked, so the old daemon's sweep takes it, under the schema of now.
        wait_until(lambda: house.ctl.query("SELECT count(*) FROM slotbell.event") == [0], "the sweep takes what was acked")
        assert house.ctl.query("SELECT state FROM slotbell.delivery") == ["written"] * 5
        # Its sweep may have been at work when the connections ended.
        failed = [line for line in daemon.log_text().splitlines() if "cannot sweep" in line and "closed the connection" not in line]
        assert "too new" not in daemon.log_text() and failed == []

    run(story())


def test_what_the_old_release_did_not_deliver_the_new_one_does_and_back(used_house, old):
    house, token = used_house, old_token(old, used_house)
    for _ in range(3):
        house.publish(ADA)
    house.ctl.run("db", "upgrade")
    new, rolled_back = house.daemon(), house.daemon(start=False, program=old / "slotbelld")

    async def story():
        async with house.client(new, token) as client:
            await client.welcome()
            first = (await client.bookings(3))[0]
            await client.ack(first["cursor"])
            await client.acked(first["cursor"])
        assert new.stop() == 0
        rolled_back.start()
        async with house.client(rolled_back, token) as client:
            await client.welcome(cursor=first["cursor"])
            assert [seq_of(message["cursor"]) for message in await client.bookings(2)] == [2, 3]
            await ring_and_ack(house, client)

    run(story())


def test_an_old_and_a_new_daemon_serve_side_by_side(used_house, old):
    house, token = used_house, old_token(old, used_house)
    house.ctl.run("db", "upgrade")
    daemons = [house.daemon(program=old / "slotbelld"), house.daemon()]

    async def story():
        cursor = None
        for nth in range(6):
            async with house.client(daemons[nth % 2], token) as client:
                await client.welcome(**({"cursor": cursor} if cursor else {}))
                await client.until("live")
                cursor = await ring_and_ack(house, client)
        assert seq_of(cursor) == 6
        # A session at one takes its device's session at the other over.
        async with house.client(daemons[0], token) as first, house.client(daemons[1], token) as second:
            await first.welcome(cursor=cursor)
            await first.until("live")
            await second.welcome(cursor=cursor)
            assert await first.closed() == 4409
            await second.until("live")
            await ring_and_ack(house, second)

    run(story())
    wait_until(lambda: house.ctl.query("SELECT count(*) FROM slotbell.event") == [0], "one of the two sweeps")


def test_side_by_side_a_client_that_skips_lower_versions_misses_nothing(used_house, old):
    house, token, folder = used_house, old_token(old, used_house), Folder()
    house.publish(ADA, "before", subject="0")
    old_one = house.daemon(program=old / "slotbelld")
    old_one.wait_log('event="database up"')
    house.ctl.run("db", "upgrade")
    new_one = house.daemon()
    new_one.wait_log('event="database up"')
    lose_connections(house)  # the old one says again that it is on, to the schema of now

    async def story():
        await folder.session(house, old_one, token, 1)
        assert house.ctl.query("SELECT seqs_until > clock_timestamp() FROM slotbell.guard") == [True]
        for nth in range(1, 9):
            for uid in ("before", "u"):
                house.publish(ADA, uid, change="updated" if nth > 1 or uid == "before" else "created", subject=str(nth))
            await folder.session(house, (new_one, old_one)[nth % 2], token, 2)
            assert folder.subjects["before"] == folder.subjects["u"] == str(nth)
        assert not folder.skipped
        assert max(folder.versions.values()) == seq_of(folder.cursor), "seqs, as the old one must say"
        assert old_one.stop() == 0
        last_daemon_of_before_has_left(house)
        for uid in ("before", "u", "later"):
            house.publish(ADA, uid, change="updated", subject="milliseconds")
        await folder.session(house, new_one, token, 3)
        assert not folder.skipped and set(folder.subjects.values()) == {"milliseconds"}
        assert min(folder.versions.values()) > 10**12

    run(story())


def test_rolled_back_after_milliseconds_a_resync_brings_what_was_skipped(used_house, old):
    """docs/operating.md, Upgrade."""
    house, token, folder = used_house, old_token(old, used_house), Folder()
    house.ctl.run("db", "upgrade")
    new_one, rolled_back = house.daemon(), house.daemon(start=False, program=old / "slotbelld")
    for uid in ("u", "gone"):
        house.publish(ADA, uid, subject="by the new one")
    cancel = "SELECT slotbell.publish(mailbox => %s, uid => 'gone', change => 'cancelled')"

    async def story():
        await folder.session(house, new_one, token, 2)
        assert folder.versions["u"] > 10**12 and new_one.stop() == 0
        rolled_back.start()
        house.publish(ADA, "u", change="updated", subject="by the old one")
        house.publish(ADA, "v", subject="by the old one")
        house.ctl.query(cancel, ADA)
        await folder.session(house, rolled_back, token, 3)
        assert [message["booking"]["uid"] for message in folder.skipped] == ["u", "gone"] and folder.subjects["v"] == "by the old one"
        assert rolled_back.stop() == 0
        last_daemon_of_before_has_left(house)
        new_one.start()
        house.ctl.run("db", "new-epoch")
        with house.connect() as connection:
            for uid in ("u", "v"):
                house.publish(ADA, uid, connection, change="updated", subject="by the old one")
            connection.execute(cancel, (ADA,))
            connection.execute("SELECT slotbell.resync(%s)", (ADA,))
        await folder.session(house, new_one, token, 3)
        assert folder.subjects == {"u": "by the old one", "v": "by the old one", "gone": None} and len(folder.skipped) == 2

    run(story())


def test_the_old_slotbellctl_leaves_the_new_schema_alone(used_house, old):
    house = used_house
    house.ctl.run("db", "upgrade")
    refused = old_ctl(old, house.ctl.url, "db", "upgrade")
    assert refused.returncode == 1 and "newer" in refused.stderr
    with psycopg.connect(house.ctl.url) as connection:
        assert connection.execute("SELECT slotbell.schema_version()").fetchone() == (before.SCHEMA + 1,)


def test_the_new_daemon_asks_for_the_upgrade(used_house, old):
    house, token = used_house, old_token(old, used_house)
    daemon = house.daemon(start=False)
    daemon.start()
    daemon.wait_log("run slotbellctl db upgrade")
    house.ctl.run("db", "upgrade")
    daemon.wait_log('event="database up"')

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            await ring_and_ack(house, client)

    run(story())
