"""Receipts: what became of each event at each device, and who is on now."""

import threading

import psycopg
import pytest
from fixtures_sql import Database, apply_schema
from pgcluster import PgCluster
from receipts_help import ADA, BOB, ack, age, book, epoch, hello, sweep_all

pytest_plugins = ["fixtures_sql"]

SECOND = 1_000_000


def receipts(db):
    return db.query("SELECT seq, device_id, uid, change, extract(epoch FROM sent_at)::float8, done_at IS NOT NULL, reason"
                    " FROM slotbell.receipt ORDER BY device_id, seq")  # fmt: skip


def states(db, uid, mailbox=None):
    return db.query("SELECT mailbox, seq, device, state, reason FROM slotbell.delivery_of(%s, %s)", uid, mailbox or ADA)


# ---- acks leave receipts ----


def test_an_ack_leaves_a_receipt_for_every_event_that_it_covers(db):
    device = db.enrol(ADA)
    book(db, "a", "b", "c")
    assert ack(db, device, 2, sent={1: 10 * SECOND, 2: 11 * SECOND + 500_000}) == ("saved", 2)
    assert receipts(db) == [(1, device, "a", "created", 10.0, True, None), (2, device, "b", "created", 11.5, True, None)]
    assert ack(db, device, 3, sent={3: 12 * SECOND}) == ("saved", 3)
    assert receipts(db)[2:] == [(3, device, "c", "created", 12.0, True, None)]
    published, receipt = db.query("SELECT e.published_at, r.published_at FROM slotbell.event e JOIN slotbell.receipt r USING (mailbox_id, seq) LIMIT 1")[0]
    assert published == receipt


def test_an_ack_of_a_session_that_was_taken_over_is_not_taken(db):
    """The newer one was told where it starts: that stays so. Who says no number acks all the same."""
    device = db.enrol(ADA)
    book(db, "a", "b", "c")
    db.query("UPDATE slotbell.device SET session_no = 7 RETURNING 1")
    assert ack(db, device, 1, {1: "conflict"}, session_no=7) == ("saved", 1)
    assert ack(db, device, 2, {2: "conflict"}, session_no=6) == ("replaced", 1)
    assert [(row[0], row[-1]) for row in receipts(db)] == [(1, "conflict")]
    assert ack(db, device, 2, session_no=8) == ("saved", 2), "numbers may go back, after a failover"
    assert ack(db, device, 3) == ("saved", 3)


def test_an_ack_that_says_nothing_new_leaves_none(db):
    device = db.enrol(ADA)
    book(db, "a")
    ack(db, device, 1, sent={1: SECOND})
    before = db.query("SELECT ctid::text, xmin::text FROM slotbell.receipt")
    assert ack(db, device, 1) == ("saved", 1) and ack(db, device, 0) == ("saved", 1)
    assert ack(db, device, 2)[0] == "stale"
    assert db.query("SELECT ctid::text, xmin::text FROM slotbell.receipt") == before


def test_each_item_of_a_batch_has_its_own_times(db):
    ada, bob, third = db.enrol(ADA), db.enrol(BOB), db.enrol(ADA)
    book(db, "a", "b")
    book(db, "x", "y", mailbox=BOB)
    db.query("SELECT * FROM slotbell.ack(%s, %s, '{2,1,2}', '{}', '{}', '{}', '{}', '{1,0,2}', '{2,0,1}', '{1000000,2000000,3000000}')",
             [ada, bob, third], [epoch(db, ADA), epoch(db, BOB), epoch(db, ADA)])  # fmt: skip
    assert [(r[0], r[1], r[4]) for r in receipts(db)] == [(1, ada, 1.0), (2, ada, 2.0), (1, bob, None), (1, third, None), (2, third, 3.0)]


