"""version: which of two states of a booking is newer, across mailboxes, epochs and databases."""

import itertools
import pathlib
import re
import threading

import psycopg
import pytest
from fixtures_sql import Database, apply_schema, publish
from pgcluster import PgCluster

pytest_plugins = ["fixtures_sql"]

ADA, BOB = "ada@example.com", "bob@example.com"
CANCEL = "SELECT slotbell.publish(mailbox => %s, uid => %s, change => 'cancelled')"
MINUTE = 60000


def versions(db, uid="u"):
    """[(mailbox, change, version)] in the order of their seqs, mailbox by mailbox."""
    return db.query("SELECT m.address, e.change, e.version FROM slotbell.event e JOIN slotbell.mailbox m ON m.id = e.mailbox_id"
                    " WHERE e.uid = %s ORDER BY m.address, e.seq", uid)  # fmt: skip


def only(db, uid="u"):
    return [version for _, _, version in versions(db, uid)]


def clock(db):
    return db.one("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")


def set_guard(db, ms):
    with psycopg.connect(db.url, autocommit=True) as connection:
        connection.execute("UPDATE slotbell.guard SET ms = %s", (ms,))


def changed(connection, mailbox, uid, n):
    publish(connection, mailbox, uid, f", details => '{{\"location\": \"{n}\"}}'")


def test_a_version_is_the_clock_in_milliseconds_and_grows_with_each_change(db):
    db.enrol(ADA)
    connection = db.connect()
    before = clock(db)
    for n in range(20):
        changed(connection, ADA, "u", n)
    connection.execute(CANCEL, (ADA, "u"))
    found = only(db)
    assert before < found[0] and found[-1] <= clock(db) + 21
    assert len(found) == 21 and found == sorted(set(found))
    assert db.query("SELECT seq, version FROM slotbell.booking_state") == [(21, found[-1])]
    fetched = db.query("SELECT seq, version FROM slotbell.next_events('{1}', '{0}', 100, 1000000)")
    assert fetched == list(enumerate(found, 1))
    assert db.query("SELECT version FROM slotbell.next_events('{1}', '{20}', 100, 1000000)") == found[20:]


def test_several_changes_in_one_transaction_each_have_one(db):
    db.enrol(ADA)
    connection = db.connect()
    with connection.transaction():
        for n in range(5):
            changed(connection, ADA, "u", n)
            changed(connection, ADA, "v", n)
    for uid in "uv":
        found = only(db, uid)
        assert len(found) == 5 and found == sorted(set(found))
        assert db.one("SELECT version FROM slotbell.booking_state WHERE uid = %s", uid) == found[-1]


@pytest.mark.parametrize("way, cancel_first, burst", itertools.product([(ADA, BOB), (BOB, ADA)], [True, False], [False, True]))
def test_a_booking_that_moves_ends_where_its_newest_version_is(db, way, cancel_first, burst):
    """Whichever mailbox has the lower id, whichever is said first, and however far ahead of the clock the old one is."""
    first, second = way
    db.enrol(ADA)
    db.enrol(BOB)
    connection = db.connect()
    publish(connection, first, "u")
    if burst:
        with psycopg.connect(db.url, autocommit=True) as admin:
            admin.execute("UPDATE slotbell.booking_state SET version = version + 5000")
    with connection.transaction():
        if cancel_first:
            connection.execute(CANCEL, (first, "u"))
        publish(connection, second, "u")
        if not cancel_first:
            changed(connection, first, "u", 1)
            connection.execute(CANCEL, (first, "u"))
    last = max(versions(db), key=lambda row: row[2])
    assert last[:2] == (second, "created")
    assert len(set(only(db))) == len(only(db))


def test_after_a_clock_that_was_ahead_versions_go_on_from_the_guard(db):
    db.enrol(ADA)
    ahead = clock(db) + 3600000
    set_guard(db, ahead)
    connection = db.connect()
    publish(connection, ADA, "u")
    publish(connection, ADA, "v")
    assert only(db, "u") + only(db, "v") == [ahead + 1, ahead + 1]
    connection.execute(CANCEL, (ADA, "u"))
    assert only(db, "u")[1] == ahead + 2
    assert db.one("SELECT ms FROM slotbell.guard") == ahead, "it never goes back"


