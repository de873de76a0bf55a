"""A transaction locks its mailboxes in the order of their ids, whatever attached tables add to it at COMMIT: or two would deadlock."""

import psycopg
import pytest
from fixtures_attach import ADA, BOB
from fixtures_sql import BOOKING
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_attach"]


def moves(shop, writer):
    """A booking goes from ADA, the first mailbox, to BOB: its cancel comes a round later than the rest."""
    writer.execute("UPDATE shop.appointments SET host_email = %s", (BOB,))


def moves_two(shop, writer):
    """The same, and another goes the other way."""
    moves(shop, writer)
    writer.execute("UPDATE shop.appointments SET host_email = %s WHERE id = 2", (ADA,))


def publishes_too(shop, writer):
    """One is published by hand for BOB, and its number falls due before a row for ADA is judged."""
    writer.execute(f"SELECT slotbell.publish(%s, 'by-hand', {BOOKING})", (BOB,))
    writer.execute("UPDATE shop.appointments SET title = 'changed' WHERE id = 1")


REMEDIES = {
    moves: ("number_all", "FROM slotbell.released r WHERE r.xact = this_xact\n        ) a GROUP BY", "FROM slotbell.released r WHERE false\n        ) a GROUP BY"),
    publishes_too: ("number_events", "IF unjudged NOT IN ('', '0') THEN", "IF false THEN"),
}


def holds_bob_while_it_waits_for_ada(shop, story):
    """Whether a transaction that commits has locked the second mailbox while somebody has the first."""
    shop.db.enrol(ADA)
    shop.db.enrol(BOB)
    shop.attach()
    shop.book(1)
    shop.book(2, host_email=BOB)
    keeper, looker, writer = shop.db.connect(autocommit=False), shop.db.connect(), shop.connect("shopkeeper", autocommit=False)
    story(shop, writer)
    keeper.execute("SELECT FROM slotbell.mailbox WHERE address = %s FOR UPDATE", (ADA,))
    thread = in_thread(writer.commit)
    wait_until("it waits for the first", lambda: waits_for_a_lock(shop.db, writer))
    try:
        looker.execute("SELECT FROM slotbell.mailbox WHERE address = %s FOR UPDATE NOWAIT", (BOB,))
        held = False
    except psycopg.errors.LockNotAvailable:
        held = True
    keeper.rollback()
    thread.result()
    return held


@pytest.mark.parametrize("story", [moves, moves_two, publishes_too])
def test_the_second_mailbox_is_not_held_while_the_first_is_waited_for(shop, story):
    assert holds_bob_while_it_waits_for_ada(shop, story) is False


@pytest.mark.parametrize("story", REMEDIES)
def test_without_the_remedy_it_would_be(shop, story):
    function, old, new = REMEDIES[story]
    shop.db.cripple(function, (old, new))
    assert holds_bob_while_it_waits_for_ada(shop, story) is True