def test_two_acks_of_a_device_in_one_batch_leave_one_receipt_for_each_event(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    e = epoch(db, ADA)
    rows = db.query("SELECT outcome, acked FROM slotbell.ack(%s, %s, '{1,2}', '{}', '{}', '{}', '{}', '{1,1}', '{1,2}', '{5000000,6000000,7000000}')",
                    [device, device], [e, e])  # fmt: skip
    assert rows == [("saved", 2), ("saved", 2)]
    assert [(r[0], r[4]) for r in receipts(db)] == [(1, 6.0), (2, 7.0)]


def test_acks_without_times_are_as_good(db):
    """hello's cursor is an ack of what an earlier session sent."""
    device = db.enrol(ADA)
    book(db, "a")
    db.query("SELECT * FROM slotbell.ack(%s, %s, '{1}', '{}', '{}', '{}')", [device], [epoch(db, ADA)])
    assert receipts(db) == [(1, device, "a", "created", None, True, None)]


def test_a_failure_is_kept_with_its_reason_and_said_again_changes_nothing_but_the_reason(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    ack(db, device, 2, failed={1: "conflict"})
    assert [(r[0], r[6]) for r in receipts(db)] == [(1, "conflict"), (2, None)]
    ack(db, device, 2, failed={1: "conflict"})
    ack(db, device, 2, failed={2: "rejected"})
    assert [(r[0], r[6]) for r in receipts(db)] == [(1, "conflict"), (2, "rejected")]
    ack(db, device, 2, failed={1: "unsupported"})
    assert receipts(db)[0][6] == "unsupported"


def test_a_failure_of_what_nobody_knows_is_not_kept(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    ack(db, device, 1, failed={2: "conflict", 77: "conflict", -5: "rejected"})
    assert [(r[0], r[6]) for r in receipts(db)] == [(1, None)]
    db.query("SELECT * FROM slotbell.ack(%s, '{other}', '{2}', '{1}', '{1}', '{conflict}')", [device])
    assert receipts(db)[0][6] is None, "of another epoch"


def test_acks_in_opposite_order_on_two_connections_do_not_deadlock(db):
    devices = [db.enrol(ADA) for _ in range(40)]
    book(db, *[f"u{i}" for i in range(30)])
    e, failed = epoch(db, ADA), []

    def work(order):
        connection = db.connect()
        try:
            for seq in range(1, 31):
                connection.execute("SELECT * FROM slotbell.ack(%s, %s, %s, '{}', '{}', '{}')", (order, [e] * 40, [seq] * 40))
                connection.execute("SELECT slotbell.sent(%s, %s, %s)", (order, [seq] * 40, [seq] * 40))
        except psycopg.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (devices, devices[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert db.query("SELECT count(*), count(done_at) FROM slotbell.receipt") == [(1200, 1200)]


# ---- sent, and not acked yet ----


def test_what_was_sent_and_not_acked_has_a_receipt_that_the_ack_completes(db):
    device = db.enrol(ADA)
    book(db, "a", "b")
    db.query("SELECT slotbell.sent(%s, '{1,2,9}', '{1000000,2000000,3000000}')", [device] * 3)
    assert [(r[0], r[4], r[5]) for r in receipts(db)] == [(1, 1.0, False), (2, 2.0, False)]
    assert [s[3] for s in states(db, "a")] == ["sent"]
    db.query("SELECT slotbell.sent(%s, '{2}', '{4000000}')", [device])
    ack(db, device, 2)
    assert [(r[0], r[4], r[5]) for r in receipts(db)] == [(1, 1.0, True), (2, 4.0, True)]
    db.query("SELECT slotbell.sent(%s, '{2}', '{5000000}')", [device])
    assert receipts(db)[1][4] == 4.0, "an ack is the last word"


def test_sent_says_nothing_of_devices_that_are_gone(db):
    device = db.enrol(ADA)
    db.enrol(ADA)
    book(db, "a")
    db.query("SELECT slotbell.revoke(%s)", device)
    db.query("SELECT slotbell.sent(%s, '{1,1}', '{1,1}')", [device, 99])
    assert receipts(db) == []


# ---- who may look, and what is seen ----


def test_delivery_tells_each_state(db):
    written, failed, waiting, sent = (db.enrol(ADA) for _ in range(4))
    book(db, "a")
    ack(db, written, 1)
    ack(db, failed, 1, failed={1: "conflict"})
    db.query("SELECT slotbell.sent(%s, '{1}', '{1000000}')", [sent])
    expected = [(ADA, 1, written, "written", None), (ADA, 1, failed, "failed", "conflict"), (ADA, 1, waiting, "waiting", None),
                (ADA, 1, sent, "sent", None)]  # fmt: skip
    assert states(db, "a") == expected
    assert db.query("SELECT mailbox, seq, device, state, reason FROM slotbell.delivery ORDER BY device") == expected
    times = db.query("SELECT committed_at IS NOT NULL, sent_at IS NOT NULL, done_at IS NOT NULL FROM slotbell.delivery ORDER BY device")
    assert times == [(True, False, True), (True, False, True), (True, False, False), (True, True, False)]


def test_delivery_tells_the_same_when_the_event_is_gone(db):
    one, two = db.enrol(ADA), db.enrol(ADA)
    book(db, "a")
    ack(db, one, 1, sent={1: SECOND})
    age(db, 15)
    sweep_all(db)
    assert db.query("SELECT count(*) FROM slotbell.event") == [0]
    assert states(db, "a") == [(ADA, 1, one, "written", None), (ADA, 1, two, "expired", "expired")]


def test_a_device_that_was_enrolled_later_is_none_of_an_events_business(db):
    db.enrol(ADA)
    book(db, "a")
    late = db.enrol(ADA)
    assert late not in [s[2] for s in states(db, "a")]


def test_a_publisher_asks_by_mailbox_and_uid_and_reads_no_view(db):
    ada, bob = db.enrol(ADA), db.enrol(BOB)
    book(db, "same", "other")
    book(db, "same", mailbox=BOB)
    connection = db.connect()
    connection.execute("SET ROLE slotbell_publisher")

    def ask(*values):
        return connection.execute(f"SELECT mailbox, device FROM slotbell.delivery_of({', '.join(['%s'] * len(values))})", values).fetchall()

    assert ask("same", ADA) == [(ADA, ada)]
    assert ask("same", "Bob@Example.com") == [(BOB, bob)]
    assert ask("nothing", ADA) == []
    assert ask("same", "eve@example.com") == []
    for view in ("delivery", "presence"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT * FROM slotbell.{view}")


def test_receipts_and_presence_have_no_column_for_what_a_booking_says(db):
    columns = db.query("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'slotbell'"
                       " AND table_name IN ('receipt', 'session', 'instance', 'booking_state') ORDER BY 1, ordinal_position")  # fmt: skip
    found = {}
    for table, column in columns:
        found.setdefault(table, []).append(column)
    assert found == {
        "receipt": ["mailbox_id", "seq", "device_id", "uid", "change", "published_at", "sent_at", "done_at", "reason"],
        "session": ["instance", "number", "device_id", "since"],
        "instance": ["name", "since", "lease_until", "sessions"],
        "booking_state": ["mailbox_id", "uid", "seq", "state_hash", "cancelled", "ends_at", "version", "event_id"],
    }


# ---- presence ----


def presence(db, instance, *items, lease=15):
    """items: (session, device, is on). Whether the instance was known."""
    sessions, devices, on = ([list(column) for column in zip(*items, strict=True)] if items else ([], [], []))
    return db.one("SELECT slotbell.presence(%s, %s, %s::bigint[], %s::bigint[], %s::boolean[])", instance, lease, sessions, devices, on)


def who_is_on(db):
    return db.query("SELECT device, session FROM slotbell.presence ORDER BY 1, 2")


def test_who_is_on_is_seen_until_it_is_off(db):
    ada, bob = db.enrol(ADA), db.enrol(BOB)
    assert presence(db, "aa", (1, ada, True), (2, bob, True)) is False
    assert presence(db, "bb", (1, bob, True)) is False
    assert who_is_on(db) == [(ada, "aa-1"), (bob, "aa-2"), (bob, "bb-1")]
    assert presence(db, "aa", (2, bob, False), (9, ada, False)) is True
    assert who_is_on(db) == [(ada, "aa-1"), (bob, "bb-1")]
    assert db.query("SELECT mailbox, label FROM slotbell.presence WHERE device = %s", ada) == [(ADA, "test")]


def test_the_last_word_on_a_session_counts(db):
    device = db.enrol(ADA)
    presence(db, "aa", (1, device, True), (2, device, True), (1, device, False))
    assert who_is_on(db) == [(device, "aa-2")]
    presence(db, "aa", (1, device, True), (2, device, False), (2, device, True), (2, device, True))
    assert who_is_on(db) == [(device, "aa-1"), (device, "aa-2")]


def test_a_daemon_without_a_lease_is_off_and_learns_that_it_must_say_all_again(db):
    device = db.enrol(ADA)
    presence(db, "aa", (1, device, True), (2, device, True))
    with db.connect() as connection:
        connection.execute("UPDATE slotbell.instance SET lease_until = clock_timestamp()")
    assert who_is_on(db) == []
    assert presence(db, "aa") is True, "it was only slow"
    assert len(who_is_on(db)) == 2
    with db.connect() as connection:
        connection.execute("UPDATE slotbell.instance SET lease_until = clock_timestamp() - interval '61 seconds'")
    sweep_all(db)
    assert db.query("SELECT count(*) FROM slotbell.session") == [0]
    assert presence(db, "aa", (2, device, True)) is False
    assert who_is_on(db) == [(device, "aa-2")]


def test_a_crash_of_the_database_forgets_who_was_on():
    """Of a cluster of its own: the others' connections are not to die with it."""

    with PgCluster() as cluster:
        url = cluster.create_database("crash")
        apply_schema(url)
        db = Database(url, cluster, "crash")
        device = db.enrol(ADA)
        presence(db, "aa", (1, device, True))
        cluster.restart("fast")
        assert who_is_on(db) == [(device, "aa-1")]
        cluster.kill()
        cluster.start()
        assert who_is_on(db) == []
        assert presence(db, "aa", (1, device, True)) is False
        assert hello(db, device)["outcome"] == "ok"
