"""Who may do what: the owner of a table attaches it, whoever writes to it needs nothing, and no text of a stranger runs with our rights."""

import psycopg
import pytest
from fixtures_attach import ADA, BOB, TO_COME

pytest_plugins = ["fixtures_attach"]

DENIED = psycopg.errors.InsufficientPrivilege


def state_of(connection, sql):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql)
    return caught.value.diag.sqlstate


# ---- the least that is needed ----


def test_whoever_writes_has_nothing_of_slotbell(attached):
    for what in ("slotbell.publish(text,text,timestamptz,integer,text,text,jsonb,text,jsonb)", "slotbell.ring(text,text,jsonb,jsonb)",
                 "shop.slotbell_ring_appointments()", "shop.slotbell_judge_appointments()", "shop.slotbell_rows_appointments(text[])"):  # fmt: skip
        assert attached.db.one("SELECT has_function_privilege('web', %s, 'EXECUTE')", what) is False
    assert attached.db.one("SELECT has_schema_privilege('web', 'slotbell', 'USAGE')") is False
    attached.book()
    assert attached.rang() == [("created", "1")]


def test_the_owner_reads_no_table_of_slotbell(attached):
    for table in ("event", "mailbox", "device", "booking_state", "receipt", "refusal", "resync_need"):
        with pytest.raises(DENIED):
            attached.owner.execute(f"SELECT * FROM slotbell.{table}")


def test_an_owner_who_may_not_publish_is_told_what_to_grant(shop):
    shop.db.connect().execute("ALTER TABLE shop.appointments OWNER TO stranger; GRANT USAGE, CREATE ON SCHEMA shop TO stranger")
    said = shop.refused("SB021", connection=shop.db.connect())
    assert said.message_hint == "GRANT slotbell_publisher TO stranger;"
    with pytest.raises(DENIED):
        shop.attach(connection=shop.db.connect("stranger"))


def test_an_owner_who_may_not_create_functions_is_told_what_to_grant(shop):
    shop.db.connect().execute("ALTER SCHEMA shop OWNER TO postgres; GRANT USAGE ON SCHEMA shop TO shopkeeper")
    assert shop.refused("SB021").message_hint == "GRANT CREATE ON SCHEMA shop TO shopkeeper;"


def test_only_the_owner_attaches_and_detaches(attached):
    publisher = attached.db.connect("publisher")
    attached.db.connect().execute("GRANT USAGE ON SCHEMA shop TO publisher")
    said = attached.refused("SB021", connection=publisher)
    assert "belongs to shopkeeper" in said.message_primary and "publisher" in said.message_detail
    assert state_of(publisher, "SELECT slotbell.detach('shop.appointments')") == "SB021"
    attached.book()
    assert attached.rang() == [("created", "1")]


def test_what_attach_makes_is_the_owners(attached):
    made = "SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc WHERE proname ~ '^slotbell_r' AND pronamespace = 'shop'::regnamespace"
    assert attached.db.query(made) == ["shopkeeper"]


def test_a_right_that_is_taken_back_ends_the_ringing_and_not_the_writing(attached):
    attached.db.connect().execute("REVOKE slotbell_publisher FROM shopkeeper")
    try:
        attached.book()
        ((_, words),) = attached.warnings()
        assert "rings nothing" in words and "permission denied" in words
    finally:
        attached.db.connect().execute("GRANT slotbell_publisher TO shopkeeper")
    attached.write("UPDATE shop.appointments SET title = 'Other'")
    assert attached.rang() == [("created", "1")]


def test_a_table_that_changed_its_owner_rings_with_the_rights_of_the_old_one_until_it_is_attached_again(attached):
    superuser = attached.db.connect()
    superuser.execute("ALTER TABLE shop.appointments OWNER TO publisher; GRANT USAGE, CREATE ON SCHEMA shop TO publisher;"
                      " GRANT SELECT ON shop.appointments TO shopkeeper")  # fmt: skip
    attached.book(1)
    attached.attach(connection=attached.db.connect("publisher"))
    attached.book(2)
    assert attached.rang() == [("created", "1"), ("created", "2")]
    assert attached.db.query("SELECT runs_as FROM slotbell.attachment") == ["publisher"]


# ---- whose text runs with whose rights ----

CAST = """
CREATE TABLE shop.log (who text);
GRANT INSERT ON shop.log TO PUBLIC;
CREATE TYPE shop.state AS ENUM ('booked', 'cancelled');
CREATE FUNCTION shop.to_json(shop.state) RETURNS json LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.log VALUES (current_user); RETURN '"x"'; END $$;
CREATE CAST (shop.state AS json) WITH FUNCTION shop.to_json(shop.state);
CREATE FUNCTION shop.to_text(shop.state) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.log VALUES (current_user); RETURN 'x'; END $$;
CREATE CAST (shop.state AS text) WITH FUNCTION shop.to_text(shop.state);
CREATE FUNCTION shop.who(title text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.log VALUES (current_user); RETURN title; END $$;
ALTER TABLE shop.appointments ADD state shop.state NOT NULL DEFAULT 'booked';
"""


