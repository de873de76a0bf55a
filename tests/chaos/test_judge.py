"""The judge of the chaos checker, on made-up histories: each story has one thing wrong, and that is what it must say."""

import itertools

import pytest
from history import History, read
from judge import CHECKS, JUMP, Judge, tell

ADA, BOB = "ada@example.com", "bob@example.com"


class Story:
    """A history in the making. What is not said is as it should be."""

    def __init__(self):
        self.lines = []
        self._clock = itertools.count(1)
        self._sessions = itertools.count(1)

    def add(self, what, **fields):
        self.lines.append({"at": float(next(self._clock)), "what": what, **fields})
        return self

    def session(self, device=1, mailbox=ADA, at="e1.0", cursor=None, way="Websocket"):
        """hello and welcome."""
        self.n = next(self._sessions)
        self.add("session", device=device, mailbox=mailbox, n=self.n, cursor=cursor, daemon=1, way=way)
        return self.add("welcome", device=device, n=self.n, cursor=at, head=0)

    def booking(self, seq, mark=None, device=1, epoch="e1", change="created", uid=None, version=None):
        mark = mark or f"m{seq}"
        return self.add("booking", device=device, n=self.n, seq=seq, epoch=epoch, uid=uid or f"uid {mark}",
                        version=version or seq, change=change, mark=mark)  # fmt: skip

    def acks(self, cursor, device=1, failed=None):
        return self.add("acks", device=device, n=self.n, cursor=cursor, failed=failed or {})

    def acked(self, cursor, device=1):
        return self.add("acked", device=device, n=self.n, cursor=cursor)

    def ended(self, device=1, how="closed", code=1000):
        return self.add("ended", device=device, n=self.n, how=how, code=code)

    def published(self, mark, begun, commit, ended, outcome="committed", how="told", mailbox=ADA):
        return self.add("published", writer=1, n=1, begun=begun, commit=commit, ended=ended, outcome=outcome, how=how,
                        marks={mark: mailbox})  # fmt: skip

    def database(self, head, acked=None, marks=None, device=1, mailbox=ADA, base=0, epoch="e1", previous=None, start=0, failures=()):
        """What it holds at the end."""
        self.add("mailbox", address=mailbox, head=head, base=base, epoch=epoch, previous_epoch=previous)
        self.add("device", device=device, mailbox=mailbox, start=start, acked=head if acked is None else acked)
        for mark in marks or [f"m{seq}" for seq in range(1, head + 1)]:
            self.add("booked", mark=mark, mailbox=mailbox, rings=True)
        for seq, reason in failures:
            self.add("failure", device=device, seq=seq, reason=reason)
        return self

    def wrong(self, may_lose=False, least=None):
        """What the judge finds fault with."""
        problems = Judge(may_lose).feed(self.lines).verdict(least)
        return {check for check, found in problems.items() if found}


def good():
    """Three bookings in two sessions; the second of them is repeated, for its ack was not confirmed."""
    story = Story().session().booking(1).acks("e1.1").acked("e1.1").booking(2).ended(how="broken off", code=None)
    return story.session(at="e1.1").booking(2).booking(3).acks("e1.3").acked("e1.3").ended()


def test_a_good_story_has_nothing_wrong():
    assert good().database(3).wrong() == set()


def test_a_booking_that_nobody_got_is_lost():
    assert good().database(4, acked=3).wrong() == {
        "committed_is_delivered", "numbers_have_no_hole", "acks_are_in_effect_once"}  # fmt: skip


def test_a_booking_that_one_of_two_devices_did_not_get_is_lost():
    story = good().session(device=2).booking(1, device=2).booking(2, device=2).acks("e1.2", device=2)
    story.acked("e1.2", device=2).ended(device=2).database(3)
    story.add("device", device=2, mailbox=ADA, start=0, acked=3)
    assert story.wrong() == {"committed_is_delivered"}


def test_a_device_of_which_nothing_was_heard_lost_all():
    story = good().database(3)
    story.add("device", device=2, mailbox=ADA, start=0, acked=0)
    assert story.wrong() == {"committed_is_delivered", "acks_are_in_effect_once"}


