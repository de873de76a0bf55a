"""Retention: what goes when, who is told, and whom the sweep never makes wait; each limit at, below and above."""

import psycopg
import pytest
from fixtures_sql import publish
from receipts_help import ADA, ack, age, book, count, epoch, execute, floor, hello, sweep, sweep_all

pytest_plugins = ["fixtures_sql"]


# ---- events that everybody has ----


def test_an_event_goes_when_the_last_device_has_acked_it(db):
    one, two = db.enrol(ADA), db.enrol(ADA)
    book(db, "a", "b", "c")
    ack(db, one, 3)
    assert sweep(db)["events"] == 0
    ack(db, two, 2)
    assert sweep(db)["events"] == 2
    assert db.seqs(ADA) == [3]
    assert floor(db) == 0, "nobody misses them"
    ack(db, two, 3)
    assert sweep(db)["events"] == 1


def test_what_was_just_booked_stays_for_a_moment(db):
    """Whoever reads along, as `slotbellctl tail` does, is to see it."""
    device = db.enrol(ADA)
    book(db, "a")
    ack(db, device, 1)
    assert sweep(db, grace_seconds=3600)["events"] == 0
    execute(db, "UPDATE slotbell.event SET published_at = published_at - interval '1 hour'")
    assert sweep(db, grace_seconds=3600)["events"] == 1


def test_a_revoked_device_holds_nothing_back(db):
    one, two = db.enrol(ADA), db.enrol(ADA)
    book(db, "a")
    ack(db, one, 1)
    db.query("SELECT slotbell.revoke(%s)", two)
    assert sweep(db)["events"] == 1
    assert db.query("SELECT device_id FROM slotbell.receipt") == [one]


def test_with_the_last_device_all_events_go(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    db.query("SELECT slotbell.revoke(%s)", device)
    assert sweep(db)["events"] == 2
    late = db.enrol(ADA)
    book(db, "c")
    assert db.seqs(ADA) == [3] and hello(db, late)["floor"] == 0


def test_an_event_without_a_number_is_never_touched(db):
    device = db.enrol(ADA)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "a")
    db.query("SELECT slotbell.revoke(%s)", device)
    assert sweep(db)["events"] == 0
    connection.rollback()


# ---- events that are past their time ----


def test_an_event_that_is_past_its_time_goes_and_who_comes_too_late_is_told(db):
    quick, slow = db.enrol(ADA), db.enrol(ADA)
    book(db, "a", "b")
    ack(db, quick, 1)
    age(db, 14)
    book(db, "c")
    assert sweep_all(db)["expired"] == 3
    assert db.seqs(ADA) == [3]
    assert floor(db) == 2
    assert hello(db, slow)["floor"] == 2 and hello(db, slow)["acked"] == 0
    assert db.query("SELECT device_id, seq, reason FROM slotbell.receipt ORDER BY 1, 2") == [
        (quick, 1, None), (quick, 2, "expired"), (slow, 1, "expired"), (slow, 2, "expired")]  # fmt: skip


@pytest.mark.parametrize("days, gone", [(13.99, 0), (14.01, 1)])
def test_the_retention_is_as_long_as_it_says(db, days, gone):
    db.enrol(ADA)
    book(db, "a")
    execute(db, "UPDATE slotbell.event SET published_at = published_at - make_interval(secs => %s * 86400)", days)
    assert sweep_all(db)["events"] == gone
    assert floor(db) == gone


def test_the_floor_is_raised_before_anything_goes(db):
    """Two transactions: whoever sees the gap sees the floor."""
    db.enrol(ADA)
    book(db, "a")
    age(db, 15)
    assert sweep(db)["events"] == 0
    assert floor(db) == 1 and db.seqs(ADA) == [1]
    assert sweep(db)["events"] == 1


def test_no_floor_is_raised_where_everybody_has_everything(db):
    device = db.enrol(ADA)
    book(db, "a")
    ack(db, device, 1)
    age(db, 15)
    before = db.one("SELECT xmin::text FROM slotbell.mailbox")
    sweep_all(db)
    assert db.seqs(ADA) == []
    assert db.one("SELECT xmin::text FROM slotbell.mailbox") == before, "and its row is left alone"


def test_an_ack_that_comes_after_all_is_saved(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    age(db, 15)
    book(db, "c")
    sweep_all(db)
    assert ack(db, device, 3) == ("saved", 3)
    assert db.query("SELECT seq, reason FROM slotbell.receipt ORDER BY 1") == [(1, "expired"), (2, "expired"), (3, None)]


# ---- nobody waits ----


def test_a_publisher_that_holds_a_mailbox_holds_no_sweep_up(db):
    """SET CONSTRAINTS makes a transaction hold its mailbox from then on."""
    db.enrol(ADA)
    book(db, "a")
    age(db, 15)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "b")
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    sweeper = db.connect()
    sweeper.execute("SET lock_timeout = 1")
    assert sweep(db, sweeper)["events"] == 0
    assert floor(db) == 0, "it has its turn when it is free"
    connection.commit()
    assert sweep_all(db)["events"] == 1
    assert floor(db) == 1 and db.seqs(ADA) == [2]


