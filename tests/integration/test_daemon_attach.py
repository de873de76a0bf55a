"""End to end: a backend that knows nothing of Slotbell writes to its own table, and its bookings reach sessions."""

import psycopg
import pytest
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA, BOB = "ada@example.com", "bob@example.com"
SHOP = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_owner') THEN
        CREATE ROLE shop_owner LOGIN;
        CREATE ROLE shop_web LOGIN;
    END IF;
END $$;
GRANT slotbell_publisher TO shop_owner;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
"""
TABLE = """
CREATE TABLE shop.bookings (id int PRIMARY KEY, host text, begins timestamptz NOT NULL, minutes int NOT NULL DEFAULT 30,
    title text NOT NULL, state text NOT NULL DEFAULT 'booked');
GRANT USAGE ON SCHEMA shop TO shop_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.bookings TO shop_web;
SELECT slotbell.attach('shop.bookings', mailbox => 'host', uid => 'id', starts_at => 'begins', duration_minutes => 'minutes',
    time_zone => 'Europe/Berlin', subject => 'title', cancelled_when => 'state = ''cancelled''');
"""
INSERT = "INSERT INTO shop.bookings (id, host, begins, title) VALUES (%s, %s, '2031-05-06 09:00+00', %s)"


@pytest.fixture
def shop(house):
    """The house with an attached table; `web` is the backend's connection."""
    with house.connect() as connection:
        connection.execute(SHOP)
    with psycopg.connect(house.cluster.url(house.name, "shop_owner"), autocommit=True) as owner:
        owner.execute(TABLE)
    with psycopg.connect(house.cluster.url(house.name, "shop_web"), autocommit=True) as house.web:
        yield house


def told(bookings):
    """[(change, uid, subject)] as a session was sent them."""
    return [(message["change"], message["booking"]["uid"], message["booking"].get("subject")) for message in bookings]


def test_insert_update_and_delete_of_the_backends_own_reach_their_sessions(shop):
    daemon, ada, bob = shop.daemon(), shop.enrol(ADA), shop.enrol(BOB)

    async def story():
        async with shop.client(daemon, ada) as hers, shop.client(daemon, bob) as his:
            for client in (hers, his):
                await client.welcome()
                await client.receive("live")
            shop.web.execute(INSERT, (1, ADA, "Intro call"))
            (created,) = await hers.bookings(1)
            assert told([created]) == [("created", "1", "Intro call")]
            assert created["booking"]["starts_at"] == "2031-05-06T09:00:00Z" and created["booking"]["starts_local"] == "2031-05-06T11:00:00"
            shop.web.execute("UPDATE shop.bookings SET title = 'Second call'")
            shop.web.execute("UPDATE shop.bookings SET host = %s", (BOB,))
            assert told(await hers.bookings(2)) == [("updated", "1", "Second call"), ("cancelled", "1", None)]
            assert told(await his.bookings(1)) == [("created", "1", "Second call")]
            shop.web.execute("UPDATE shop.bookings SET state = 'cancelled'")
            shop.web.execute("DELETE FROM shop.bookings")
            shop.web.execute(INSERT, (2, BOB, "Another"))
            assert told(await his.bookings(2)) == [("cancelled", "1", None), ("created", "2", "Another")]

    run(story())


def test_a_device_that_was_away_gets_every_change_of_a_booking_in_order(shop):
    daemon, token = shop.daemon(), shop.enrol(ADA)

    async def story():
        async with shop.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            shop.web.execute(INSERT, (1, ADA, "0"))
            (first,) = await client.bookings(1)
            await client.ack(first["cursor"])
            await client.acked(first["cursor"])
        for i in range(1, 100):
            shop.web.execute("UPDATE shop.bookings SET title = %s", (str(i),))
        shop.web.execute("DELETE FROM shop.bookings")
        async with shop.client(daemon, token) as client:
            await client.welcome()
            changes = []
            while len(changes) < 100:
                changes += await client.bookings(1)
                await client.ack(changes[-1]["cursor"])
            assert told(changes) == [("updated", "1", str(i)) for i in range(1, 100)] + [("cancelled", "1", None)]
            assert [message["seq"] for message in changes] == list(range(2, 102))
            versions = [message["booking"]["version"] for message in changes]
            assert versions == sorted(set(versions))

    run(story())


def test_a_plug_in_that_is_enrolled_later_gets_what_is_booked_by_a_resync_and_the_other_one_a_higher_version(shop):
    daemon, old = shop.daemon(), shop.enrol(ADA)
    shop.web.execute(INSERT, (1, ADA, "Intro call"))
    new = shop.enrol(ADA)

    async def story():
        async with shop.client(daemon, new) as hers, shop.client(daemon, old) as other:
            for client in (hers, other):
                await client.welcome()
            await hers.receive("live")
            with psycopg.connect(shop.cluster.url(shop.name, "shop_owner"), autocommit=True) as owner:
                assert owner.execute("SELECT slotbell.resync(mailbox) FROM slotbell.needs_resync").fetchall() == [(1,)]
            (lacked,) = await hers.bookings(1)
            assert lacked["booking"]["uid"] == "1" and lacked["booking"]["subject"] == "Intro call"
            versions = [message["booking"]["version"] for message in await other.bookings(2)]
            assert len(versions) == 2 and versions[0] < versions[1] == lacked["booking"]["version"]

    run(story())