@pytest.mark.parametrize("behind, written", [(MINUTE // 2, False), (2 * MINUTE, True)])
def test_the_guard_is_written_when_the_clock_is_a_minute_ahead(db, behind, written):
    db.enrol(ADA)
    publish(db.connect(), ADA, "first")  # reads the server's start
    then = clock(db) - behind
    set_guard(db, then)
    publish(db.connect(), ADA, "u")
    assert (db.one("SELECT ms FROM slotbell.guard") > then) is written


def test_a_mailbox_that_was_swept_and_enrolled_again_goes_on_above(db):
    db.enrol(ADA)
    publish(db.connect(), ADA, "u")
    before = only(db)[0]
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("DELETE FROM slotbell.event; DELETE FROM slotbell.booking_state; DELETE FROM slotbell.device; DELETE FROM slotbell.mailbox")
    db.enrol(ADA)
    publish(db.connect(), ADA, "u")
    assert db.one("SELECT seq FROM slotbell.event") == 1 and only(db)[0] > before


def test_versions_of_a_daemon_of_the_release_before_count_as_its_seqs(db):
    """0.1.0's daemon says seq for version: while it is on, both daemons say the same order."""
    db.enrol(ADA)
    connection = db.connect()
    db.query("SELECT slotbell.presence('aa', 60, '{}', '{}', '{}')")
    for n in range(3):
        changed(connection, ADA, "u", n)
    with connection.transaction():
        changed(connection, ADA, "u", 3)
        publish(connection, ADA, "v")
    assert only(db) == [1, 2, 3, 4] and only(db, "v") == [5]
    db.query("SELECT slotbell.attend('bb', 60, '{}', '{}', '{}')")
    changed(connection, ADA, "u", 5)
    assert only(db)[-1] == 6, "a new daemon beside changes nothing"
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("UPDATE slotbell.guard SET seqs_until = clock_timestamp()")
    before = clock(db)
    changed(connection, ADA, "u", 6)
    assert only(db)[-1] > before


def test_what_the_release_before_published_goes_on_above(sql_cluster):
    url = sql_cluster.create_database("versions_before")
    apply_schema(url, 8)
    db = Database(url, sql_cluster, "versions_before")
    db.enrol(ADA)
    publish(db.connect(), ADA, "waits")
    apply_schema(url, after=8)
    assert db.query("SELECT seq, version FROM slotbell.next_events('{1}', '{0}', 10, 1000)") == [(1, 1)]
    before = clock(db)
    changed(db.connect(), ADA, "waits", 1)
    assert only(db, "waits")[-1] > before
    db.close()
    sql_cluster.drop_database("versions_before")


def test_numbers_stay_below_2_to_the_53(db):
    db.enrol(ADA)
    set_guard(db, 4 * 10**15)  # as far as clock_ms() goes
    connection = db.connect()
    for n in range(3):
        changed(connection, ADA, "u", n)
    assert max(only(db)) < 2**53 and len(set(only(db))) == 3
    assert "4000000000000000" in db.one("SELECT prosrc FROM pg_proc WHERE proname = 'clock_ms'")


def test_a_guard_that_was_lost_is_made_anew(db):
    db.enrol(ADA)
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("DELETE FROM slotbell.guard")
    before = clock(db)
    publish(db.connect(), ADA, "u")
    publish(db.connect(), ADA, "v")
    assert only(db)[0] > before and only(db, "v")[0] > before
    assert db.one("SELECT count(*) FROM slotbell.guard") == 1


def test_under_repeatable_read_an_old_guard_fails_nothing(db):
    db.enrol(ADA)
    connection = db.connect(autocommit=False)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.execute("SELECT 1")
    set_guard(db, 1)
    publish(db.connect(), "nobody@example.com", "x")
    publish(connection, ADA, "u")
    connection.commit()
    assert only(db)[0] > 10**12


# ---- nobody waits for the guard ----


@pytest.fixture(scope="module")
def logging_cluster():
    settings = {"log_lock_waits": "on", "deadlock_timeout": "1ms"}
    with PgCluster(settings=settings, fsync=True) as cluster:
        yield cluster


def lock_waits(cluster, name, *remedies):
    """What PostgreSQL says where one of 8 writers, each with a mailbox of its own, waited for a row, while each would write the guard."""
    url = cluster.create_database(name)
    apply_schema(url)
    db = Database(url, cluster, name)
    db.cripple("renew_guard", ("slotbell.clock_ms() - 60000", "slotbell.clock_ms() + 60000"))
    for function, old, new in remedies:
        db.cripple(function, (old, new))
    db.cripple("number_events", ("slotbell.clock_ms() - 60000", "slotbell.clock_ms() + 60000"))
    for n in range(8):
        db.enrol(f"m{n}@example.com")
    known = len(pathlib.Path(cluster.log).read_text(encoding="utf-8"))

    def write(n):
        with psycopg.connect(url, autocommit=True) as connection:
            for i in range(100):
                publish(connection, f"m{n}@example.com", f"u-{i}")

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert db.one("SELECT count(*) FROM slotbell.event WHERE version > 1000000000000") == 800
    db.close()
    log = pathlib.Path(cluster.log).read_text(encoding="utf-8")[known:]
    return re.findall(r"still waiting for \w+ on (?:transaction|tuple|relation).*(?:\n.*(?:DETAIL|CONTEXT|STATEMENT): .*|\n\t.*)*", log)


def test_eight_writers_never_wait_for_each_other_at_the_guard(logging_cluster):
    assert lock_waits(logging_cluster, "free") == []


def test_without_the_remedy_they_do(logging_cluster):
    assert lock_waits(logging_cluster, "waiting", ("try_guard", "IN EXCLUSIVE MODE NOWAIT", "IN EXCLUSIVE MODE")) != []


def test_a_booking_given_back_rings_again(db):
    """From ADA to BOB and back to ADA, by hand: the cancel at ADA was a move."""
    db.enrol(ADA)
    db.enrol(BOB)
    connection = db.connect()

    def move(source, target, together):
        with connection.transaction() if together else connection.cursor():
            connection.execute(CANCEL, (source, "u"))
            assert publish(connection, target, "u") is not None

    publish(connection, ADA, "u")
    for together in (True, False):
        move(ADA, BOB, together)
        move(BOB, ADA, together)
    with connection.transaction():
        move(ADA, BOB, False)
        move(BOB, ADA, False)
    assert [change for mailbox, change, _ in versions(db) if mailbox == ADA] == ["created", "cancelled"] * 3 + ["created"]
    assert max(versions(db), key=lambda row: row[2])[:2] == (ADA, "created")
    connection.execute(CANCEL, (ADA, "u"))
    assert publish(connection, ADA, "u") is None, "cancelled here and nowhere else since: it stays so"
