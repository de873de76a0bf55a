"""What one publisher may say of the tables of another: nothing. Needs are met, and refusals written, by a table's owner alone."""

import psycopg
import pytest
from fixtures_attach import ADA, BOB

pytest_plugins = ["fixtures_attach"]

BOTH = f"SELECT slotbell.resync(ARRAY['{ADA}', '{BOB}'])"


@pytest.fixture
def two_owners(attached):
    """shopkeeper's table is attached and so is publisher's; ada has a device more."""
    attached.db.connect().execute("CREATE SCHEMA publisher AUTHORIZATION publisher")
    attached.publisher = attached.connect("publisher")
    attached.publisher.execute("CREATE TABLE publisher.lessons (id bigint PRIMARY KEY, host_email text, starts_at timestamptz NOT NULL,"
                               " minutes int NOT NULL DEFAULT 30, title text NOT NULL DEFAULT 'Lesson')")  # fmt: skip
    attached.attach("publisher.lessons", attached.publisher, attendees=None, location=None, cancelled_when=None)
    for connection in (attached.owner, attached.publisher):
        connection.execute(BOTH)
    attached.db.enrol(ADA)
    attached.warnings()
    return attached


def needs(shop):
    return [row[0] for row in shop.owner.execute("SELECT mailbox FROM slotbell.needs_resync").fetchall()]


def end_resync(connection):
    """Calls what resync() calls last, by hand."""
    parts = connection.execute("SELECT mailbox, need FROM slotbell.begin_resync(%s)", ([ADA],)).fetchall()
    return connection.execute("SELECT slotbell.end_resync(%s, %s)", ([row[1] for row in parts], [row[0] for row in parts])).fetchone()


def test_a_need_is_not_met_by_who_published_nothing(two_owners):
    assert end_resync(two_owners.publisher) == (0,) and end_resync(two_owners.connect("administrator")) == (0,)
    assert needs(two_owners) == [ADA]


def claim(table):
    return f"INSERT INTO slotbell.resynced (attached) VALUES ('{table}'::regclass)"


@pytest.mark.parametrize("who, before, state", [
    ("publisher", "", "42501"), ("administrator", "", "42501"), ("web", "", "42501"), ("postgres", "SET ROLE shopkeeper", "42501"),
])  # fmt: skip
def test_a_table_of_another_is_not_said_to_be_published(two_owners, who, before, state):
    two_owners.db.connect().execute("GRANT USAGE ON SCHEMA shop TO publisher, administrator")
    connection = two_owners.connect(who, autocommit=False)
    connection.execute(before or "SELECT 1")
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(claim("shop.appointments"))
    assert caught.value.sqlstate == state


def test_code_of_another_publisher_in_the_owners_session_cannot_say_it_either(two_owners):
    """A trigger function with its own rights, on a table that the owner writes to."""
    two_owners.db.connect().execute("GRANT USAGE ON SCHEMA shop TO publisher; GRANT USAGE ON SCHEMA publisher TO shopkeeper")
    two_owners.publisher.execute(f"CREATE FUNCTION publisher.trap() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {claim('shop.appointments')};"
                                 " END $$")  # fmt: skip
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        two_owners.owner.execute("SELECT publisher.trap()")


def test_what_was_claimed_in_another_transaction_is_worth_nothing(two_owners):
    two_owners.owner.execute(claim("shop.appointments"))
    two_owners.owner.execute("SELECT slotbell.resync(%s)", (BOB,))
    end_resync(two_owners.owner)
    assert needs(two_owners) == [ADA] and two_owners.db.query("SELECT * FROM slotbell.resynced") == []


def test_each_owner_meets_its_own_part(two_owners):
    for connection in (two_owners.owner, two_owners.publisher):
        assert needs(two_owners) == [ADA]
        connection.execute("SELECT slotbell.resync(%s)", (ADA,))
    assert needs(two_owners) == []


