"""An attached table: what its rows ring, what they do not, and that the backend's statements never suffer."""

import psycopg
import pytest
from fixtures_attach import ADA, BOB, PAST, TO_COME

pytest_plugins = ["fixtures_attach"]

SET = "UPDATE shop.appointments SET {} WHERE id = 1"


# ---- what rings ----


def test_an_insert_rings_with_all_that_is_mapped(attached):
    attached.book(guests='[{"name": "Grace", "email": "grace@example.com"}]', room="Room 4", notes="nobody's business")
    row = attached.db.query("SELECT change, uid, starts_at::text, duration_minutes, time_zone, subject, attendees, details FROM slotbell.event")
    assert row == [("created", "1", TO_COME.replace("+00", ":00+00"), 30, "Europe/Berlin", "Intro call",
                    [{"name": "Grace", "email": "grace@example.com"}], {"location": "Room 4"})]  # fmt: skip
    assert attached.warnings() == []


@pytest.mark.parametrize("change", [
    "starts_at = starts_at + interval '1 day'", "minutes = 45", "title = 'Other'", "room = 'Room 5'", "guests = '[{\"email\": \"g@h\"}]'",
])  # fmt: skip
def test_an_update_of_a_mapped_column_rings(attached, change):
    attached.book()
    attached.write(SET.format(change))
    assert attached.rang() == [("created", "1"), ("updated", "1")]


@pytest.mark.parametrize("change", ["notes = 'x'", "title = title", "host_email = upper(host_email)", "status = 'confirmed'"])
def test_an_update_of_anything_else_rings_nothing(attached, change):
    attached.book()
    attached.write(SET.format(change))
    assert attached.rang() == [("created", "1")]


def test_a_row_that_was_never_published_rings_once_whatever_changes(shop):
    """What counts is what was published last for it, and that is nothing."""
    shop.book()
    shop.attach()
    shop.write(SET.format("notes = 'x'"))
    shop.write(SET.format("notes = 'y'"))
    assert shop.rang() == [("created", "1")]


def test_the_condition_cancels_and_what_is_cancelled_rings_no_more(attached):
    attached.book()
    attached.write(SET.format("status = 'cancelled'"))
    attached.write(SET.format("title = 'Other'"))
    attached.write("DELETE FROM shop.appointments")
    assert attached.rang() == [("created", "1"), ("cancelled", "1")]
    assert attached.event("subject") is None


def test_a_delete_cancels(attached):
    attached.book()
    attached.write("DELETE FROM shop.appointments WHERE id = 1")
    assert attached.rang() == [("created", "1"), ("cancelled", "1")]


def test_another_mailbox_is_a_cancel_there_and_a_create_here(attached):
    attached.book()
    attached.write(SET.format(f"host_email = '{BOB}'"))
    assert attached.rang(ADA) == [("created", "1"), ("cancelled", "1")]
    assert attached.rang(BOB) == [("created", "1")]


def test_a_booking_that_comes_back_to_its_first_mailbox_is_there_again(attached):
    attached.book()
    attached.write(SET.format(f"host_email = '{BOB}'"))
    attached.write(SET.format(f"host_email = '{ADA}'"))
    assert attached.rang(ADA) == [("created", "1"), ("cancelled", "1"), ("created", "1")]
    assert attached.rang(BOB) == [("created", "1"), ("cancelled", "1")]


def test_another_uid_is_a_cancel_of_the_old_and_a_create_of_the_new(attached):
    attached.book()
    attached.write(SET.format("id = 2"))
    assert attached.rang() == [("created", "1"), ("created", "2"), ("cancelled", "1")]


def test_a_row_without_a_mailbox_is_nobodys_until_it_has_one(attached):
    attached.book(host_email=None)
    assert attached.rang() == [] and attached.warnings() == []
    attached.write(SET.format(f"host_email = '{ADA}'"))
    attached.write(SET.format("host_email = NULL"))
    assert attached.rang() == [("created", "1"), ("cancelled", "1")]


def test_only_when_says_which_rows_are_bookings_and_the_others_may_hold_anything(shop):
    shop.attach(only_when="status <> 'draft'", duration_minutes="(notes)::integer")
    shop.book(status="draft", notes="half an hour or so")
    shop.write(SET.format("notes = '20'"))
    assert shop.rang() == [] and shop.warnings() == []
    shop.write(SET.format("status = 'booked'"))
    shop.write(SET.format("status = 'draft'"))
    assert shop.rang() == [("created", "1"), ("cancelled", "1")]


