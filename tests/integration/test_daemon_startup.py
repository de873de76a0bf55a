"""slotbelld at a database that it cannot use: it says why, in words for who runs it, waits, and goes on when it is mended."""

import socket
import time

import pytest
from session_client import run

pytest_plugins = ["fixtures_daemon", "fixtures_bouncer"]

ADA = "ada@example.com"
LOGIN = "slotbelld_login"  # as fixtures_daemon makes it
SECONDS = 30


def wait_for_log(daemon, *words):
    """Until a line of the log has all of them."""
    deadline = time.monotonic() + SECONDS
    while True:
        for line in daemon.log_text().splitlines():
            if all(word in line for word in words):
                return line
        assert time.monotonic() < deadline, f"no line with {words} in: {daemon.log_text()}"
        assert daemon.process.poll() is None, f"slotbelld ended: {daemon.log_text()}"
        time.sleep(0.02)


def begin(house, **settings):
    """A daemon that may not find its database usable."""
    daemon = house.daemon(start=False, **settings)
    daemon.start()
    return daemon


def rings(house, daemon, token):
    """A booking goes all the way."""

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            house.publish(ADA)
            await client.ack((await client.receive("booking"))["cursor"])
            await client.receive("acked")

    run(story())


def test_a_database_without_the_schema(house):
    empty = f"{house.name}_empty"
    house.cluster.create_database(empty)
    try:
        daemon = begin(house, database__url=house.cluster.url(empty, LOGIN))
        wait_for_log(daemon, "database problem", f'missing or incomplete in database "{empty}"', "run slotbellctl db init")
        assert daemon.stop() == 0
    finally:
        house.cluster.drop_database(empty)


def test_a_schema_that_is_too_old_and_then_upgraded(house):
    """What slotbellctl wrote down as the newest version is taken away, and comes back."""
    newest = house.ctl.query("DELETE FROM slotbell.migration WHERE version = slotbell.schema_version() RETURNING version, name")[0]
    daemon, token = begin(house), house.enrol(ADA)
    wait_for_log(daemon, f"of version {newest[0] - 1} and too old, this slotbelld needs {newest[0]}", "run slotbellctl db upgrade")
    house.ctl.query("INSERT INTO slotbell.migration VALUES (%s, %s)", *newest)
    wait_for_log(daemon, "database up")
    rings(house, daemon, token)


def test_a_schema_that_is_too_new(house):
    house.ctl.query("INSERT INTO slotbell.migration VALUES (9999, 'from the future')")
    wait_for_log(begin(house), "of version 9999 and too new", "upgrade slotbelld")


def test_a_schema_that_becomes_newer_is_no_reason_to_stop(house):
    """Between `db upgrade` and the daemon's own: it goes on by the connections that it has."""
    daemon, token = house.daemon(), house.enrol(ADA)
    house.ctl.query("INSERT INTO slotbell.migration VALUES (9999, 'from the future')")
    rings(house, daemon, token)
    assert "too new" not in daemon.log_text()


def test_a_role_without_rights_that_is_given_them(house):
    role = f"stranger_{house.name}"
    house.ctl.query(f"CREATE ROLE {role} LOGIN")
    try:
        daemon, token = begin(house, database__url=house.cluster.url(house.name, role)), house.enrol(ADA)
        wait_for_log(daemon, "database problem", "lacks rights", f'GRANT slotbell_daemon TO "{role}"')
        house.ctl.query(f"GRANT slotbell_daemon TO {role}")
        wait_for_log(daemon, "database up")
        rings(house, daemon, token)
        assert daemon.stop() == 0
    finally:
        house.ctl.query(f"DROP ROLE {role}")


def test_a_role_that_may_execute_and_no_more_is_enough(house):
    """LISTEN, NOTIFY and a handful of functions: no table, no view."""
    daemon, token = house.daemon(), house.enrol(ADA)
    rings(house, daemon, token)
    readable = house.ctl.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'slotbell'::regnamespace AND relkind IN ('r', 'v', 'p')"
        " AND has_table_privilege(%s, oid, 'SELECT, INSERT, UPDATE, DELETE')", LOGIN)
    assert readable == []


def test_a_database_that_is_not_there_yet(house):
    late = f"{house.name}_late"
    daemon = begin(house, database__url=house.cluster.url(late, LOGIN))
    wait_for_log(daemon, "database problem", f'database "{late}" does not exist')
    house.cluster.create_database(late)
    try:
        wait_for_log(daemon, "run slotbellctl db init")
        assert daemon.stop() == 0
    finally:
        house.cluster.drop_database(late)


def test_a_server_that_is_not_there_yet(house):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        daemon = begin(house, database__url=f"postgresql://slotbelld@127.0.0.1:{port}/shop")
        wait_for_log(daemon, "database problem", "127.0.0.1: connection to server", "Connection refused")


# ---- PgBouncer, the real one ----


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_pgbouncer_that_hands_connections_around_is_named(house, bouncer, mode):
    with bouncer(mode) as url:
        daemon = begin(house, database__url=url)
        wait_for_log(daemon, "database problem", "PgBouncer in transaction mode")
        assert "database up" not in daemon.log_text()
        assert daemon.stop() == 0


def test_pgbouncer_in_session_mode_serves(house, bouncer):
    with bouncer("session") as url:
        daemon, token = begin(house, database__url=url), house.enrol(ADA)
        wait_for_log(daemon, "database up")
        rings(house, daemon, token)
        assert daemon.stop() == 0