def test_a_device_that_was_enrolled_later_need_not_get_what_was_before():
    story = good().session(device=2, at="e1.2").booking(3, device=2).acks("e1.3", device=2).acked("e1.3", device=2)
    story.database(3).add("device", device=2, mailbox=ADA, start=2, acked=3)
    assert story.wrong() == set()


def test_a_booking_that_was_rolled_back_and_rang_is_a_fault():
    assert good().database(3, marks=["m1", "m3"]).wrong() == {"delivered_was_committed", "numbers_have_no_hole"}


def test_a_gap_in_a_session_is_a_fault_even_if_it_is_filled_later():
    story = Story().session().booking(1).booking(3).ended(how="broken off", code=None)
    story.session().booking(1).booking(2).booking(3).acks("e1.3").acked("e1.3")
    assert story.database(3).wrong() == {"in_order_without_gap"}


def test_a_gap_right_after_welcome_is_a_fault():
    story = Story().session().booking(2).ended(how="broken off", code=None)
    story.session().booking(1).booking(2).acks("e1.2").acked("e1.2")
    assert story.database(2).wrong() == {"in_order_without_gap"}


def test_two_that_are_swapped_are_a_fault():
    story = Story().session().booking(2).booking(1).booking(3).acks("e1.3").acked("e1.3")
    assert story.database(3).wrong() == {"in_order_without_gap"}


def test_an_event_twice_in_one_session_is_a_fault():
    story = Story().session().booking(1).booking(1).booking(2).acks("e1.2").acked("e1.2")
    assert story.database(2).wrong() == {"in_order_without_gap"}


def test_live_that_passes_over_an_event_is_a_fault():
    story = Story().session().booking(1).add("live", device=1, n=1, cursor="e1.2")
    story.booking(3).ended(how="broken off", code=None).session(at="e1.1")
    story.session().booking(1).booking(2).booking(3).acks("e1.3").acked("e1.3")
    assert story.database(3).wrong() == {"in_order_without_gap"}


def test_a_number_that_is_used_twice_is_a_fault():
    story = good().session(device=2, at="e1.0").booking(1, "m9", device=2).booking(2, device=2).booking(3, device=2)
    story.acks("e1.3", device=2).acked("e1.3", device=2).database(3)
    story.add("device", device=2, mailbox=ADA, start=0, acked=3)
    assert "one_number_one_event" in story.wrong()


def test_an_event_with_two_numbers_is_a_fault():
    story = Story().session().booking(1).booking(2, "m1").acks("e1.2").acked("e1.2")
    assert "one_number_one_event" in story.database(2, marks=["m1"]).wrong()


def test_an_event_that_reads_otherwise_the_second_time_is_a_fault():
    story = Story().session().booking(1).ended(how="broken off", code=None)
    story.session().booking(1, change="cancelled").acks("e1.1").acked("e1.1")
    assert story.database(1).wrong() == {"one_number_one_event"}


@pytest.mark.parametrize("first, second, good", [(7, 8, True), (7, 5000, True), (7, 7, False), (7, 6, False)])
def test_a_version_that_does_not_grow_is_a_fault(first, second, good):
    story = Story().session().booking(1, uid="u", version=first).booking(2, uid="u", version=second).booking(3, uid="v", version=1)
    story.acks("e1.3").acked("e1.3")
    assert story.database(3).wrong() == (set() if good else {"versions_grow"})


def test_an_event_again_after_acked_is_a_fault():
    story = Story().session().booking(1).acks("e1.1").acked("e1.1").ended(how="broken off", code=None)
    story.session().booking(1).acks("e1.1").acked("e1.1")
    assert story.database(1).wrong() == {"acked_is_never_sent_again"}


def test_a_welcome_behind_what_the_client_said_itself_is_a_fault():
    story = Story().session().booking(1).acks("e1.1").ended(how="broken off", code=None)
    story.session(cursor="e1.1").booking(1).acks("e1.1").acked("e1.1")
    assert story.database(1).wrong() == {"acked_is_never_sent_again"}


def test_an_ack_that_was_confirmed_and_is_not_in_the_database_is_a_fault():
    story = Story().session().booking(1).acks("e1.1").acked("e1.1")
    assert story.database(1, acked=0).wrong() == {"acks_are_in_effect_once"}


def test_an_ack_that_goes_back_is_a_fault():
    story = Story().session().booking(1).booking(2).acks("e1.2").acked("e1.2").acked("e1.1")
    assert story.database(2).wrong() == {"acks_are_in_effect_once"}


