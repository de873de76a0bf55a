"""Does the chaos checker find what is broken? Daemons and a database that are known to be bad must be caught.

Short runs on loopback. The good daemon in the same run is the control: what is found elsewhere is not made up.
"""

import os

import pytest
from chaos import Screen, run
from slotbelld import built

# The classic mistake: numbers are given when the booking is made, by a counter that no transaction waits for.
EARLY_NUMBERS = """
DO $$ DECLARE id bigint; BEGIN
    FOR id IN SELECT m.id FROM slotbell.mailbox m LOOP EXECUTE format('CREATE SEQUENCE slotbell.early_%s', id); END LOOP;
END $$;
GRANT ALL ON ALL SEQUENCES IN SCHEMA slotbell TO slotbell_owner;
CREATE FUNCTION slotbell.number_early() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    NEW.seq := nextval('slotbell.early_' || NEW.mailbox_id);
    NEW.published_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER number_early BEFORE INSERT ON slotbell.event FOR EACH ROW EXECUTE FUNCTION slotbell.number_early();
CREATE OR REPLACE FUNCTION slotbell.number_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE slotbell.mailbox m SET head = greatest(m.head, NEW.seq) WHERE m.id = NEW.mailbox_id;
    UPDATE slotbell.booking_state s SET seq = NEW.seq, version = coalesce(s.version, 0) + 1 WHERE s.mailbox_id = NEW.mailbox_id AND s.uid = NEW.uid;
    PERFORM pg_notify('slotbell_wake', NEW.mailbox_id::text);
    RETURN NULL;
END $$;
"""


def short(folder, program="slotbelld", before=None, settle=6):
    """What the judge found in a few seconds: {check: problems}, only those with any."""
    with open(folder / "screen", "w", encoding="utf-8") as screen:
        _, judge = run(folder, seed=1, seconds=5, settle=settle, programs={"slotbelld": built(program)}, networked=False,
                       screen=Screen(screen), before=before, mailboxes=8, devices=12, writers=4)  # fmt: skip
    return {check: problems for check, problems in judge.problems.items() if problems}


def test_a_good_daemon_passes(tmp_path):
    assert short(tmp_path, settle=45) == {}


def test_a_daemon_that_trusts_notifications_alone_is_caught(tmp_path):
    assert "committed_is_delivered" in short(tmp_path, "tests/slotbelld_deaf")


def test_a_daemon_that_tells_acked_before_it_saved_is_caught(tmp_path):
    found = short(tmp_path, "tests/slotbelld_hasty")
    assert "acks_are_in_effect_once" in found and "acked_is_never_sent_again" in found
    assert "committed_is_delivered" not in found


def test_a_database_that_gives_numbers_before_the_commit_is_caught(tmp_path):
    found = short(tmp_path, before=lambda world: world.cluster.psql(EARLY_NUMBERS, "chaos"))
    assert {"committed_is_delivered", "in_order_without_gap", "numbers_have_no_hole"} & found.keys()


long_only = pytest.mark.skipif("SLOTBELL_LONG" not in os.environ, reason="only in make test-long")


@long_only
def test_a_daemon_that_leaves_an_event_out_is_caught(tmp_path):
    assert "in_order_without_gap" in short(tmp_path, "tests/slotbelld_skipping")


@long_only
def test_a_daemon_that_sends_acked_events_again_is_caught(tmp_path):
    assert "acked_is_never_sent_again" in short(tmp_path, "tests/slotbelld_repeating")