@pytest.mark.parametrize("mapping", [
    {"subject": "shop.who(title)"}, {"cancelled_when": "shop.who(title) IS NULL"}, {"only_when": "shop.who(title) IS NOT NULL"},
    {"mailbox": "shop.who(host_email)"}, {"details": "jsonb_build_object('location', state)"}, {"attendees": "to_jsonb(NULLIF(state, 'booked'))"},
    {"description": "state"}, {"uid": "id || shop.who('')"},
])  # fmt: skip
def test_the_owners_text_runs_as_the_owner_never_as_us_nor_as_the_writer(shop, mapping):
    shop.owner.execute(CAST)
    shop.attach(**{"location": None, **mapping})
    shop.book()
    shop.write("UPDATE shop.appointments SET title = 'Other', state = 'cancelled'")
    shop.db.enrol(ADA)
    shop.owner.execute("SELECT slotbell.resync(%s)", (ADA,))
    assert shop.rang() != []
    assert set(shop.db.query("SELECT who FROM shop.log")) == {"shopkeeper"}


def test_a_row_of_a_stranger_reaches_us_as_values_only(shop):
    """What ring() is given is never looked at as SQL, a name or a type."""
    shop.attach(subject="title")
    shop.book(title="'); DROP TABLE slotbell.event; --", host_email=ADA)
    assert shop.event("subject") == "'); DROP TABLE slotbell.event; --"


def test_another_role_cannot_make_the_owners_function_its_own(attached):
    """A trigger of its own that runs the function would publish as the owner, and the listing tells of every booking."""
    stranger = attached.db.connect("stranger")
    attached.db.connect().execute("GRANT USAGE ON SCHEMA shop TO stranger; CREATE SCHEMA AUTHORIZATION stranger")
    stranger.execute("CREATE TABLE stranger.t (LIKE information_schema.tables)")
    trigger = "CREATE TRIGGER t AFTER INSERT ON stranger.t FOR EACH ROW EXECUTE FUNCTION shop.slotbell_ring_appointments()"
    with pytest.raises(DENIED):
        stranger.execute(trigger)
    with pytest.raises(DENIED):
        stranger.execute("SELECT shop.slotbell_rows_appointments('{ada@example.com}')")
    attached.owner.execute("GRANT EXECUTE ON FUNCTION shop.slotbell_ring_appointments() TO stranger")
    stranger.execute(trigger)  # so it is this right alone that it lacked


def test_default_privileges_of_the_owner_do_not_reach_the_functions(shop):
    shop.owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT EXECUTE ON FUNCTIONS TO web")
    shop.attach()
    assert shop.db.one("SELECT has_function_privilege('web', 'shop.slotbell_rows_appointments(text[])', 'EXECUTE')") is False


def test_what_runs_inside_is_nobodys_to_call(attached):
    for who in ("shopkeeper", "administrator", "web"):
        connection = attached.db.connect(who)
        for call in ("publish_row('{}', 'created')", "reopen('a', 'b', 'UPDATE')", "has_passed('{}')", "add_resync_need(1, 'epoch', 1)", "note_resync_need()", "open_again(1, 'a')", "judged()", "cancel_released()",
                     "note_device_back()", "forget_resync_need()"):  # fmt: skip
            assert state_of(connection, f"SELECT slotbell.{call}") == "42501"


# ---- what is told to whom ----


def test_refusals_are_told_to_the_tables_owner_and_to_administrators(attached):
    attached.book(title="x" * 256)
    one = [("INSERT", "1", "SB006")]
    assert attached.refusals() == one and attached.refusals(attached.db.connect("administrator")) == one
    assert attached.refusals(attached.db.connect("publisher")) == []
    with pytest.raises(DENIED):
        attached.refusals(attached.web)


FORCE = "ALTER TABLE shop.appointments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY web ON shop.appointments TO web USING (true)"


def test_a_table_with_rows_that_its_owner_cannot_see_is_refused(shop):
    shop.owner.execute(FORCE)
    said = shop.refused("SB021")
    assert said.message_hint == "ALTER TABLE shop.appointments NO FORCE ROW LEVEL SECURITY;"
    shop.db.connect().execute("ALTER ROLE shopkeeper BYPASSRLS")
    try:
        shop.attach()
        shop.book()
        shop.write("UPDATE shop.appointments SET title = 'Other'")
    finally:
        shop.db.connect().execute("ALTER ROLE shopkeeper NOBYPASSRLS")
    assert shop.rang() == [("created", "1"), ("updated", "1")]


def hidden_later(attached):
    """The policies come after the attach."""
    attached.book()
    attached.owner.execute(FORCE)
    attached.write("UPDATE shop.appointments SET title = 'Other'")
    return attached.rang(), [state for state, _ in attached.warnings()]


def test_a_row_that_is_hidden_from_its_owner_later_is_not_taken_for_deleted(attached):
    assert hidden_later(attached) == ([("created", "1")], ["42501"])
    assert state_of(attached.owner, f"SELECT slotbell.resync('{ADA}')") == "42501"


def test_with_policies_applied_it_would_be(attached):
    attached.owner.execute("ALTER FUNCTION shop.slotbell_judge_appointments() RESET row_security")
    assert hidden_later(attached) == ([("created", "1"), ("cancelled", "1")], [])


def test_a_policy_that_does_not_bind_the_owner_changes_nothing(shop):
    shop.owner.execute("ALTER TABLE shop.appointments ENABLE ROW LEVEL SECURITY; CREATE POLICY web ON shop.appointments TO web USING (host_email <> 'x')")
    shop.attach()
    shop.book(1)
    shop.db.enrol(ADA)
    assert shop.owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (1,)
    assert shop.rang() == [("created", "1"), ("updated", "1")] and shop.rang(BOB) == []
    shop.write("DELETE FROM shop.appointments WHERE starts_at = %s", TO_COME)
    assert shop.rang() == [("cancelled", "1")]
