"""Devices that were not seen for long: nothing is kept for them, and whoever comes back knows it."""

import pytest
from fixtures_sql import publish
from receipts_help import ADA, BOB, ack, age, book, count, counted, execute, floor, hello, sweep, sweep_all

pytest_plugins = ["fixtures_sql"]


@pytest.mark.parametrize("days, stale", [(89, 0), (91, 1)])
def test_a_device_that_was_not_seen_for_long_is_stale(db, days, stale):
    device = db.enrol(ADA)
    hello(db, device)
    age(db, days)
    assert sweep(db)["stale"] == stale
    assert counted(db) == [(1 - stale, 1 - stale)]
    assert sweep(db)["stale"] == 0


def test_a_device_that_never_came_is_as_old_as_its_enrolment(db):
    db.enrol(ADA)
    age(db, 91)
    db.enrol(ADA)
    assert sweep(db)["stale"] == 1
    assert counted(db) == [(1, 1)]


def test_a_session_keeps_its_device_seen_however_long_it_lasts(db):
    device = db.enrol(ADA)
    for _ in range(3):
        age(db, 80)
        db.query("SELECT * FROM slotbell.reconcile(%s)", [device])
        assert sweep(db)["stale"] == 0
    writes = db.one("SELECT xmin::text FROM slotbell.device")
    db.query("SELECT * FROM slotbell.reconcile(%s)", [device])
    assert db.one("SELECT xmin::text FROM slotbell.device") == writes, "once a day"


def test_so_do_short_visits_and_polls(db):
    device = db.enrol(ADA)
    age(db, 91)
    assert hello(db, device, takes_over=False)["session_no"] == 0
    assert sweep(db)["stale"] == 0
    writes = db.one("SELECT xmin::text FROM slotbell.device")
    hello(db, device, takes_over=False)
    assert db.one("SELECT xmin::text FROM slotbell.device") == writes, "once an hour"


def test_for_a_stale_device_nothing_is_held_back_and_nothing_copied(db):
    stale, live = db.enrol(ADA), db.enrol(ADA)
    alone = db.enrol(BOB)
    age(db, 91)
    hello(db, live)
    assert sweep(db)["stale"] == 2
    book(db, "a")
    book(db, "b", mailbox=BOB)
    assert count(db, "event") == 1
    ack(db, live, 1)
    assert sweep(db) | {"next_device": 0} == {"next_mailbox": None, "next_device": 0, "events": 1, "expired": 0, "bookings": 0, "receipts": 0,
                                              "stale": 0, "removed": 0}  # fmt: skip
    assert floor(db) == 0
    assert {stale, alone}.isdisjoint(db.query("SELECT device_id FROM slotbell.receipt"))


def test_a_session_that_ran_all_the_same_ends(db):
    """A clock that jumped, say. Better an end that is seen than a session that hears of nothing."""
    device = db.enrol(ADA)
    number = hello(db, device)["session_no"]
    age(db, 91)
    listening = db.connect()
    listening.execute("LISTEN slotbell_control")
    sweep(db)
    assert next(listening.notifies()).payload == str(device)
    assert db.query("SELECT session_no FROM slotbell.reconcile(%s)", [device]) == [number + 1]


def come_back(db, mailbox=ADA):
    """One live and one stale device, and five events of which the stale one has two."""
    stale, live = db.enrol(mailbox), db.enrol(mailbox)
    book(db, "a", "b", mailbox=mailbox)
    ack(db, stale, 2)
    age(db, 91)
    hello(db, live)
    sweep_all(db)
    book(db, "c", "d", "e", mailbox=mailbox)
    return stale, live


def test_a_stale_device_that_comes_back_is_reset_and_gets_what_comes_then(db):
    stale, live = come_back(db)
    ack(db, live, 5)
    sweep_all(db)
    back = hello(db, stale)
    assert (back["outcome"], back["acked"], back["floor"], back["head"]) == ("ok", 2, 5, 5)
    assert counted(db) == [(2, 2)]
    assert hello(db, stale)["floor"] == 5, "until it has acked that"
    assert hello(db, live)["floor"] == 2, "the other one is none the wiser"
    book(db, "f")
    assert db.query("SELECT seq FROM slotbell.fetch(ARRAY(SELECT id FROM slotbell.mailbox), '{5}', 10, 100000)") == [6]
    ack(db, live, 6)
    assert sweep(db)["events"] == 0, "the one that came back has it to come"


def test_it_is_reset_also_when_it_was_alone_and_no_number_was_given_since(db):
    device = db.enrol(ADA)
    book(db, "a")
    ack(db, device, 1)
    age(db, 91)
    sweep_all(db)
    book(db, "b")
    assert (count(db, "event"), db.one("SELECT head FROM slotbell.mailbox")) == (0, 1), "booked, and not kept"
    back = hello(db, device)
    assert back["floor"] > back["acked"] and back["floor"] == back["head"] == 2
    book(db, "c")
    assert db.seqs(ADA) == [3]
    assert hello(db, device)["head"] == 3


def test_without_that_number_it_would_miss_a_booking_and_not_know(db):
    db.cripple("revive", ("CASE m.device_count WHEN 0 THEN 1 ELSE 0 END", "0"))
    device = db.enrol(ADA)
    book(db, "a")
    ack(db, device, 1)
    age(db, 91)
    sweep_all(db)
    book(db, "b")
    back = hello(db, device)
    assert back["floor"] <= back["acked"], "the remedy is not what makes the difference"


def test_nobody_comes_back_without_the_secret(db):
    stale, _ = come_back(db)
    assert hello(db, stale, proof=b"x")["outcome"] == "unknown"
    assert counted(db) == [(1, 1)]
    execute(db, "UPDATE slotbell.device SET expires_at = now() WHERE id = %s", stale)
    assert hello(db, stale)["outcome"] == "expired"
    assert counted(db) == [(1, 1)]


def test_who_comes_back_while_a_publisher_holds_the_mailbox_is_told_to_come_again(db):
    stale, live = come_back(db)
    other = db.enrol(BOB)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "x")
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    rows = db.query("SELECT item, outcome FROM slotbell.authenticate(%s, ARRAY_FILL((SELECT sha256(decode(repeat('00', 32), 'hex'))), '{3}'),"
                    " '{t,t,f}') ORDER BY item", [stale, other, live])  # fmt: skip
    assert rows == [(2, "ok"), (3, "ok")]
    assert db.one("SELECT session_no FROM slotbell.device WHERE id = %s", stale) == 1
    connection.commit()
    assert hello(db, stale)["floor"] == 6


def test_a_stale_device_can_be_revoked_and_is_counted_once(db):
    stale, live = come_back(db)
    assert db.one("SELECT slotbell.revoke(%s)", stale) is True
    assert counted(db) == [(1, 1)]
    assert db.one("SELECT slotbell.revoke(%s)", live) is True
    assert db.one("SELECT slotbell.revoke(%s)", live) is False
    assert counted(db) == [(0, 0)]


def test_a_stale_device_that_gets_a_new_token_is_stale_until_it_comes(db):
    stale, _ = come_back(db)
    salt = b"s" * 16
    hash_ = db.one("SELECT sha256(%s::bytea || sha256('new'))", salt)
    assert db.one("SELECT slotbell.rotate(%s, %s, %s, NULL)", stale, salt, hash_) is True
    assert counted(db) == [(1, 1)]
    assert hello(db, stale, proof=db.one("SELECT sha256('new')"))["floor"] == 5
    assert counted(db) == [(2, 2)]
