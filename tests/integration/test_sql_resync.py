"""resync() and needs_resync: who lacks what was booked before gets it, and everybody else is left alone."""

import threading

import psycopg
import pytest
from fixtures_attach import ADA, BOB, PAST, TO_COME
from receipts_help import ack, age, hello, sweep_all
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_attach"]

BY_HAND = f"SELECT slotbell.publish('{ADA}', 'by hand', '{TO_COME}', 30, 'UTC', 'Intro call')"


def resync(shop, *mailboxes, connection=None):
    return (connection or shop.owner).execute("SELECT slotbell.resync(%s::text[])", (list(mailboxes) or [ADA],)).fetchone()[0]


def needs(shop, connection=None):
    """{mailbox: reasons}"""
    return dict((connection or shop.owner).execute("SELECT mailbox, reasons FROM slotbell.needs_resync").fetchall())


@pytest.fixture
def settled(attached):
    """Nobody lacks anything, and one booking is known to all."""
    resync(attached, ADA, BOB)
    attached.book()
    assert attached.rang() == [("created", "1")] and needs(attached) == {}
    return attached


# ---- a device that comes later ----


def test_bookings_made_before_the_first_plug_in_come_by_a_resync(shop):
    shop.attach()
    late = "late@example.com"
    shop.book(1, host_email=late)
    shop.book(2, host_email="Late@Example.com")
    shop.book(3, host_email=late, starts_at=PAST)
    shop.book(4, host_email=late, status="cancelled")
    shop.book(5, host_email="other@example.com")
    shop.db.enrol(late)
    assert needs(shop)[late] == ["enrolled"]
    assert resync(shop, late) == 2
    assert sorted(shop.rang(late)) == [("created", "1"), ("created", "2")]
    assert late not in needs(shop)
    assert resync(shop, late) == 0


def test_a_second_device_gets_what_it_lacks_though_the_state_is_the_same(settled):
    settled.db.enrol(ADA)
    assert needs(settled) == {ADA: ["enrolled"]}
    settled.book(2)  # comes to it by itself
    assert settled.rang() == [("created", "2")]
    assert resync(settled) == 1
    assert settled.rang() == [("updated", "1")] and needs(settled) == {}
    assert resync(settled) == 0 and settled.rang() == []


def test_without_looking_at_who_lacks_it_the_same_state_would_never_ring_again(settled):
    settled.db.cripple("publish", ("OR s.seq <= (SELECT max(n.lacks_to)", "OR false AND s.seq <= (SELECT max(n.lacks_to)"))
    settled.db.enrol(ADA)
    assert resync(settled) == 0 and settled.rang() == []


def test_who_publishes_by_hand_sees_whom_for_and_the_same_call_rings_once_more(shop):
    publisher = shop.db.connect("publisher")
    assert publisher.execute(BY_HAND).fetchone()[0] is not None
    resync(shop, ADA, BOB, connection=publisher)
    assert publisher.execute(BY_HAND).fetchone()[0] is None
    shop.db.enrol(ADA)
    assert needs(shop, publisher) == {ADA: ["enrolled"]}
    with publisher.transaction():
        assert publisher.execute(BY_HAND).fetchone()[0] is not None
        assert publisher.execute(BY_HAND).fetchone()[0] is None, "twice in one transaction"
        resync(shop, connection=publisher)
    assert needs(shop, publisher) == {}
    assert publisher.execute(BY_HAND).fetchone()[0] is None
    assert shop.rang() == [("created", "by hand")] * 2


def test_what_a_savepoint_took_back_still_has_to_ring(settled):
    settled.db.enrol(ADA)
    owner = settled.connect("shopkeeper", autocommit=False)
    owner.execute("SAVEPOINT here")
    assert resync(settled, connection=owner) == 1
    owner.execute("ROLLBACK TO here")
    assert resync(settled, connection=owner) == 1
    owner.commit()
    assert settled.rang() == [("updated", "1")]


def test_a_resync_that_rolls_back_has_not_been(settled):
    settled.db.enrol(ADA)
    owner = settled.connect("shopkeeper", autocommit=False)
    assert resync(settled, connection=owner) == 1
    owner.rollback()
    assert needs(settled) == {ADA: ["enrolled"]} and settled.rang() == []