def test_an_upsert_a_copy_and_many_rows_at_once_ring_each_once(attached):
    upsert = "INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (1, %s, %s) ON CONFLICT (id) DO UPDATE SET minutes = 45"
    attached.write(upsert, ADA, TO_COME)
    attached.write(upsert, ADA, TO_COME)
    with attached.web.cursor().copy("COPY shop.appointments (id, host_email, starts_at) FROM STDIN") as copy:
        copy.write_row((2, ADA, TO_COME))
        copy.write_row((3, ADA, PAST))
    attached.write("UPDATE shop.appointments SET title = 'Other'")
    assert attached.rang() == [("created", "1"), ("updated", "1"), ("created", "2"), ("updated", "1"), ("updated", "2")]


def test_the_bell_rings_only_if_the_transaction_commits(attached):
    web = attached.connect("web", autocommit=False)
    attached.book(1, web)
    web.rollback()
    attached.book(2, web)
    web.execute("SAVEPOINT here")
    attached.book(3, web)
    web.execute("ROLLBACK TO here")
    web.commit()
    assert attached.rang() == [("created", "2")]


def test_the_same_state_rings_once_however_it_is_published(attached):
    attached.book(guests="[]")
    attached.db.query(f"SELECT slotbell.publish('{ADA}', '1', '{TO_COME}', 30, 'Europe/Berlin', 'Intro call')")
    assert attached.rang() == [("created", "1")]


# ---- what has passed, and what is to be quiet ----


def test_what_has_passed_rings_nothing(attached):
    attached.book(starts_at=PAST)
    attached.write(SET.format("title = 'Other'"))
    attached.write(SET.format("status = 'cancelled'"))
    attached.write("DELETE FROM shop.appointments")
    assert attached.rang() == [] and attached.warnings() == []


def test_over_is_what_has_ended_and_not_what_has_begun(attached):
    attached.write("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (1, %s, now() - interval '29 minutes')", ADA)
    attached.write("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (2, %s, now() - interval '30 minutes')", ADA)
    attached.write("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (3, %s, now() - interval '31 minutes')", ADA)
    assert attached.rang() == [("created", "1")]


def test_a_booking_that_is_moved_into_the_past_or_out_of_it_rings(attached):
    attached.book()
    attached.write(SET.format(f"starts_at = '{PAST}'"))
    attached.write(SET.format("title = 'Other'"))
    attached.write(SET.format(f"starts_at = '{TO_COME}'"))
    assert attached.rang() == [("created", "1"), ("updated", "1"), ("updated", "1")]


@pytest.mark.parametrize("word, quiet", [("on", True), ("TRUE", True), ("yes", True), ("1", True), ("off", False), ("", False)])
def test_a_backfill_says_so_and_rings_nothing(attached, word, quiet):
    attached.web.execute("SELECT set_config('slotbell.quiet', %s, false)", (word,))
    attached.book()
    attached.write(SET.format("title = 'Other'"))
    attached.write("DELETE FROM shop.appointments")
    assert attached.rang() == ([] if quiet else [("created", "1"), ("updated", "1"), ("cancelled", "1")])


def test_quiet_for_one_transaction_is_over_with_it(attached):
    with attached.web.transaction():
        attached.write("SET LOCAL slotbell.quiet = on")
        attached.book(1)
    attached.book(2)
    assert attached.rang() == [("created", "2")]


def test_truncate_rings_nothing_and_says_so(attached):
    attached.book()
    attached.write("TRUNCATE shop.appointments")
    assert attached.rang() == [("created", "1")]
    assert [state for state, _ in attached.warnings()] == ["01000"]
    attached.write("SET slotbell.quiet = on; TRUNCATE shop.appointments")
    assert attached.warnings() == []


# ---- cancelled, and again ----


def test_a_new_row_of_a_cancelled_uid_is_there_again(attached):
    """The row is there, so nothing is late."""
    attached.book()
    attached.write("DELETE FROM shop.appointments")
    attached.book()
    assert attached.rang() == [("created", "1"), ("cancelled", "1"), ("created", "1")]
    assert attached.warnings() == [] and attached.refusals() == []


def test_a_row_whose_booking_was_cancelled_by_hand_is_there_again_at_its_next_change(attached):
    attached.book()
    attached.db.query(f"SELECT slotbell.publish('{ADA}', '1', change => 'cancelled')")
    attached.write(SET.format("title = 'Other'"))
    assert attached.rang() == [("created", "1"), ("cancelled", "1"), ("created", "1")]


def test_a_row_that_is_on_again_is_there_again(attached):
    attached.book()
    attached.write(SET.format("status = 'cancelled'"))
    attached.write(SET.format("status = 'booked'"))
    assert attached.rang() == [("created", "1"), ("cancelled", "1"), ("created", "1")]


