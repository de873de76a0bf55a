"""The plug-in's remedies taken out, one by one: the unit test that guards each must fail then (remedies.py says how)."""

import pytest
from remedies import Remedy, assert_guarded, needs_ninja

REMEDIES = {
    "the appointment is flushed before it takes its place": Remedy(
        "file.c", "if (!err && fsync(fd) < 0)", "if (0)",
        "test_plugin_file", "a_file_is_flushed_before_it_takes_its_place"),
    "its folder's entry is flushed before the state is saved": Remedy(
        "client_settle.c", "err = client->ops->sync(client->world);", "err = 0;",
        "test_plugin_crash", "nothing_is_acked_before_it_is_on_the_disk"),
    "the state's entry is flushed before the ack": Remedy(
        "state.c", "return err ? err : sb_file_sync_folder(state->dirfd);", "return err;",
        "test_plugin_state", "it_is_on_the_disk_with_its_folder_s_entry_or_not_saved"),
    "the cursor is saved after the appointments": Remedy(
        "client_settle.c", "\terr = write_appointment(client, message, &written, file);",
        "\tclient->progress.cursor = message->cursor;\n\tclient->progress.has_cursor = true;\n"
        "\tclient->ops->save(client->world, &client->progress);\n"
        "\terr = write_appointment(client, message, &written, file);",
        "test_plugin_crash", "killed_at_any_step_it_loses_and_doubles_nothing"),
    "a flush that failed is still due": Remedy(
        "calendar.c", "\tif (!err)\n\t\tcalendar->dirty = false;", "\tcalendar->dirty = false;",
        "test_plugin_calendar", "a_flush_that_failed_is_still_due"),
    "an older version never overwrites": Remedy(
        "calendar.c", "version >= booking->version", "version == booking->version",
        "test_plugin_calendar", "an_older_version_never_overwrites_a_newer_one"),
    "a version is written once": Remedy(
        "calendar.c", "version >= booking->version", "version > booking->version",
        "test_plugin_calendar", "the_same_version_is_written_once"),
    "nothing is saved past a batch that was not flushed": Remedy(
        "client_settle.c", "\tif (client->state != SB_CLIENT_IN_SESSION)\n\t\treturn;\n\terr = write_appointment",
        "\terr = write_appointment",
        "test_plugin_disk", "a_full_batch_that_cannot_be_flushed_takes_what_follows_with_it"),
    "an event that cannot be read does not end the session": Remedy(
        "client_session.c", "\tif (err == -EPROTO) {", "\tif (err == -EPROTO || err == -EBADMSG) {",
        "test_plugin_session", "an_event_that_cannot_be_read_is_one_failure_and_the_session_goes_on"),
    "an event that cannot be read is no way past a hole": Remedy(
        "client_session.c", "if (skips_an_event(&client->seen, &message->cursor)) {",
        "if (!message->event.unreadable && skips_an_event(&client->seen, &message->cursor)) {",
        "test_plugin_session", "an_event_that_cannot_be_read_may_not_skip_one"),
    "a reset that was not saved is not in hello": Remedy(
        "client_settle.c", "\tif (put_on_disk(client, &next))\n\t\treturn;",
        "\tclient->progress = next;\n\tif (put_on_disk(client, &next))\n\t\treturn;",
        "test_plugin_history", "a_reset_that_could_not_be_saved_is_not_said_in_hello"),
    "numbers may jump where an epoch begins": Remedy(
        "client_session.c", " &&\n\t       next->seq - seen->seq <= SB_CLIENT_EPOCH_JUMP", "",
        "test_plugin_history", "numbers_jump_where_an_epoch_begins"),
    "a gap is noticed": Remedy(
        "client_session.c", "next->seq - seen->seq > 1", "0",
        "test_plugin_session", "a_skipped_event_ends_the_session_unacked"),
    "mode once leaves when acked says so": Remedy(
        "client.c", "!client->ack_due && !client->ack_open", "!client->ack_due",
        "test_plugin_session", "once_leaves_only_when_acked_says_so"),
    "the jitter is full": Remedy(
        "client_end.c", "sb_backoff_next(&client->backoff, client->ops->random(client->world));\n\tuint32_t hint_ms;",
        "sb_backoff_next(&client->backoff, UINT32_MAX);\n\tuint32_t hint_ms;",
        "test_plugin_comeback", "the_jitter_is_full"),
    "a welcome does not shorten the waits for a disk": Remedy(
        "client_end.c", "return client->disk_trouble ? wait_for_disk(client) : backoff_ms;", "return backoff_ms;",
        "test_plugin_disk", "welcomes_do_not_shorten_the_waits_for_a_disk"),
    "one that was replaced does not come back by itself": Remedy(
        "client_end.c", "if (code == REPLACED) {\n\t\t/*", "if (0) {\n\t\t/*",
        "test_plugin_comeback", "one_that_was_replaced_waits_for_its_user"),
    "another device's cursor is not used": Remedy(
        "state.c", "json_integer_value(device) != state->device_id", "0",
        "test_plugin_state", "another_device_s_is_not_taken"),
    "a temporary file is a new one": Remedy(
        "file.c", "\t\tif (snprintf(name, NAME_MAX + 1, \"%s.%016\" PRIx64 \".tmp\", stem, random) > NAME_MAX)\n\t\t\treturn -ENAMETOOLONG;\n"
        "\t\tfd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL |",
        "\t\tif (snprintf(name, NAME_MAX + 1, \"%s.tmp\", stem) > NAME_MAX)\n\t\t\treturn -ENAMETOOLONG;\n"
        "\t\tfd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC |",
        "test_plugin_file", "a_name_that_can_be_foreseen_is_not_written_to"),
    "another user's state is not believed": Remedy(
        "file.c", "\telse if (!is_owner_ours(&st))\n\t\terr = -EPERM;\n\telse\n\t\terr = read_open_file(", "\telse\n\t\terr = read_open_file(",
        "test_plugin_planted", "what_another_user_planted_is_not_believed"),
    "whoever reads the folder cannot hold its lock": Remedy(
        "calendar.c", "err = sb_file_lock(calendar->dirfd, LOCK, &calendar->lockfd);", "err = flock(calendar->dirfd, 2 | 4) < 0 ? -errno : 0;",
        "test_plugin_calendar", "a_lock_on_the_folder_holds_nobody_up"),
    "an appointment of another uid is not overwritten": Remedy(
        "calendar.c", "place->holds == SB_ICAL_ANOTHER || other.holds == SB_ICAL_THIS", "0",
        "test_plugin_calendar", "two_uids_with_one_name_have_a_file_each"),
    "a link that is not plain https is left out": Remedy(
        "ical.c", "if (!url || !*url || sb_link_problem(url))", "if (!url || !*url)",
        "test_plugin_ical_hostile", "a_link_that_is_not_plain_https_is_left_out"),
    "an address has no header fields": Remedy(
        "ical_text.c", "`{|}%?&#/,;:@[]()=", "`{|}",
        "test_plugin_ical_hostile", "an_address_brings_no_header_fields_along"),
    "U+0085 and its like end no line": Remedy(
        "ical_text.c", "if (length > 0 && is_line_break(character)) {",
        "if (length > 1) {\n\t\t\tmemcpy(to, text, length);\n\t\t\tto += length;\n\t\t} else if (length > 0 && is_line_break(character)) {",
        "test_plugin_ical_hostile", "no_line_break_of_any_reader_begins_a_line"),
    "JSON is escaped for a terminal": Remedy(
        "report.c", "sb_clean_json(text)", "strdup(text)",
        "test_plugin_report", "nor_can_json_and_it_keeps_the_value"),
    "words are escaped for a terminal": Remedy(
        "report.c", "sb_clean_words(words, false)", "strdup(words)",
        "test_plugin_report", "what_others_wrote_cannot_steer_a_terminal"),
    "an answer's values are counted": Remedy(
        "http_answer.c", "|| values > VALUES_MAX", "",
        "test_plugin_http_answer", "an_answer_does_not_grow_without_bound_when_it_is_read"),
    "a welcome's back-off is bounded": Remedy(
        "client_session.c", "smaller(welcome->reconnect_max_ms, SB_CLIENT_HINT_MAX_MS)", "welcome->reconnect_max_ms",
        "test_plugin_pace", "a_welcome_may_not_ask_for_a_back_off_of_more_than_an_hour"),
    "a server cannot keep us busy with coming back": Remedy(
        "client_end.c", "++client->quick <= SB_CLIENT_QUICK_MAX", "1",
        "test_plugin_pace", "a_server_may_not_keep_us_busy_with_coming_back"),
}  # fmt: skip


@needs_ninja
@pytest.mark.parametrize("name", REMEDIES)
def test_without_it_its_unit_test_fails(name, tmp_path):
    remedy = REMEDIES[name]
    assert_guarded(remedy._replace(file=f"plugin-stub/{remedy.file}"), tmp_path)