def test_what_was_cancelled_is_not_revived_by_a_resync(settled):
    settled.db.query(f"SELECT slotbell.publish('{ADA}', '1', change => 'cancelled')")
    settled.rang()
    settled.db.enrol(ADA)
    assert resync(settled) == 0 and settled.rang() == []


def test_rows_that_came_quietly_ring_at_the_next_resync(settled):
    settled.write("SET slotbell.quiet = on")
    settled.book(2)
    settled.write("UPDATE shop.appointments SET title = 'Other' WHERE id = 1")
    assert settled.rang() == []
    assert resync(settled) == 2
    assert sorted(settled.rang()) == [("created", "2"), ("updated", "1")]


def test_a_row_that_cannot_ring_costs_only_itself(settled):
    settled.write("SET slotbell.quiet = on")
    settled.book(2, title="x" * 256)
    settled.book(3)
    settled.db.enrol(ADA)
    assert resync(settled) == 2 and needs(settled) == {}
    assert settled.refusals() == [("RESYNC", "2", "SB006")]


def test_a_mailbox_may_be_named_alone_in_any_case_or_be_unknown(settled):
    settled.db.enrol(ADA)
    assert settled.owner.execute("SELECT slotbell.resync('Ada@Example.COM')").fetchone() == (1,)
    assert settled.owner.execute("SELECT slotbell.resync(mailbox => 'nobody@example.com')").fetchone() == (0,)
    assert settled.owner.execute("SELECT slotbell.resync(NULL::text)").fetchone() == (0,)
    assert resync(settled, connection=settled.owner, *["x@y", None]) == 0  # fmt: skip


def test_the_longest_booking_that_there_is_counts_until_it_ends(shop):
    shop.attach()
    for number, ago in ((1, "30 days 23 hours"), (2, "31 days 1 hour")):
        shop.write("SET slotbell.quiet = on")
        shop.write("INSERT INTO shop.appointments (id, host_email, starts_at, minutes) VALUES (%s, %s, now() - %s::interval, 44640)", number, ADA, ago)
    assert resync(shop) == 1 and shop.rang() == [("created", "1")]


def test_a_column_with_rules_of_its_own_for_upper_and_lower_case_is_compared_as_addresses_are(shop):
    shop.db.connect().execute("CREATE COLLATION IF NOT EXISTS public.turkish (provider = icu, locale = 'tr-TR')")
    shop.owner.execute("ALTER TABLE shop.appointments ALTER host_email TYPE text COLLATE public.turkish")
    shop.attach()
    shop.book(1, host_email="INFO@example.com")
    shop.db.enrol("info@example.com")
    assert resync(shop, "info@example.com") == 1


# ---- who is listed, and why ----


def test_a_mailbox_whose_devices_are_gone_needs_nothing(attached):
    device = attached.db.enrol("late@example.com")
    attached.db.query("SELECT slotbell.revoke(%s)", device)
    assert "late@example.com" not in needs(attached)


def test_attaching_a_table_makes_every_mailbox_with_a_device_need_it_and_attaching_it_as_it_was_does_not(settled):
    settled.attach()
    assert needs(settled) == {}
    settled.attach(subject="upper(title)")
    assert needs(settled) == {ADA: ["attached"], BOB: ["attached"]}
    assert resync(settled, ADA, BOB) == 1
    assert settled.rang() == [("updated", "1")] and needs(settled) == {}


def test_a_new_epoch_makes_all_need_it_and_the_cancels_ring_as_well(settled):
    settled.book(2)
    settled.book(3)
    settled.write("DELETE FROM shop.appointments WHERE id = 2")
    settled.write("UPDATE shop.appointments SET starts_at = %s WHERE id = 3", PAST)
    settled.rang()
    settled.db.query("SELECT slotbell.new_epoch()")
    assert needs(settled) == {ADA: ["epoch"], BOB: ["epoch"]}
    assert resync(settled, ADA, BOB) == 2
    assert sorted(settled.rang()) == [("cancelled", "2"), ("updated", "1")]
    assert needs(settled) == {} and resync(settled, ADA, BOB) == 0