def test_an_ack_of_what_the_client_did_not_ack_is_a_fault():
    story = Story().session().booking(1).booking(2).acks("e1.1").acked("e1.2")
    assert story.database(2).wrong() == {"acks_are_in_effect_once"}


def test_failures_are_counted():
    story = Story().session().booking(1).booking(2).acks("e1.2", failed={"1": "conflict"}).acked("e1.2")
    assert story.database(2).wrong() == {"failures_are_kept_once"}  # lost
    lines = list(story.lines)
    story.add("failure", device=1, seq=1, reason="conflict")
    assert story.wrong() == set()
    story.add("failure", device=1, seq=1, reason="conflict")
    assert story.wrong() == {"failures_are_kept_once"}  # twice
    story.lines = [*lines, {"at": 99, "what": "failure", "device": 1, "seq": 1, "reason": "rejected"}]
    assert story.wrong() == {"failures_are_kept_once"}  # another one


def test_commit_order_is_held_to_real_time():
    story = good().database(3)
    assert story.published("m1", 1, 2, 3).published("m2", 4, 5, 6).published("m3", 4, 5.5, 7).wrong() == set()
    # m2 was committed before m1 began to commit.
    story = good().database(3).published("m1", 1, 9, 10).published("m2", 4, 5, 6)
    assert story.wrong() == {"commit_order_is_seq_order"}
    # Both at once: either order will do.
    assert good().database(3).published("m1", 1, 5.5, 10).published("m2", 4, 5, 6).wrong() == set()


def test_what_a_writer_was_told_must_be_what_the_database_holds():
    assert good().database(3).published("m9", 1, 2, 3).wrong() == {"committed_is_delivered"}
    assert good().database(3).published("m3", 1, 2, 3, outcome="rolled back").wrong() == {"delivered_was_committed"}
    assert good().database(3).published("m9", 1, 2, 3, outcome="rolled back").wrong() == set()


def test_a_reset_without_a_failover_is_a_fault():
    story = good().session(at="e1.3").add("reset", device=1, n=3, cursor="e1.3", reason="epoch")
    assert story.database(3).wrong() == {"resets_only_where_needed"}


def test_closes_and_surprises():
    assert good().session(at="e1.3").ended(code=1013).database(3).wrong() == set()
    assert good().session(at="e1.3").ended(code=4400).database(3).wrong() == {"nobody_met_a_surprise"}
    assert good().database(3).add("surprise", who="daemon 1", text="died").wrong() == {"nobody_met_a_surprise"}


def test_idleness_is_no_success():
    assert Story().wrong() == {"something_happened"}
    assert good().database(3).wrong(least={"sessions": 3}) == {"something_happened"}
    assert good().database(3).wrong(least={"sessions": 2, "deliveries": 4}) == set()


# ---- a failover: up to base the old epoch survived, what came after goes on far beyond ----

NEXT = 2 + JUMP + 1


def failed_over(lost=True):
    """Three events of the old primary, of which two survived, and one of the new one."""
    story = Story().session().booking(1).booking(2)
    if lost:
        story.booking(3, "lost").acks("e1.3").acked("e1.3")
        return story.add("reset", device=1, n=1, cursor="e1.2", reason="epoch")
    return story.acks("e1.2").acked("e1.2")


def after(story, **more):
    return story.database(NEXT, marks=["m1", "m2", "new"], base=2, epoch="e2", previous="e1", **more)


def test_a_failover_without_loss_goes_on_in_the_new_epoch():
    story = failed_over(lost=False).booking(NEXT, "new", epoch="e2").acks(f"e2.{NEXT}").acked(f"e2.{NEXT}")
    assert after(story).wrong() == set()


def test_a_jump_to_anywhere_else_is_a_gap():
    story = failed_over(lost=False).booking(NEXT + 1, "new", epoch="e2").acks(f"e2.{NEXT + 1}").acked(f"e2.{NEXT + 1}")
    assert "in_order_without_gap" in after(story).wrong()


