"""What the daemon's statements lock: devices in one order, so that two daemons never wait for each other."""

import psycopg
import pytest
from fixtures_sql import PROOF
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_sql"]

ADA = "ada@example.com"
STATEMENTS = {
    "ack": lambda devices, epoch: (
        "SELECT count(*) FROM slotbell.ack(%s, %s, %s, '{}', '{}', '{}')", (devices, [epoch] * len(devices), [0] * len(devices))),
    "authenticate": lambda devices, epoch: (
        "SELECT count(*) FROM slotbell.authenticate(%s, %s, %s)", (devices, [PROOF] * len(devices), [True] * len(devices))),
}  # fmt: skip


def batches_of_two_daemons(db, function):
    """Two statements over the same devices, in opposite orders, that meet half-way. How many come through?

    A third party holds the middle one until both wait, each with what it has so far.
    """
    first, middle, last = (db.enrol(ADA) for _ in range(3))
    epoch = db.one("SELECT epoch FROM slotbell.mailbox")
    holder, one, two = db.connect(autocommit=False), db.connect(), db.connect()
    holder.execute("SELECT FROM slotbell.device WHERE id = %s FOR UPDATE", (middle,))
    threads = []
    for daemon, devices in ((one, [first, middle, last]), (two, [last, middle, first])):
        threads.append(in_thread(lambda daemon=daemon, devices=devices: daemon.execute(*STATEMENTS[function](devices, epoch))))
        wait_until("it waits", lambda daemon=daemon: waits_for_a_lock(db, daemon))
    holder.rollback()
    through = 0
    for thread in threads:
        try:
            thread.result()
            through += 1
        except psycopg.errors.DeadlockDetected:
            pass
    return through


@pytest.mark.parametrize("function", STATEMENTS)
def test_batches_of_two_daemons_over_the_same_devices_both_come_through(db, function):
    assert batches_of_two_daemons(db, function) == 2


@pytest.mark.parametrize("function", STATEMENTS)
def test_in_the_order_of_their_sessions_they_would_deadlock(db, function):
    db.cripple(function, ("ORDER BY d.id FOR NO KEY UPDATE", "ORDER BY array_position(devices, d.id) FOR NO KEY UPDATE"))
    assert batches_of_two_daemons(db, function) == 1


# ---- who only asks ----


def asks(connection, devices, takes_over=False):
    """Authenticates them in one statement: what was answered, and whether it wrote anything."""
    with connection.transaction():
        found = connection.execute("SELECT outcome FROM slotbell.authenticate(%s, %s, %s) ORDER BY item",
                                   (devices, [PROOF] * len(devices), [takes_over] * len(devices))).fetchall()
        (number,) = connection.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
    return [outcome for (outcome,) in found], number is not None


def test_who_only_asks_writes_nothing_once_it_was_seen(db):
    device = db.enrol(ADA)
    with db.connect() as connection:
        assert asks(connection, [device]) == (["ok"], True), "when it was seen is written down"
        assert asks(connection, [device]) == (["ok"], False)
        assert asks(connection, [device, device]) == (["ok", "ok"], False)
        assert asks(connection, [device], takes_over=True) == (["ok"], True)
        db.query("UPDATE slotbell.device SET last_seen_at = last_seen_at - interval '61 minutes' RETURNING 1")
        assert asks(connection, [device]) == (["ok"], True), "once an hour"
        assert asks(connection, [device]) == (["ok"], False)


def test_who_only_asks_waits_for_nobody(db):
    asker, taken = db.enrol(ADA), db.enrol(ADA)
    with db.connect() as connection, db.connect(autocommit=False) as holder:
        asks(connection, [asker, taken])
        holder.execute("SELECT FROM slotbell.device WHERE id = %s FOR UPDATE", (taken,))
        connection.execute("SET lock_timeout = '10s'")  # it would wait for ever
        assert asks(connection, [asker, taken]) == (["ok", "ok"], False)
        holder.rollback()