def replaced_in_one_transaction(attached):
    attached.book()
    attached.rang()
    with attached.web.transaction():
        attached.write("DELETE FROM shop.appointments")
        attached.book(title="Other")
    return attached.rang()


def test_a_row_deleted_and_written_anew_in_one_transaction_has_only_changed(attached):
    assert replaced_in_one_transaction(attached) == [("updated", "1")]
    assert attached.event("subject") == "Other"


def test_without_looking_who_claims_it_it_would_be_gone(attached):
    attached.owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey, ADD PRIMARY KEY (title)")
    attached.attach()
    attached.db.cripple("cancel_released", ("IF NOT EXISTS", "IF true OR NOT EXISTS"))
    assert replaced_in_one_transaction(attached) == [("updated", "1"), ("cancelled", "1")]


def test_what_is_deleted_in_the_end_is_cancelled(attached):
    attached.book()
    with attached.web.transaction():
        attached.write("DELETE FROM shop.appointments")
        attached.book()
        attached.write("DELETE FROM shop.appointments")
    assert attached.rang()[-1] == ("cancelled", "1")


# ---- triggers of the backend's own ----

MENDS = """
CREATE FUNCTION shop.mend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.title = 'draft' THEN
        UPDATE shop.appointments SET title = 'mended' WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER a_mend AFTER INSERT OR UPDATE ON shop.appointments FOR EACH ROW EXECUTE FUNCTION shop.mend();
"""


def mended(attached):
    """The backend's own trigger comes first and changes the row."""
    attached.owner.execute(MENDS)
    attached.book(title="draft")
    attached.write(SET.format("title = 'draft', minutes = 45"))
    return attached.event("subject")


def test_what_another_trigger_made_of_the_row_is_what_the_calendar_has(attached):
    assert mended(attached) == "mended"
    assert attached.event("duration_minutes") == 45


def test_a_row_that_another_trigger_deletes_never_comes(attached):
    attached.owner.execute(
        "CREATE FUNCTION shop.away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM shop.appointments WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER a_away AFTER INSERT ON shop.appointments FOR EACH ROW EXECUTE FUNCTION shop.away()"
    )
    attached.book()
    assert attached.rang() == []


@pytest.mark.parametrize("key", ["UNIQUE (id)", "UNIQUE (id, title)", "UNIQUE (starts_at, id) INCLUDE (notes)", "UNIQUE (id) DEFERRABLE INITIALLY DEFERRED"])
def test_a_table_without_a_primary_key_rings_by_another_key(shop, key):
    shop.owner.execute("ALTER TABLE shop.appointments DROP CONSTRAINT appointments_pkey")
    shop.owner.execute(f"ALTER TABLE shop.appointments ALTER id SET NOT NULL, ADD {key}")
    shop.attach()
    shop.book()
    shop.write(SET.format("title = 'Other'"))
    shop.write("DELETE FROM shop.appointments")
    assert shop.rang() == [("created", "1"), ("updated", "1"), ("cancelled", "1")]


# ---- rows that cannot ring ----

TOO_LONG = "x" * 256


def test_a_row_that_is_refused_is_written_recorded_and_warned_of(attached):
    attached.book(title=TOO_LONG)
    assert attached.write("SELECT count(*) FROM shop.appointments").fetchone() == (1,)
    assert attached.rang() == []
    assert attached.refusals() == [("INSERT", "1", "SB006")]
    ((state, words),) = attached.warnings()
    assert state == "SB006" and "shop.appointments" in words and "INSERT" in words and "subject" in words
    attached.write(SET.format("title = 'short'"))
    assert attached.rang() == [("created", "1")]


def test_on_error_raise_fails_the_statement(shop):
    shop.attach(on_error="raise")
    with pytest.raises(psycopg.Error) as caught:
        shop.book(title=TOO_LONG)
    assert caught.value.diag.sqlstate == "SB006"
    assert shop.write("SELECT count(*) FROM shop.appointments").fetchone() == (0,)
    assert shop.refusals() == []