def test_what_postgresql_lost_itself_may_be_lost_where_that_is_said():
    story = failed_over().booking(NEXT, "new", epoch="e2").acks(f"e2.{NEXT}").acked(f"e2.{NEXT}")
    assert after(story).wrong(may_lose=True) == set()
    assert after(story).wrong() == {"delivered_was_committed", "numbers_have_no_hole", "resets_only_where_needed"}


def test_a_failure_may_be_lost_with_the_old_primary_only():
    story = failed_over().booking(NEXT, "new", epoch="e2").acks(f"e2.{NEXT}", failed={"2": "conflict"}).acked(f"e2.{NEXT}")
    assert after(story).wrong(may_lose=True) == set()
    story = failed_over().booking(NEXT, "new", epoch="e2").acks(f"e2.{NEXT}", failed={str(NEXT): "conflict"}).acked(f"e2.{NEXT}")
    assert after(story).wrong(may_lose=True) == {"failures_are_kept_once"}


def test_a_reset_of_one_who_had_lost_nothing_is_a_fault():
    story = failed_over(lost=False).add("reset", device=1, n=1, cursor="e1.2", reason="epoch")
    story.booking(NEXT, "new", epoch="e2").acks(f"e2.{NEXT}").acked(f"e2.{NEXT}")
    assert after(story).wrong(may_lose=True) == {"resets_only_where_needed"}


def test_a_lost_number_that_is_given_again_is_a_fault():
    story = failed_over().booking(3, "new").acks("e1.3").acked("e1.3")
    assert "one_number_one_event" in story.database(3, marks=["m1", "m2", "new"]).wrong(may_lose=True)


def test_a_booking_after_the_failover_that_vanishes_is_a_fault():
    assert "committed_is_delivered" in after(failed_over(), acked=2).wrong(may_lose=True)


# ---- how it is told ----


def test_every_check_is_told_with_its_problems(capsys):
    problems = Judge().feed(good().database(4, acked=3).lines).verdict()
    assert not tell(problems, "chaos")
    lines = capsys.readouterr().out.splitlines()
    assert "  device 1 never got m4" in lines
    assert [line.split()[2].rstrip(":") for line in lines if line.startswith(("PASS", "FAIL"))] == list(CHECKS)
    assert sum(line.startswith("FAIL chaos ") for line in lines) == 3


def test_many_problems_are_cut_short(capsys):
    problems = {name: [] for name in CHECKS} | {"nobody_met_a_surprise": [f"number {n}" for n in range(9)]}
    assert not tell(problems, "chaos")
    assert "  and 1 more" in capsys.readouterr().out.splitlines()


def test_a_history_is_read_as_it_was_written(tmp_path):
    history = History(tmp_path / "history.jsonl")
    for line in good().database(3).lines:
        history.add(**{name: value for name, value in line.items() if name != "at"})
    history.close()
    judge = Judge().feed(read(history.path))
    assert not any(judge.verdict().values())
    assert judge.figures["deliveries"] == 4 and judge.figures["repeats of what was not acked"] == 1


def late_ack(way, first, second=None):
    """Event 3 was acked by a session that broke off; the next one was told that acks reach 1, and gets these."""
    story = Story().session()
    for seq in (1, 2, 3):
        story.booking(seq)
    story.acks("e1.3").ended(how="broken off").session(at="e1.1", way=way).booking(first)
    if second:
        story.booking(second)
    return story.database(6, marks=[f"m{seq}" for seq in range(1, 7)]).wrong()


def test_an_ack_on_its_way_may_move_the_start_of_a_poll_and_of_nothing_else():
    gap = "in_order_without_gap"
    assert gap not in late_ack("Poll", 4) and gap not in late_ack("Poll", 3) and gap not in late_ack("Poll", 2)
    assert gap in late_ack("Poll", 5), "it did not ack that"
    assert gap in late_ack("Poll", 2, 4), "only until its first event"
    for way, live, fault in (("Poll", 3, False), ("Poll", 4, True), ("Websocket", 3, True)):
        story = Story().session().booking(1).booking(2).booking(3).acks("e1.3").ended(how="broken off").session(at="e1.1", way=way)
        story.add("live", device=1, n=story.n, cursor=f"e1.{live}").booking(live + 1).database(6, marks=[f"m{seq}" for seq in range(1, 7)])
        assert (gap in story.wrong()) == fault, (way, live)
    assert gap in late_ack("Websocket", 4) and gap in late_ack("Stream", 4)