def lose(shop, floor):
    """As retention does: events up to here are deleted, whoever has seen them."""
    with shop.db.connect() as connection:
        connection.execute("DELETE FROM slotbell.event WHERE seq <= %s AND mailbox_id = (SELECT id FROM slotbell.mailbox WHERE address = %s)", (floor, ADA))
        connection.execute("UPDATE slotbell.mailbox SET floor = %s WHERE address = %s", (floor, ADA))


def test_a_device_that_lost_events_needs_it_and_one_that_has_seen_them_does_not(settled):
    settled.book(2)
    settled.write("DELETE FROM shop.appointments WHERE id = 2")
    settled.db.connect().execute("UPDATE slotbell.device SET acked = 3")
    lose(settled, 3)
    assert needs(settled) == {}
    settled.book(3)
    settled.book(4)
    settled.rang()
    lose(settled, 4)
    assert needs(settled) == {ADA: ["expired"]}
    assert resync(settled) == 3  # 1 and 3 again, and the cancel of 2; 4 comes to it by itself
    assert sorted(settled.rang()) == [("cancelled", "2"), ("updated", "1"), ("updated", "3")]
    assert needs(settled) == {}


def test_a_device_that_was_stale_and_is_back_needs_it_and_its_lost_cancels(settled):
    live = settled.db.enrol(ADA)
    stale = settled.db.one("SELECT min(id) FROM slotbell.devices WHERE mailbox = %s", ADA)
    settled.book(2)
    resync(settled)
    for device in (live, stale):
        ack(settled.db, device, settled.db.one("SELECT head FROM slotbell.mailbox WHERE address = %s", ADA))
    age(settled.db, 91)
    hello(settled.db, live)
    sweep_all(settled.db)
    assert settled.db.one("SELECT stale_at IS NOT NULL FROM slotbell.devices WHERE id = %s", stale)
    settled.write("DELETE FROM shop.appointments WHERE id = 2")
    settled.rang()
    assert needs(settled) == {}
    hello(settled.db, stale)
    assert needs(settled) == {ADA: ["enrolled", "expired"]}
    assert resync(settled) == 2
    assert sorted(settled.rang()) == [("cancelled", "2"), ("updated", "1")] and needs(settled) == {}


def test_a_mailbox_that_is_gone_needs_nothing(settled):
    settled.db.query("SELECT slotbell.new_epoch()")
    settled.db.connect().execute("DELETE FROM slotbell.device; DELETE FROM slotbell.mailbox")
    assert settled.db.query("SELECT * FROM slotbell.resync_need") == []


def test_an_enrolment_during_a_resync_is_not_taken_for_done(settled):
    settled.db.enrol(ADA)
    owner = settled.connect("shopkeeper", autocommit=False)
    resync(settled, connection=owner)
    settled.db.enrol(ADA)
    owner.commit()
    assert needs(settled) == {ADA: ["enrolled"]}
    settled.rang()
    assert resync(settled) == 0 and needs(settled) == {}, "what rang during the resync had a number that both lack"


def test_neither_waits_for_the_other(settled):
    """Enrolment holds the mailbox and then the needs; a resync would hold them the other way round."""
    settled.db.enrol(ADA)
    owner = settled.connect("shopkeeper", autocommit=False)
    resync(settled, connection=owner)
    enrolling = settled.db.connect(autocommit=False)
    enrolling.execute("SELECT slotbell.enrol(%s, '', NULL, %s, %s)", (ADA, bytes(16), bytes(32)))
    committing = in_thread(owner.commit)
    wait_until("the resync's commit waits for the enrolment", lambda: waits_for_a_lock(settled.db, owner))
    enrolling.commit()
    committing.result()
    assert needs(settled) == {ADA: ["enrolled"]}


def test_needs_do_not_pile_up(settled):
    for _ in range(5):
        settled.db.enrol(ADA)
        settled.db.query("SELECT slotbell.new_epoch()")
    assert settled.db.one("SELECT count(*) FROM slotbell.resync_need WHERE NOT met") <= 3
    resync(settled, ADA, BOB)
    settled.db.enrol(ADA)
    assert settled.db.one("SELECT count(*) FROM slotbell.resync_need n JOIN slotbell.mailbox m ON m.id = n.mailbox_id WHERE address = %s", ADA) <= 2


# ---- whose tables ----


