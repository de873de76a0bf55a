"""Core's remedies taken out, one by one: the unit test that guards each must fail then.

How that is done: remedies.py. (Remedies in SQL are taken out where they are
tested: test_sql_order.py and test_daemon_races.py.)
"""

import pytest
from remedies import Remedy, assert_guarded, needs_ninja

REMEDIES = {
    "register, then fetch, always": Remedy(
        "mailbox.c", "session->settled = false;", "session->settled = true;",
        "test_core_resume", "a_commit_between_authentication_and_registration_is_delivered"),
    "an answer counts only for those that were there when it was asked": Remedy(
        "mailbox.c", "if (!session->asked)\n", "if (0)\n",
        "test_core_resume", "an_answer_older_than_a_session_does_not_count_for_it"),
    "a mailbox stays while a fetch is in flight": Remedy(
        "mailbox.c", "if (!mailbox->sessions && !mailbox->fetching)", "if (!mailbox->sessions)",
        "test_core_resume", "a_mailbox_left_and_entered_again_waits_for_its_own_answer"),
    "one fetch of a mailbox at a time": Remedy(
        "mailbox.c", "\tif (mailbox->fetching)\n\t\treturn;\n", "",
        "test_core_resume", "forged_wakes_cost_one_fetch_at_a_time"),
    "a wake during a fetch repeats it": Remedy(
        "mailbox.c", "\tmailbox->stale = true;\n\tsb_mailbox_feed(mailbox);", "\tmailbox->stale = !mailbox->fetching;\n\tsb_mailbox_feed(mailbox);",
        "test_core_resume", "forged_wakes_cost_one_fetch_at_a_time"),
    "a fetch that failed is asked again": Remedy(
        "mailbox.c", "if (!mailbox->run)\n\t\tstart_deadline(mailbox);", "",
        "test_core_time", "a_fetch_that_failed_is_asked_again_soon"),
    "a run that no session takes is no lack of memory": Remedy(
        "mailbox.c", "if (result == 0) /* else", "if (result == 0 && (!answer->count || mailbox->run)) /* else",
        "test_core_pump", "the_second_of_two_hellos_in_one_batch_gets_its_backlog"),
    "a session that leaves lets the others ask": Remedy(
        "mailbox.c", "\tsb_mailbox_feed(mailbox);\n\tfree_if_empty(mailbox);", "\tfree_if_empty(mailbox);",
        "test_core_pump", "a_run_that_goes_with_its_taker_leaves_nobody_without"),
    "a fetch for which there was no memory is asked again": Remedy(
        "mailbox.c", "start_deadline(mailbox); /* out of memory */", ";",
        "test_core_pump", "a_fetch_that_the_store_has_no_memory_for_is_asked_again"),
    "events that could not be held are asked again": Remedy(
        "mailbox.c", "if (mailbox->run || result != 0)", "if (mailbox->run)",
        "test_core_pump", "events_that_cannot_be_held_are_asked_again"),
    "the reconcile compares heads": Remedy(
        "hub.c", "return held->head != told->head || ", "return ",
        "test_core_resume", "a_lost_notification_is_made_good_by_the_reconcile"),
    "a control notification is a question to the row": Remedy(
        "hub.c", "(void)hub->store->ops->recheck(hub->store, device_id);",
        "sb_session_close(sb_devices_find(hub, device_id), SB_REASON_REVOKED);",
        "test_core_resume", "a_forged_control_closes_nobody"),
    "who was being authenticated asks again after news of an unknown device": Remedy(
        "hub.c", "hub->unheard++;", ";",
        "test_core_resume", "a_revocation_between_authentication_and_registration_is_heard"),
    "the higher session number wins, whichever answer comes first": Remedy(
        "session_store.c", "s->session_no > session->session_no", "0",
        "test_core_resume", "an_older_session_whose_answer_comes_late_gives_way"),
    "an old socket's end removes its own session": Remedy(
        "devices.c", "if (first == session && session->device_next) {", "if (0) {",
        "test_core_rivals", "late_close_of_an_old_socket_keeps_the_new_session"),
    "mode once replaces nobody": Remedy(
        "session_store.c", "if (session->role == SB_ROLE_LIVE && !take_over(session))", "if (!take_over(session))",
        "test_core_resume", "mode_once_catches_up_and_leaves_and_replaces_nobody"),
    "mode once waits until its ack is saved": Remedy(
        "session.c", "session->saved >= session->sent && !session->reset_open", "!session->reset_open",
        "test_core_resume", "mode_once_catches_up_and_leaves_and_replaces_nobody"),
    "mode once waits until its reset is acked": Remedy(
        "session.c", "session->saved >= session->sent && !session->reset_open", "session->saved >= session->sent",
        "test_core_failover", "mode_once_leaves_only_when_its_reset_is_acked"),
    "acked means saved": Remedy(
        "session_client.c", "\t\tsb_session_save(session);\n\tsb_session_wake(session); /* the window",
        "\t\tsb_session_save(session), session->saved = session->acked, session->owes_acked = true;\n\tsb_session_wake(session); /* the window",
        "test_core_session", "acked_is_said_only_when_the_database_has_it"),
    "an ack is kept though its session goes": Remedy(
        "session.c", "\t\tsb_session_save_last(session);\n", "",
        "test_core_session", "an_ack_is_kept_though_its_session_goes_at_once"),
    "the window": Remedy(
        "session.c", "       session->limit;", "       INT64_MAX;",
        "test_core_session", "no_more_than_the_window_is_in_flight"),
    "a drain waits for acks in flight": Remedy(
        "hub.c", "return hub->acks_asked != hub->acks_answered;", "return hub->acks_asked > INT64_MAX;",
        "test_core_drain", "who_is_not_told_yet_is_served_as_ever_and_who_comes_now_is_told_at_once"),
    "a cursor beyond head is no cursor": Remedy(
        "numbering.c", "cursor->seq <= numbering->head ? SB_VERDICT_GOOD : SB_VERDICT_BEYOND", "SB_VERDICT_GOOD",
        "test_core_failover", "a_cursor_beyond_head_gets_a_reset_until_it_is_acked"),
    "of the previous epoch only what survived goes on": Remedy(
        "numbering.c", " &&\n\t    cursor->seq <= numbering->base)", ")",
        "test_core_failover", "a_live_session_that_missed_the_failover_is_reset_by_the_new_epoch"),
    "what was saved of a lost history is not saved in the new one": Remedy(
        "session.c", "\tif (session->saved > seq)\n\t\tsession->saved = seq;\n", "",
        "test_core_failover", "a_live_session_beyond_a_lagging_standby_is_reset_before_the_next_booking"),
    "events that are gone are said to be": Remedy(
        "session.c", "if (session->sent < numbering->floor)", "if (0)",
        "test_core_failover", "who_lags_while_events_expire_is_told_so"),
}  # fmt: skip


@needs_ninja
@pytest.mark.parametrize("name", REMEDIES)
def test_without_it_its_unit_test_fails(name, tmp_path):
    remedy = REMEDIES[name]
    assert_guarded(remedy._replace(file=f"daemon/core/{remedy.file}"), tmp_path)
