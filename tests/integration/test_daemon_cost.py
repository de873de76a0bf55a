"""What a daemon's sessions cost the database, by the database's own count of the functions that it ran."""

import contextlib
import os
import subprocess
import time

from crowd import Crowd, enrol
from ctl_support import wait_until
from store_help import Proxy

pytest_plugins = ["fixtures_daemon"]

HELLOS = 5000 if "SLOTBELL_LONG" in os.environ else 600
# A backend that commits one booking after the other, with nobody's round trip in between.
BOOK = """CREATE PROCEDURE public.book(writer int, bookings int, mailboxes int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..bookings LOOP
        PERFORM slotbell.publish(
            mailbox => format('box%s@example.com', (n * writer) % mailboxes), uid => format('%s-%s', writer, n),
            starts_at => '2027-03-01 09:00+00', duration_minutes => 30, time_zone => 'Europe/Berlin', subject => 'Intro call');
        COMMIT;
    END LOOP;
END $$"""


@contextlib.contextmanager
def crowd_at(house, count, **settings):
    """A daemon and so many live sessions, counted from the first statement on."""
    house.ctl.query(f"ALTER DATABASE {house.name} SET track_functions = 'all'")
    with house.connect() as connection:
        tokens = enrol(connection, [f"box{n}@example.com" for n in range(count)])
    daemon = house.daemon(sessions__hello_seconds=300, **settings)
    with Crowd(daemon, tokens) as crowd:
        crowd.hello()
        crowd.until(crowd.all_live)
        yield crowd


def statements(house):
    """{function: calls}, of a daemon that has ended: a backend tells what it counted when it goes."""
    assert house.daemons[-1].stop() == 0
    wait_until(lambda: house.ctl.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'slotbelld_login' AND datname = current_database()") == [0],
               "its backends are gone")
    found = dict(house.ctl.query("SELECT funcname, calls FROM pg_stat_user_functions WHERE schemaname = 'slotbell'"))
    return {name: found.get(name, 0) for name in ("authenticate", "next_events", "ack", "reconcile")}


def test_thousands_of_hellos_at_once_cost_few_statements(house):
    with crowd_at(house, HELLOS):
        pass
    found = statements(house)
    print(f"{HELLOS} hellos at once: {found}")
    assert found["authenticate"] >= 1 and found["next_events"] >= 1, "they were not counted"
    # How many wait together depends on how fast they come: on a busy machine 32 statements were seen for 600. One each would be 1,200.
    assert sum(found.values()) <= HELLOS / 10, found


def test_bookings_under_load_cost_a_tenth_of_a_statement_each(house):
    """The database is 5 ms away, as another host's is, and bookings come as fast as three backends commit them."""

    def slow():
        def reply(data):
            time.sleep(0.005)
            return data

        return reply

    mailboxes, writers, bookings = 100, 3, 1000
    house.ctl.query(BOOK)
    tcp = f"host=127.0.0.1&user=slotbelld_login&password={house.cluster.password}&sslmode=disable"
    house.ctl.query(f"ALTER ROLE slotbelld_login PASSWORD '{house.cluster.password}'")
    with Proxy(house.cluster.port, slow) as proxy:
        with crowd_at(house, mailboxes, database__url=f"postgresql:///{house.name}?{tcp}&port={proxy.port}") as crowd:
            begun = time.monotonic()
            backends = [subprocess.Popen([f"{house.cluster.bin}/psql", "-X", "-q", "-c", f"CALL book({n}, {bookings}, {mailboxes})",
                                          house.ctl.url]) for n in range(1, writers + 1)]  # fmt: skip
            crowd.until(lambda: crowd.events() == writers * bookings)
            seconds = time.monotonic() - begun
            assert [backend.wait() for backend in backends] == [0] * writers
            before = house.ctl.query("SELECT count(*) FROM slotbell.devices WHERE acked < head")
            crowd.until(lambda: house.ctl.query("SELECT count(*) FROM slotbell.devices WHERE acked < head") == [0])
    found = statements(house)
    each = sum(found.values()) / (writers * bookings)
    print(f"{writers * bookings / seconds:.0f} bookings a second to {mailboxes} sessions: {found}, {each:.3f} a booking; {before[0]} unacked")
    # On a machine that cannot book 400 a second there is no load: then statements keep their distance all the same.
    assert each <= max(0.1, 40 * seconds / (writers * bookings)), found