def test_tables_of_several_owners_are_done_by_each(settled):
    superuser = settled.db.connect()
    superuser.execute("CREATE TABLE shop.lessons (LIKE shop.appointments INCLUDING ALL); ALTER TABLE shop.lessons OWNER TO publisher;"
                      " GRANT USAGE, CREATE ON SCHEMA shop TO publisher")  # fmt: skip
    publisher = settled.connect("publisher")
    publisher.execute("INSERT INTO shop.lessons (id, host_email, starts_at) VALUES (7, %s, %s)", (ADA, TO_COME))
    settled.attach("shop.lessons", publisher)
    settled.warnings()
    assert resync(settled) == 0
    ((_, words),) = settled.warnings()
    assert "shop.lessons is left out" in words and "publisher" in words
    assert needs(settled)[ADA] == ["attached"]
    assert resync(settled, connection=publisher) == 1
    assert settled.rang() == [("created", "7")] and ADA not in needs(settled)


@pytest.mark.parametrize("who", ["administrator", "postgres", "publisher"])
def test_who_owns_no_attached_table_is_told_how_to_log_in(settled, who):
    settled.db.enrol(ADA)
    with pytest.raises(psycopg.Error) as caught:
        resync(settled, connection=settled.connect(who))
    said = caught.value.diag
    assert said.sqlstate == "SB028" and "belongs to: shopkeeper" in said.message_detail and "Log in as the owner" in said.message_hint
    assert "shop.appointments is left out" in settled.warnings()[0][1]
    assert needs(settled) == {ADA: ["enrolled"]}


def test_a_table_that_changed_its_owner_is_left_out_until_it_is_attached_again(settled):
    settled.db.enrol(ADA)
    settled.db.connect().execute("ALTER TABLE shop.appointments OWNER TO publisher; GRANT USAGE, CREATE ON SCHEMA shop TO publisher")
    publisher = settled.connect("publisher")
    with pytest.raises(psycopg.Error, match="no attached table belongs to this session"):
        resync(settled, connection=publisher)
    assert "its functions belong to shopkeeper" in settled.warnings()[0][1]
    settled.attach(connection=publisher)
    assert resync(settled, connection=publisher) == 1


def test_who_publishes_by_hand_beside_attached_tables_needs_no_resync(settled):
    """The owners' resync ends the need; publish() knows by itself what a device lacks."""
    publisher = settled.connect("publisher")
    assert publisher.execute(BY_HAND).fetchone()[0] is not None
    settled.db.enrol(ADA)
    assert publisher.execute(BY_HAND).fetchone()[0] is not None and publisher.execute(BY_HAND).fetchone()[0] is None
    resync(settled)
    assert needs(settled) == {} and publisher.execute(BY_HAND).fetchone()[0] is None


# ---- a row that changes while it is published again ----


def race(shop):
    """A row is read for a resync, then changed and committed, and only then published. Returns the subject the calendar ends with."""
    shop.db.enrol(ADA)
    gate = shop.db.connect()
    gate.execute("CREATE FUNCTION shop.gate(title text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
                 " IF current_setting('test.gate', true) = 'shut' THEN PERFORM pg_advisory_xact_lock(7); END IF; RETURN title; END $$;"
                 " ALTER FUNCTION shop.gate(text) OWNER TO shopkeeper")  # fmt: skip
    shop.attach(subject="shop.gate(title)")
    shop.book()
    resync(shop, ADA, BOB)
    shop.db.enrol(ADA)
    gate.execute("SELECT pg_advisory_lock(7)")
    shop.owner.execute("SET test.gate = 'shut'")
    reading = in_thread(lambda: resync(shop))
    wait_until("the resync has its snapshot and waits in the mapping", lambda: waits_for_a_lock(shop.db, shop.owner))
    shop.write("UPDATE shop.appointments SET title = 'Newer'")
    gate.execute("SELECT pg_advisory_unlock(7)")
    reading.result()
    return shop.event("subject")


def test_a_row_that_was_changed_after_it_was_read_is_not_published_as_it_was(shop):
    assert race(shop) == "Newer"


def test_without_looking_at_the_newest_event_the_older_state_would_come_last(shop):
    shop.db.cripple("unchanged_since", ("(newest > head) IS NOT TRUE", "true"))
    assert race(shop) == "Intro call"