def test_a_sweep_that_deletes_holds_no_publisher_up(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    ack(db, device, 1)
    sweeper = db.connect(autocommit=False)
    assert sweep(db, sweeper)["events"] == 1
    publisher = db.connect()
    publisher.execute("SET lock_timeout = 1")
    publish(publisher, ADA, "c")
    publish(publisher, ADA, "a", ", change => 'updated', details => '{\"location\": \"x\"}'")
    sweeper.commit()
    assert db.seqs(ADA) == [2, 3, 4]


def test_a_booking_that_is_being_changed_is_left_for_the_next_time(db):
    db.enrol(ADA)
    book(db, "a")
    age(db, 1000)
    connection = db.connect(autocommit=False)
    connection.execute("SELECT FROM slotbell.booking_state FOR UPDATE")
    sweeper = db.connect()
    sweeper.execute("SET lock_timeout = 1")
    assert sweep(db, sweeper)["bookings"] == 0
    connection.rollback()
    assert sweep(db)["bookings"] == 1


# ---- in batches ----


@pytest.mark.parametrize("rows, steps", [(2, [2, 2, 1]), (4, [4, 1]), (5, [5, 0]), (6, [5])])
def test_a_step_deletes_no_more_than_it_may_and_goes_on_where_it_was(db, rows, steps):
    device = db.enrol(ADA)
    book(db, *"abcde")
    ack(db, device, 5)
    found, after = [], 0
    while after is not None:
        step = sweep(db, max_rows=rows, after_mailbox=after)
        found.append(step["events"])
        after = step["next_mailbox"]
    assert found == steps


def test_a_round_goes_through_every_mailbox_with_events(db):
    mailboxes = [f"m{i}@example.com" for i in range(7)]
    for mailbox in mailboxes:
        db.enrol(mailbox)
    for mailbox in mailboxes[::2]:
        book(db, "a", mailbox=mailbox)
    ids = db.query("SELECT DISTINCT mailbox_id FROM slotbell.event ORDER BY 1")
    places, after = [], 0
    while after is not None:
        after = sweep(db, max_mailboxes=2, after_mailbox=after)["next_mailbox"]
        places.append(after)
    assert places == [ids[1], ids[3], None]


def test_devices_are_gone_through_a_few_at_a_time(db):
    devices = [db.enrol(ADA) for _ in range(5)]
    assert sweep(db, max_rows=2)["next_device"] == devices[1]
    assert sweep(db, max_rows=2, after_device=devices[1])["next_device"] == devices[3]
    assert sweep(db, max_rows=2, after_device=devices[3])["next_device"] == 0
    assert sweep(db, max_rows=5)["next_device"] == devices[4]
    assert sweep(db, max_rows=6)["next_device"] == 0


def test_a_step_over_full_tables_uses_their_indexes(db):
    with db.connect() as connection:
        connection.execute("INSERT INTO slotbell.mailbox (address, epoch, system_id, timeline, head, device_count)"
                           " SELECT 'm' || i || '@example.com', 'aaa', 0, 1, 5, 1 FROM generate_series(1, 20000) i")  # fmt: skip
        connection.execute("INSERT INTO slotbell.device (mailbox_id, salt, hash, acked)"
                           " SELECT id, decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), id % 5 FROM slotbell.mailbox")  # fmt: skip
        connection.execute("ALTER TABLE slotbell.event DISABLE TRIGGER number_events")
        connection.execute("INSERT INTO slotbell.event (mailbox_id, seq, change, uid, octets, published_at)"
                           " SELECT id, s, 'created', 'u' || id || '-' || s, 200, now() - interval '1 hour' FROM slotbell.mailbox, generate_series(1, 5) s")  # fmt: skip
        connection.execute("ALTER TABLE slotbell.event ENABLE TRIGGER number_events")
        connection.execute("INSERT INTO slotbell.booking_state (mailbox_id, uid, seq, state_hash, cancelled, ends_at)"
                           " SELECT mailbox_id, uid, seq, '', false, now() - interval '100 days' * (random() > 0.9)::int FROM slotbell.event")  # fmt: skip
        connection.execute("INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at)"
                           " SELECT mailbox_id, seq, mailbox_id, uid, change, published_at - interval '100 days' * (random() > 0.9)::int"
                           " FROM slotbell.event")  # fmt: skip
        connection.execute("ANALYZE")
    connection = db.connect()
    connection.execute("LOAD 'auto_explain'")
    for setting in ("log_min_duration = 0", "log_nested_statements = on", "log_analyze = on", "log_timing = off"):
        connection.execute(f"SET auto_explain.{setting}")
    connection.execute("SET client_min_messages = log")
    plans = []
    connection.add_notice_handler(lambda notice: plans.append(notice.message_primary))
    step = sweep(db, connection, max_mailboxes=50)
    connection.execute("SELECT * FROM slotbell.delivery_of('u77-2', 'm77@example.com')").fetchall()
    connection.execute("SELECT count(*) FROM slotbell.delivery WHERE uid = 'u77-2'")
    text = "\n".join(plans)
    assert step["events"] == 100 and step["bookings"] == step["receipts"] == 100
    for table in ("event", "device", "mailbox", "booking_state", "receipt"):
        assert f"Seq Scan on {table}" not in text, text
    for wanted in ("event_seq", "receipt_published", "booking_state_ends", "device_mailbox", "receipt_uid", "booking_state_uid", "Tid Scan on event"):
        assert wanted in text, text


# ---- what outlives events ----


@pytest.mark.parametrize("days, gone", [(89, 0), (91, 1)])
def test_what_dedupe_needs_is_kept_until_long_after_the_meeting(db, days, gone):
    device = db.enrol(ADA)
    connection = db.connect()
    connection.execute("SELECT slotbell.publish(mailbox => %s, uid => 'a', starts_at => now() + interval '10 days', duration_minutes => 1440,"
                       " time_zone => 'UTC', subject => 'x')", (ADA,))  # fmt: skip
    ack(db, device, 1)
    age(db, 11 + days)
    assert sweep_all(db)["bookings"] == gone


def test_a_booking_of_the_past_is_kept_as_long_after_it_was_published(db):
    """Its receipts are: whoever finds them by uid finds it."""
    db.enrol(ADA)
    connection = db.connect()
    connection.execute("SELECT slotbell.publish(mailbox => %s, uid => 'a', starts_at => '2900-01-01', duration_minutes => 1, time_zone => 'UTC',"
                       " subject => 'x')", (ADA,))  # fmt: skip
    connection.execute("SELECT slotbell.publish(mailbox => %s, uid => 'b', starts_at => '2001-01-01', duration_minutes => 1, time_zone => 'UTC',"
                       " subject => 'x')", (ADA,))  # fmt: skip
    connection.execute("SELECT slotbell.publish(mailbox => %s, uid => 'c', change => 'cancelled')", (ADA,))
    assert sweep_all(db)["bookings"] == 0
    age(db, 89)
    assert sweep_all(db)["bookings"] == 0
    age(db, 2)
    assert sweep_all(db)["bookings"] == 2
    assert db.query("SELECT uid FROM slotbell.booking_state") == ["a"], "that one is still to come"


@pytest.mark.parametrize("days, gone", [(89, 0), (91, 2)])
def test_receipts_go_when_their_time_is_over(db, days, gone):
    one, two = db.enrol(ADA), db.enrol(ADA)
    book(db, "a")
    ack(db, one, 1)
    ack(db, two, 1)
    age(db, days)
    assert sweep_all(db, stale_days=3650)["receipts"] == gone


def test_no_plug_in_no_copy(db):
    book(db, "a")
    assert [count(db, table) for table in ("event", "booking_state", "receipt", "mailbox")] == [0, 0, 0, 0]


# ---- the last of it ----


@pytest.mark.parametrize("days, gone", [(89, 0), (91, 1)])
def test_a_revoked_device_goes_and_with_the_last_one_its_mailbox(db, days, gone):
    device = db.enrol(ADA)
    book(db, *"abcde")
    ack(db, device, 3)
    db.query("SELECT slotbell.revoke(%s)", device)
    age(db, days)
    assert sweep_all(db, max_rows=2)["removed"] == gone
    assert (count(db, "device"), count(db, "mailbox")) == (1 - gone, 1 - gone)
    assert count(db, "booking_state") == (0 if gone else 5), "though the meetings are still to come"
    fresh = db.enrol(ADA)
    book(db, "f")
    assert hello(db, fresh)["head"] == (1 if gone else 6)


def test_a_mailbox_that_another_device_is_in_stays(db):
    revoked, live = db.enrol(ADA), db.enrol(ADA)
    book(db, "a")
    db.query("SELECT slotbell.revoke(%s)", revoked)
    age(db, 91)
    hello(db, live)
    assert sweep_all(db)["removed"] == 1
    assert (count(db, "device"), count(db, "mailbox")) == (1, 1)


def test_a_booking_that_is_made_while_its_mailbox_goes_is_to_be_made_again(db):
    """And not lost in a mailbox that is no more, while a new one has a device."""
    device = db.enrol(ADA)
    db.query("SELECT slotbell.revoke(%s)", device)
    age(db, 91)
    connection = db.connect(autocommit=False)
    publish(connection, ADA, "a")
    assert sweep(db)["removed"] == 1
    db.enrol(ADA)
    with pytest.raises(psycopg.errors.SerializationFailure):
        connection.commit()
    publish(connection, ADA, "a")
    connection.commit()
    assert db.seqs(ADA) == [1]


def test_an_epoch_is_none_of_the_sweeps_business(db):
    one, two = db.enrol(ADA), db.enrol(ADA)
    book(db, "a", "b")
    ack(db, one, 1)
    db.query("SELECT slotbell.new_epoch()")
    book(db, "c")
    old = epoch(db, ADA)
    ack(db, two, 1000003)
    assert sweep_all(db)["events"] == 1
    assert db.seqs(ADA) == [2, 1000003]
    assert epoch(db, ADA) == old