def test_needs_of_all_mailboxes_do_not_pile_up_and_are_not_for_everybody_to_make(two_owners):
    every = "SELECT slotbell.need_resync_for_all()"
    for _ in range(5):
        two_owners.owner.execute(every)
        two_owners.owner.execute(BOTH)
    assert two_owners.db.query("SELECT count(*) FROM slotbell.resync_need WHERE reason = 'attached' GROUP BY mailbox_id") == [1, 1]
    assert two_owners.db.one("SELECT max(cardinality(done)) FROM slotbell.resync_need") <= 2
    two_owners.publisher.execute("SELECT slotbell.detach('publisher.lessons')")
    with pytest.raises(psycopg.Error) as caught:
        two_owners.publisher.execute(every)
    assert caught.value.sqlstate == "SB021"


def refuse(connection, relation, uid="1", code="SB006", operation="INSERT"):
    connection.execute("SELECT slotbell.refused(%s, %s, %s, %s, 'words')", (relation, operation, uid, code))


def test_a_refusal_is_written_by_the_tables_owner_alone(two_owners):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        refuse(two_owners.publisher, "shop.appointments")
    refuse(two_owners.publisher, "publisher.lessons")
    assert two_owners.refusals() == [] and two_owners.refusals(two_owners.publisher) == [("INSERT", "1", "SB006")]


@pytest.mark.parametrize("what", [
    "(relation, operation, uid, code, by_role) VALUES ('publisher.lessons', 'INSERT', '1', 'SB006', 'shopkeeper')",
    "(relation, operation, uid, code, at) VALUES ('publisher.lessons', 'INSERT', '1', 'SB006', 'infinity')",
    "(relation, operation, uid, code) VALUES ('shop.appointments', 'INSERT', '1', 'SB006')",
    "(relation, operation, uid, code) VALUES ('publisher.lessons', 'INSERT', repeat('x', 256), 'SB006')",
    "(relation, operation, uid, code) VALUES ('publisher.lessons', 'a long operation', '1', 'SB006')",
    "(relation, operation, uid, code) VALUES ('publisher.lessons', 'INSERT', '1', 'Grace Hopper')",
])  # fmt: skip
def test_the_table_of_refusals_takes_nothing_by_hand_that_refused_would_not_write(two_owners, what):
    two_owners.publisher.execute("INSERT INTO slotbell.refusal (relation, operation, uid, code) VALUES ('publisher.lessons', 'INSERT', '1', 'SB006')")
    with pytest.raises(psycopg.Error) as caught:
        two_owners.publisher.execute(f"INSERT INTO slotbell.refusal {what}")
    assert caught.value.sqlstate in ("42501", "23514")


def test_one_owners_refusals_push_out_none_of_anothers(two_owners):
    two_owners.book(title="x" * 256)
    two_owners.publisher.execute("SELECT slotbell.refused('publisher.lessons', 'INSERT', i::text, 'SB006', 'words') FROM generate_series(1, 1500) i")
    assert two_owners.refusals() == [("INSERT", "1", "SB006")]
    assert 1000 <= len(two_owners.refusals(two_owners.publisher)) <= 1100


def test_without_row_security_anybody_who_may_publish_would_write_of_any_table(two_owners):
    two_owners.db.connect().execute("ALTER TABLE slotbell.refusal DISABLE ROW LEVEL SECURITY; ALTER TABLE slotbell.resynced DISABLE ROW LEVEL SECURITY")
    try:
        refuse(two_owners.publisher, "shop.appointments")
        with two_owners.publisher.transaction():
            two_owners.publisher.execute("INSERT INTO slotbell.resynced (attached) SELECT oid FROM slotbell.attachment")
            end_resync(two_owners.publisher)
        assert needs(two_owners) == []
    finally:
        two_owners.db.connect().execute("ALTER TABLE slotbell.refusal ENABLE ROW LEVEL SECURITY; ALTER TABLE slotbell.resynced ENABLE ROW LEVEL SECURITY")