def ghost(shop):
    """A row that nobody was told of is read for a resync, and deleted before that commits. Returns what rang."""
    late = "late@example.com"
    shop.attach()
    shop.book(host_email=late)
    shop.db.enrol(late)
    owner = shop.connect("shopkeeper", autocommit=False)
    assert resync(shop, late, connection=owner) == 1
    shop.write("DELETE FROM shop.appointments")
    owner.commit()
    return shop.rang(late)


def test_a_row_that_goes_during_a_resync_is_cancelled(shop):
    assert ghost(shop)[-1] == ("cancelled", "1")


def test_without_looking_again_it_would_stay_in_the_calendar(shop):
    shop.db.connect().execute(shop.db.one("SELECT pg_get_functiondef('slotbell.resync(text[])'::regprocedure)").replace("IF one.is_new THEN", "IF false THEN"))
    assert ghost(shop) == [("created", "1")]


def test_a_row_that_is_being_changed_is_waited_for(settled):
    settled.db.enrol(ADA)
    web = settled.connect("web", autocommit=False)
    web.execute("UPDATE shop.appointments SET title = 'Newer'")
    web.execute("SET CONSTRAINTS shop.slotbell_judge_appointments IMMEDIATE")  # as at its COMMIT
    waiting = in_thread(lambda: resync(settled))
    wait_until("the resync waits for the booking", lambda: waits_for_a_lock(settled.db, settled.owner))
    web.commit()
    assert waiting.result() == 0
    assert settled.rang() == [("updated", "1")] and settled.event("subject") == "Newer"


def test_a_row_that_was_never_published_and_is_being_written_rings_once(settled):
    web = settled.connect("web", autocommit=False)
    settled.write("SET slotbell.quiet = on")
    settled.book(2)
    web.execute("UPDATE shop.appointments SET title = 'Newer' WHERE id = 2")
    web.execute("SET CONSTRAINTS shop.slotbell_judge_appointments IMMEDIATE")
    settled.db.enrol(ADA)
    waiting = in_thread(lambda: resync(settled))
    wait_until("the resync waits for the booking", lambda: waits_for_a_lock(settled.db, settled.owner))
    web.commit()
    waiting.result()
    assert settled.event("subject", "2") == "Newer" and [event for event in settled.rang() if event[1] == "2"] == [("created", "2")]


def test_many_mailboxes_are_read_in_one_pass_over_the_table(settled):
    mailboxes = [f"m{i}@example.com" for i in range(200)]
    for mailbox in mailboxes:
        settled.db.enrol(mailbox)
    settled.write("SET slotbell.quiet = on")
    settled.write("INSERT INTO shop.appointments (id, host_email, starts_at) SELECT 1000 + i, 'm' || i %% 250 || '@example.com', %s"
                  " FROM generate_series(1, 1000) i", TO_COME)  # fmt: skip
    assert resync(settled, *mailboxes) == 800
    assert all(len(settled.rang(mailbox)) == 4 for mailbox in mailboxes)


def test_writers_and_resyncs_at_once_leave_every_calendar_as_the_table_is(settled):
    done = threading.Event()

    def write(writer):
        web, wrote = settled.connect("web"), 0
        for i in range(40):
            web.execute("UPDATE shop.appointments SET title = %s, minutes = minutes + 1 WHERE id = %s", (f"{writer}-{i}", 1 + i % 4))
            wrote += 1
        return wrote

    def again():
        owner, count = settled.db.connect("shopkeeper"), 0
        while not done.is_set() or count == 0:
            settled.db.enrol(ADA)
            try:
                resync(settled, connection=owner)
            except psycopg.errors.DeadlockDetected:
                continue
            count += 1
        return count

    for number in (2, 3, 4):
        settled.book(number)
    resyncing = in_thread(again)
    writers = [in_thread(lambda w=w: write(w)) for w in range(3)]
    assert sum(writer.result() for writer in writers) == 120
    done.set()
    assert resyncing.result() > 0
    table = settled.db.query("SELECT id::text, title, minutes FROM shop.appointments ORDER BY id")
    calendar = settled.db.query("SELECT DISTINCT ON (uid) uid, subject, duration_minutes FROM slotbell.event ORDER BY uid, seq DESC")
    assert calendar == table
