"""Numbers: in commit order, without holes, never twice; each trap also with its remedy taken out."""

import threading
import time

import psycopg
import pytest
from fixtures_sql import HASH, SALT, SECONDS, Database, apply_schema, publish

pytest_plugins = ["fixtures_sql"]

ADA, BOB = "ada@example.com", "bob@example.com"
IMMEDIATE = (
    "DROP TRIGGER number_events ON slotbell.event;"
    "CREATE TRIGGER number_events AFTER INSERT ON slotbell.event FOR EACH ROW EXECUTE FUNCTION slotbell.number_events()"
)


def wait_until(what, condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        threading.Event().wait(0.01)


def in_thread(work):
    """Runs `work` beside; .result() waits for it and gives what it returned or raised."""
    box = {}

    def run():
        try:
            box["value"] = work()
        except Exception as error:  # noqa: BLE001 - handed on
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(SECONDS)
        assert not thread.is_alive(), "still waiting"
        if "error" in box:
            raise box["error"]
        return box.get("value")

    thread.result = result
    return thread


def waits_for_a_lock(db, connection):
    pid = connection.info.backend_pid
    return db.one("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", pid) == 1


# ---- two transactions over two mailboxes, in opposite order ----


def opposite_orders(db):
    """Returns how many of the two transactions came through."""
    one, two = db.connect(autocommit=False), db.connect(autocommit=False)
    publish(one, ADA, "1a")

    def other():
        publish(two, BOB, "2b")
        publish(two, ADA, "2a")
        two.commit()

    thread = in_thread(other)
    wait_until("the second transaction is done or waits", lambda: not thread.is_alive() or waits_for_a_lock(db, two))
    through = 0
    try:
        publish(one, BOB, "1b")
        one.commit()
        through += 1
    except psycopg.errors.DeadlockDetected:
        one.rollback()
    try:
        thread.result()
        through += 1
    except psycopg.errors.DeadlockDetected:
        two.rollback()
    return through


def test_two_transactions_over_two_mailboxes_in_opposite_order_both_commit(db):
    db.enrol(ADA)
    db.enrol(BOB)
    assert opposite_orders(db) == 2
    assert db.seqs(ADA) == [1, 2] and db.seqs(BOB) == [1, 2]


def test_numbers_given_inside_publish_would_deadlock(db):
    db.enrol(ADA)
    db.enrol(BOB)
    db.connect().execute(IMMEDIATE)
    assert opposite_orders(db) == 1


# ---- commit order ----


def test_who_commits_first_has_the_lower_number(db):
    db.enrol(ADA)
    early, late = db.connect(autocommit=False), db.connect(autocommit=False)
    publish(early, ADA, "began first")
    publish(late, ADA, "began second")
    late.commit()
    early.commit()
    assert db.query("SELECT uid FROM slotbell.event ORDER BY seq") == ["began second", "began first"]


def entries_read(db, count):
    """How many entries of the index of unnumbered events a commit of so many bookings reads."""
    connection = db.connect(autocommit=False)
    connection.execute(f"SELECT count(slotbell.publish('{ADA}', 'u' || i, '2026-11-24 09:00+00', 30, 'UTC', 'Intro call')) FROM generate_series(1, %s) i", (count,))
    connection.commit()
    connection.close()  # tells its statistics
    read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'event_unnumbered'"
    wait_until("the statistics are told", lambda: db.one(read) > 0)
    assert db.seqs(ADA) == list(range(1, count + 1))
    return db.one(read)


def test_the_work_of_a_commit_grows_with_its_bookings_and_not_with_their_square(db):
    db.enrol(ADA)
    assert entries_read(db, 500) < 10 * 500


def test_looking_for_all_that_are_left_each_time_it_would(db):
    db.enrol(ADA)
    db.cripple("number_events", ("RETURN NULL;\n    END IF;", "NULL;\n    END IF;"))
    assert entries_read(db, 500) > 500 * 500


def test_writers_that_commit_and_roll_back_leave_a_gapless_row_that_readers_only_see_grow(db):
    mailboxes = [f"m{i}@example.com" for i in range(5)]
    for mailbox in mailboxes:
        db.enrol(mailbox)
    ids = db.query("SELECT id FROM slotbell.mailbox ORDER BY id")
    done = threading.Event()

    def read():
        reader, seen = db.connect(), 0
        while not done.is_set():
            rows = reader.execute(
                "SELECT mailbox_id, head, seq FROM slotbell.fetch(%s, %s, 10000, 100000000)", (ids, [0] * len(ids))
            ).fetchall()
            for one in ids:
                seqs = [seq for mailbox, _, seq in rows if mailbox == one and seq]
                head = next(head for mailbox, head, _ in rows if mailbox == one)
                assert seqs == list(range(1, head + 1)), "a number was seen before the one below it"
                seen += 1
        return seen

    def write(writer):
        connection, committed = db.connect(autocommit=False), 0
        for i in range(40):
            for mailbox in mailboxes if (writer + i) % 2 else reversed(mailboxes):
                publish(connection, mailbox, f"{writer}-{i}")
            if i % 3 == 0:
                connection.rollback()
            else:
                connection.commit()
                committed += 1
        return committed

    reader = in_thread(read)
    writers = [in_thread(lambda w=w: write(w)) for w in range(4)]
    committed = sum(writer.result() for writer in writers)
    done.set()
    assert reader.result() > 0
    for mailbox in mailboxes:
        assert db.seqs(mailbox) == list(range(1, committed + 1))


# ---- enrolment while a booking commits ----


def enrol_during_a_booking_for_an_unknown_address(db):
    """True if the enrolment waits for the booking, so that it is not before it; then nothing can be missed."""
    booking = db.connect(autocommit=False)
    assert publish(booking, ADA, "u") is None
    enrolling = db.connect()
    thread = in_thread(lambda: enrolling.execute("SELECT slotbell.enrol(%s, '', NULL, %s, %s)", (ADA, SALT, HASH)))
    wait_until("the enrolment is done or waits", lambda: not thread.is_alive() or waits_for_a_lock(db, enrolling))
    waited = thread.is_alive()
    booking.commit()
    thread.result()
    return waited


def test_an_enrolment_waits_for_bookings_that_were_told_that_nobody_is_there(db):
    assert enrol_during_a_booking_for_an_unknown_address(db)


def test_without_the_lock_a_booking_that_commits_after_the_enrolment_would_be_lost(db):
    db.cripple("publish", ("PERFORM slotbell.hold_off_enrolment(at_address);", ""))
    assert not enrol_during_a_booking_for_an_unknown_address(db)
    assert db.seqs(ADA) == []


MANY_STRANGERS = (
    "SELECT count(slotbell.publish('m' || i || '@example.com', 'u', '2026-11-24 09:00+00', 30, 'UTC', 'Intro call'))"
    " FROM generate_series(1, 20000) i"
)


def test_one_transaction_may_book_for_any_number_of_addresses_that_nobody_enrolled(db):
    connection = db.connect(autocommit=False)
    connection.execute(MANY_STRANGERS)
    held = connection.execute("SELECT count(*) FROM pg_locks WHERE relation::regclass::text ~ 'address_lock' AND pid = pg_backend_pid()").fetchone()[0]
    assert held == 16
    connection.commit()


def test_with_a_lock_for_each_address_the_table_of_locks_would_overflow(db):
    db.cripple("publish", ("slotbell.hold_off_enrolment(at_address)", "pg_advisory_xact_lock_shared(hashtextextended(at_address, 0))"))
    with pytest.raises(psycopg.errors.OutOfMemory):
        db.connect().execute(MANY_STRANGERS)


def enrol_during_a_booking_for_a_known_address(db):
    """True if the booking, which commits after the enrolment, is delivered."""
    db.query("SELECT slotbell.revoke(%s)", db.enrol(ADA))
    booking = db.connect(autocommit=False)
    publish(booking, ADA, "u")
    device = db.enrol(ADA)
    booking.commit()
    acked = db.one("SELECT acked FROM slotbell.devices WHERE id = %s", device)
    return [seq for seq in db.seqs(ADA) if seq > acked] != []


def test_a_booking_that_commits_after_an_enrolment_is_its(db):
    assert enrol_during_a_booking_for_a_known_address(db)


def test_looking_for_devices_before_the_commit_would_lose_it(db):
    db.cripple("publish", ("WHERE m.address = at_address", "WHERE m.address = at_address AND m.device_count > 0"))
    assert not enrol_during_a_booking_for_a_known_address(db)


def test_an_enrolment_that_rolls_back_rings_nobody(db):
    db.query("SELECT slotbell.revoke(%s)", db.enrol(ADA))
    enrolling = db.connect(autocommit=False)
    enrolling.execute("SELECT slotbell.enrol(%s, '', NULL, %s, %s)", (ADA, SALT, HASH))
    booking = db.connect()
    thread = in_thread(lambda: publish(booking, ADA, "u"))
    wait_until("the booking's commit waits for the enrolment", lambda: waits_for_a_lock(db, booking))
    enrolling.rollback()
    thread.result()
    assert db.seqs(ADA) == []


# ---- no number twice ----


def promoted_standby(primary, crippled):
    """A standby that had not heard of the last three of five bookings is promoted, and two more are booked."""
    url = primary.create_database("failover")
    apply_schema(url)
    before = Database(url, primary, "failover")
    if crippled:
        before.cripple("history", ("system_identifier", "0::bigint"), ("substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", "'00000001'"))
    before.enrol(ADA)
    connection = before.connect()
    for uid in ("1", "2"):
        publish(connection, ADA, uid)
    with primary.standby() as standby:
        after = Database(standby.url("failover"), standby, "failover")
        # What the standby hears no more of: its receiver is stopped, the bookings go on.
        standby.psql("ALTER SYSTEM SET primary_conninfo = ''")
        standby.reload()
        wait_until("the standby receives no more", lambda: primary.psql("SELECT count(*) FROM pg_stat_replication") == "0")
        for uid in ("3", "4", "5"):
            publish(connection, ADA, uid)
        lost = dict(before.query("SELECT seq, uid FROM slotbell.event WHERE seq > 2"))
        epoch = before.one("SELECT epoch FROM slotbell.mailbox")
        before.close()
        standby.promote()
        connection = after.connect()
        publish(connection, ADA, "6")
        publish(connection, ADA, "7")
        numbering = after.query("SELECT head, base, epoch, previous_epoch FROM slotbell.mailbox")[0]
        events = dict(after.query("SELECT seq, uid FROM slotbell.event"))
        judged = {
            seq: after.query("SELECT outcome FROM slotbell.ack('{1}', %s, %s, '{}', '{}', '{}')", [epoch], [seq])[0] for seq in (2, 3, 5)
        }
        after.close()
    return lost, epoch, numbering, events, judged


@pytest.fixture
def primary():
    from pgcluster import PgCluster

    with PgCluster(settings={"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}) as cluster:
        yield cluster


def test_a_promoted_standby_that_had_lagged_gives_no_number_twice(primary):
    lost, epoch, (head, base, new_epoch, previous_epoch), events, judged = promoted_standby(primary, crippled=False)
    assert set(lost) == {3, 4, 5}
    assert events == {1: "1", 2: "2", 1000003: "6", 1000004: "7"}
    assert (head, base, previous_epoch) == (1000004, 2, epoch)
    assert new_epoch != epoch
    # a client of the old history goes on from what survived, and is not taken for one of the new
    assert judged == {2: "saved", 3: "stale", 5: "stale"}


def test_without_looking_at_the_timeline_numbers_would_be_given_twice(primary):
    lost, _, _, events, _ = promoted_standby(primary, crippled=True)
    assert set(lost) & set(events), "the remedy is not what makes the difference"


def test_a_new_epoch_by_hand_leaves_room_and_keeps_what_is_there(db):
    db.enrol(ADA)
    connection = db.connect()
    publish(connection, ADA, "1")
    epoch = db.one("SELECT epoch FROM slotbell.mailbox")
    assert db.one("SELECT slotbell.new_epoch()") == 1
    publish(connection, ADA, "2")
    assert db.seqs(ADA) == [1, 1000002]
    assert db.query("SELECT base, previous_epoch FROM slotbell.mailbox") == [(1, epoch)]