@pytest.mark.parametrize("column, value, code", [
    ("title", "''", None), ("minutes", "0", "SB004"), ("minutes", "44641", "SB004"), ("starts_at", "'infinity'", "SB003"),
    ("guests", "'{}'", "SB007"), ("guests", "'null'", None), ("room", "repeat('r', 1025)", "SB009"), ("host_email", "'nobody'", "SB001"),
])  # fmt: skip
def test_one_bad_row_of_a_statement_does_not_touch_the_others(attached, column, value, code):
    attached.book(1)
    attached.book(2)
    attached.rang()
    attached.write(f"UPDATE shop.appointments SET {column} = CASE id WHEN 1 THEN {value} ELSE {column} END, room = coalesce(room, 'Room 2')"
                   if column != "room" else f"UPDATE shop.appointments SET room = CASE id WHEN 1 THEN {value} ELSE 'Room 2' END")  # fmt: skip
    assert attached.rang()[-1] == ("updated", "2")
    assert [row[2] for row in attached.refusals()] == ([code] if code else [])


@pytest.mark.parametrize("uid, listed, code", [
    ("u" * 255, None, None), ("u" * 256, None, "SB002"), ("", "", "SB002"), (None, None, "SB002"), ("a\nb", None, "SB002"),
], ids=["longest", "too long", "empty", "none", "control"])  # fmt: skip
def test_a_uid_that_cannot_be_one_is_not_kept_either(shop, uid, listed, code):
    shop.attach(uid="notes || ''")
    shop.book(notes=uid)
    assert shop.rang() == ([] if code else [("created", uid)])
    assert shop.refusals() == ([("INSERT", listed, code)] if code else [])


def test_neither_record_nor_warning_holds_personal_data(shop):
    shop.attach(duration_minutes="(notes)::integer")
    shop.book(1, notes="Grace Hopper, +1 555 0100")
    shop.book(2, notes="30", title=TOO_LONG, guests='[{"email": "grace@example.com"}]')
    shop.book(3, notes="30", host_email="Grace Hopper")
    assert [row[2] for row in shop.refusals()] == ["22P02", "SB006", "SB001"]
    kept = str(shop.db.query("SELECT * FROM slotbell.refusal"))
    said = str([(n.message_primary, n.message_detail, n.message_hint, n.context) for n in shop.notices])
    assert "22P02" in said
    for text in (kept, said):
        assert "Grace" not in text and "grace" not in text and "555" not in text and "xxx" not in text


def test_of_refusals_the_newest_thousand_are_kept_and_a_statement_warns_once_of_each_kind(attached):
    attached.write("INSERT INTO shop.appointments (id, host_email, starts_at, title) SELECT i, %s, %s, repeat('x', 256)"
                   " FROM generate_series(1, 1500) i", ADA, TO_COME)  # fmt: skip
    kept = attached.db.query("SELECT uid::int FROM slotbell.refusal ORDER BY id")
    assert 1000 <= len(kept) <= 1100 and kept[-1] == 1500
    assert [state for state, _ in attached.warnings()] == ["SB006"]
    with attached.web.transaction():
        attached.book(1501, title="x" * 256)
        attached.book(1502, minutes=0)
        attached.book(1503, minutes=0)
    attached.book(1504, minutes=0)
    assert [state for state, _ in attached.warnings()] == ["SB006", "SB004", "SB004"]


# ---- errors that are no fault of the row ----


def deadlocked(attached):
    """Two transactions publish in opposite order, one by hand: PostgreSQL ends one of them. Returns what rang of the other's row."""
    from test_sql_order import in_thread, wait_until, waits_for_a_lock

    attached.book(1)
    attached.book(2)
    attached.rang()
    by_hand, web = attached.db.connect(autocommit=False), attached.connect("web", autocommit=False)
    by_hand.execute("SET deadlock_timeout = '1h'")  # so that it is the other one that ends
    publish = f"SELECT slotbell.publish('{ADA}', %s, '{TO_COME}', 30, 'UTC', 'by hand')"
    by_hand.execute(publish, ("1",))
    web.execute("UPDATE shop.appointments SET title = 'Other' WHERE id = 2")
    web.execute("SET CONSTRAINTS ALL IMMEDIATE")
    waiting = in_thread(lambda: by_hand.execute(publish, ("2",)))
    wait_until("the hand waits", lambda: waits_for_a_lock(attached.db, by_hand))
    try:
        web.execute("UPDATE shop.appointments SET title = 'Other' WHERE id = 1")
        web.commit()
        committed = True
    except psycopg.errors.DeadlockDetected:
        web.rollback()
        committed = False
    waiting.result()
    by_hand.rollback()
    return committed, attached.rang()


def test_a_deadlock_fails_the_statement_and_is_never_swallowed(attached):
    assert deadlocked(attached) == (False, [])


def test_swallowed_it_would_commit_without_its_bell(attached):
    attached.change_function("slotbell_judge_appointments", ("'40', ", ""))
    committed, rang = deadlocked(attached)
    assert committed and ("updated", "1") not in rang
