/*
 * Bookings in iCalendar's words (RFC 5545): what a calendar program reads in
 * them. What an ill-willed booking tries is in test_plugin_ical_hostile.c.
 */
#include "plugin-stub/ical.h"

#include "ical_lines.h"
#include "plugin_event.h"
#include "protocol/version.h"
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static int set_up(void **state)
{
	(void)state;
	sb_ical_setup();
	return 0;
}

static void a_booking_becomes_an_appointment(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 42);
	struct sb_attendee guests[] = {{"Grace Hopper", "grace@example.com"},
				       {"", "anon@example.com"}};
	char *text;

	(void)state;
	message.event.booking.attendees = guests;
	message.event.booking.attendee_count = 2;
	message.event.booking.organizer =
		(struct sb_attendee){.name = "Ada", .email = "ada@example.com"};
	message.event.booking.location = "Room 1, left";
	message.event.booking.join_url = "https://example.com/j?a=1";
	message.event.booking.description = "a\nb; c";
	text = written(&message, NULL);
	assert_line(text, "PRODID:-//Slotbell//slotbell-plugin " SB_VERSION "//EN");
	assert_line(text, "VERSION:2.0");
	assert_line(text, "UID:one");
	assert_line(text, "SEQUENCE:0");
	assert_line(text, "X-SLOTBELL-VERSION:42");
	assert_line(text, "DTSTAMP:20261123T091244Z");
	assert_line(text, "LAST-MODIFIED:20261123T091244Z");
	assert_line(text, "STATUS:CONFIRMED");
	assert_line(text, "DTSTART:20261124T090000Z");
	assert_line(text, "DURATION:PT30M");
	assert_line(text, "X-SLOTBELL-TIME-ZONE:Europe/Berlin");
	assert_line(text, "X-SLOTBELL-STARTS-LOCAL:2026-11-24T10:00:00");
	assert_line(text, "SUMMARY:Intro call");
	assert_line(text, "ORGANIZER;CN=Ada:mailto:ada@example.com");
	assert_line(text, "ATTENDEE;CN=Grace Hopper:mailto:grace@example.com");
	assert_line(text, "ATTENDEE:mailto:anon@example.com");
	assert_line(text, "LOCATION:Room 1\\, left");
	assert_line(text, "URL:https://example.com/j?a=1");
	assert_line(text, "DESCRIPTION:a\\nb\\; c");
	assert_int_equal(count_lines(text, "METHOD"), 0); /* no invitation on its way */
	assert_int_equal(count_lines(text, "BEGIN:VEVENT"), 1);
	free(text);
}

static void lines_end_as_rfc_5545_has_it_and_are_folded(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
	char subject[255 * 4 + 1] = "";
	char *text;

	(void)state;
	for (int i = 0; i < 255; i++)
		memcpy(subject + 4 * i, "\xf0\x9f\x94\x94", 4); /* a bell */
	message.event.booking.subject = subject;
	assert_int_equal(sb_ical_write(&message, NULL, &text), 0);
	for (char *line = text, *end; *line; line = end + 2) {
		end = strstr(line, "\r\n");
		assert_non_null(end);
		assert_null(memchr(line, '\n', (size_t)(end - line)));
		assert_true(end - line <= 75); /* section 3.1 */
	}
	unfold(text);
	assert_non_null(strstr(text, subject)); /* no character was torn */
	free(text);
}

static void sequence_stays_in_its_32_bits_and_the_version_whole(void **state)
{
	static const struct {
		int64_t version;
		const char *sequence, *x_version;
	} cases[] = {
		{1, "SEQUENCE:0", "X-SLOTBELL-VERSION:1"},
		{(int64_t)INT_MAX + 1, "SEQUENCE:0", "X-SLOTBELL-VERSION:2147483648"},
		{1577836800999, "SEQUENCE:0", "X-SLOTBELL-VERSION:1577836800999"},
		{1577836801000, "SEQUENCE:1", "X-SLOTBELL-VERSION:1577836801000"},
		{1795425164124, "SEQUENCE:217588364", "X-SLOTBELL-VERSION:1795425164124"},
		{3725320446999, "SEQUENCE:2147483646", "X-SLOTBELL-VERSION:3725320446999"},
		{3725320447000, "SEQUENCE:2147483647", "X-SLOTBELL-VERSION:3725320447000"},
		{3725320448000, "SEQUENCE:2147483647", "X-SLOTBELL-VERSION:3725320448000"},
		{9007199254740991, "SEQUENCE:2147483647", "X-SLOTBELL-VERSION:9007199254740991"},
		{INT64_MAX, "SEQUENCE:2147483647", "X-SLOTBELL-VERSION:9223372036854775807"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message =
			event_of(SB_CHANGE_CREATED, "one", cases[i].version);
		char *text = written(&message, NULL);
		int64_t version;

		assert_line(text, cases[i].sequence);
		assert_line(text, cases[i].x_version);
		assert_int_equal(sb_ical_version(text, "one", &version), 0);
		assert_int_equal(version, cases[i].version);
		free(text);
	}
}

static void sequence_goes_on_from_what_was_written(void **state)
{
	static const struct {
		const char *old; /* SEQUENCE of the file there */
		int64_t version;
		bool cancelled;
		const char *sequence;
	} cases[] = {
		{"SEQUENCE:0\r\n", 2, false, "SEQUENCE:1"},
		{"SEQUENCE:42\r\n", 43, false, "SEQUENCE:43"}, /* 0.1.0 wrote the version */
		{"SEQUENCE:42\r\n", 43, true, "SEQUENCE:43"},
		{"SEQUENCE:42\r\n", 1795425164124, false, "SEQUENCE:217588364"},
		{"SEQUENCE:217588363\r\n", 1795425164124, false, "SEQUENCE:217588364"},
		/* Twice in a second, and by a database whose clock is behind. */
		{"SEQUENCE:217588364\r\n", 1795425164124, false, "SEQUENCE:217588365"},
		{"SEQUENCE:217588999\r\n", 1795425164124, true, "SEQUENCE:217589000"},
		{"SEQUENCE:2147483646\r\n", 1795425164124, false, "SEQUENCE:2147483647"},
		{"SEQUENCE:2147483647\r\n", 1795425164124, false, "SEQUENCE:2147483647"},
		{"SEQUENCE:-5\r\n", 7, false, "SEQUENCE:0"},
		{"", 7, false, "SEQUENCE:0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message =
			event_of(cases[i].cancelled ? SB_CHANGE_CANCELLED : SB_CHANGE_UPDATED,
				 "one", cases[i].version);
		char old[256], *text;

		snprintf(old, sizeof(old),
			 "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:"
			 "one\r\n%s"
			 "X-SLOTBELL-VERSION:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
			 cases[i].old);
		text = written(&message, old);
		assert_line(text, cases[i].sequence);
		assert_int_equal(count_lines(text, "SEQUENCE"), 1);
		assert_int_equal(count_lines(text, "X-SLOTBELL-VERSION"), 1);
		free(text);
	}
}

static int write_result(const struct sb_server_message *message)
{
	char *text = NULL;
	int err = sb_ical_write(message, NULL, &text);

	free(text);
	return err;
}

static void versions_begin_with_one(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 0);

	(void)state;
	assert_int_equal(write_result(&message), -ENOTSUP);
	message.event.booking.version = -1;
	assert_int_equal(write_result(&message), -ENOTSUP);
	message.event.booking.version = 1;
	assert_int_equal(write_result(&message), 0);
}

static void instants_have_the_bounds_of_date_time(void **state)
{
	static const struct {
		int64_t at_s;
		const char *line; /* NULL: cannot be */
	} cases[] = {
		{-1, NULL},
		{0, "DTSTART:19700101T000000Z"},
		{1, "DTSTART:19700101T000001Z"},
		{2147483648, "DTSTART:20380119T031408Z"},
		{951782400, "DTSTART:20000229T000000Z"},
		{32535215999, "DTSTART:30001231T235959Z"},
		{32535216000, "DTSTART:30010101T000000Z"},
		{253402300798, "DTSTART:99991231T235958Z"},
		{253402300799, "DTSTART:99991231T235959Z"},
		{253402300800, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
		char *text;

		message.event.booking.starts_at_s = cases[i].at_s;
		if (!cases[i].line) {
			assert_int_equal(write_result(&message), -ENOTSUP);
			continue;
		}
		text = written(&message, NULL);
		assert_line(text, cases[i].line);
		free(text);
	}
}

static void durations_have_bounds(void **state)
{
	static const struct {
		int minutes;
		const char *line; /* NULL: cannot be */
	} cases[] = {
		{-1, NULL},
		{0, NULL},
		{1, "DURATION:PT1M"},
		{90, "DURATION:PT1H30M"},
		{1440, "DURATION:P1D"},
		{44639, "DURATION:P30DT23H59M"},
		{44640, "DURATION:P31D"},
		{44641, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
		char *text;

		message.event.booking.duration_minutes = cases[i].minutes;
		if (!cases[i].line) {
			assert_int_equal(write_result(&message), -ENOTSUP);
			continue;
		}
		text = written(&message, NULL);
		assert_line(text, cases[i].line);
		free(text);
	}
}

static void without_a_start_or_a_uid_it_is_no_appointment(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);

	(void)state;
	message.event.booking.has_starts_at = false;
	assert_int_equal(write_result(&message), -ENOTSUP);
	message = event_of(SB_CHANGE_CREATED, "", 1);
	assert_int_equal(write_result(&message), -ENOTSUP);
	/* One that could not be found again by its uid would be written anew for ever. */
	message = event_of(SB_CHANGE_CREATED,
			   "a\x01"
			   "b",
			   1);
	assert_int_equal(write_result(&message), -ENOTSUP);
	message = event_of(SB_CHANGE_CREATED, "a,b;c\\d:e", 1);
	assert_int_equal(write_result(&message), 0);
}

static void a_cancellation_needs_its_uid_alone(void **state)
{
	struct sb_server_message message = bare_cancellation("one", 7);
	char *text = written(&message, NULL);

	(void)state;
	assert_line(text, "METHOD:CANCEL");
	assert_line(text, "STATUS:CANCELLED");
	assert_line(text, "UID:one");
	assert_line(text, "SEQUENCE:0");
	assert_line(text, "X-SLOTBELL-VERSION:7");
	assert_int_equal(count_lines(text, "DTSTART"), 0);
	assert_int_equal(count_lines(text, "DURATION"), 0);
	free(text);
}

static void a_cancellation_keeps_what_it_does_not_say(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
	struct sb_attendee guests[] = {{"Grace", "grace@example.com"}, {"Ann", "ann@example.com"}};
	struct sb_attendee other = {"Bob", "bob@example.com"};
	char *old, *text;

	(void)state;
	message.event.booking.attendees = guests;
	message.event.booking.attendee_count = 2;
	old = written(&message, NULL);
	message = bare_cancellation("one", 2);
	message.event.booking.subject = "Called off";
	text = written(&message, old);
	assert_line(text, "STATUS:CANCELLED");
	assert_line(text, "SUMMARY:Called off");
	assert_line(text, "DTSTART:20261124T090000Z");
	assert_line(text, "DURATION:PT30M");
	assert_line(text, "X-SLOTBELL-TIME-ZONE:Europe/Berlin");
	assert_int_equal(count_lines(text, "ATTENDEE"), 2);
	assert_int_equal(count_lines(text, "SEQUENCE"), 1);
	assert_int_equal(count_lines(text, "STATUS"), 1);
	assert_int_equal(count_lines(text, "UID"), 1);
	assert_int_equal(count_lines(text, "X-SLOTBELL-VERSION"), 1);
	free(text);
	/* Attendees that it does say replace all of them. */
	message.event.booking.attendees = &other;
	message.event.booking.attendee_count = 1;
	text = written(&message, old);
	assert_int_equal(count_lines(text, "ATTENDEE"), 1);
	free(text);
	free(old);
}

static void an_update_keeps_nothing_of_the_old(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
	char *old, *text;

	(void)state;
	message.event.booking.location = "Room 1";
	old = written(&message, NULL);
	message = event_of(SB_CHANGE_UPDATED, "one", 2);
	text = written(&message, old);
	assert_int_equal(count_lines(text, "LOCATION"), 0);
	free(text);
	free(old);
}

static void another_uid_is_another_appointment(void **state)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 3);
	char *text = written(&message, NULL);
	int64_t version;

	(void)state;
	assert_int_equal(sb_ical_version(text, "two", &version), -EBADMSG);
	assert_int_equal(sb_ical_version(text, "one", &version), 0);
	free(text);
}

static void other_programs_appointments_have_a_version_too(void **state)
{
	static const char with[] = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\n"
				   "UID:one\r\nSEQUENCE:5\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
	static const char without[] =
		"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\n"
		"UID:one\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
	int64_t version;

	(void)state;
	assert_int_equal(sb_ical_version(with, "one", &version), 0);
	assert_int_equal(version, 5);
	assert_int_equal(sb_ical_version(without, "one", &version), -EBADMSG);
}

static void what_is_no_calendar_has_none(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"x",
		"BEGIN:VCALENDAR",
		"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
		"BEGIN:VEVENT\r\nUID:one\r\nSEQUENCE:1\r\nEND:VCALENDAR\r\n",
		"\xff\xfe\x01",
	};
	int64_t version;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(sb_ical_version(texts[i], "one", &version), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_booking_becomes_an_appointment),
		cmocka_unit_test(lines_end_as_rfc_5545_has_it_and_are_folded),
		cmocka_unit_test(sequence_stays_in_its_32_bits_and_the_version_whole),
		cmocka_unit_test(sequence_goes_on_from_what_was_written),
		cmocka_unit_test(versions_begin_with_one),
		cmocka_unit_test(instants_have_the_bounds_of_date_time),
		cmocka_unit_test(durations_have_bounds),
		cmocka_unit_test(without_a_start_or_a_uid_it_is_no_appointment),
		cmocka_unit_test(a_cancellation_needs_its_uid_alone),
		cmocka_unit_test(a_cancellation_keeps_what_it_does_not_say),
		cmocka_unit_test(an_update_keeps_nothing_of_the_old),
		cmocka_unit_test(another_uid_is_another_appointment),
		cmocka_unit_test(other_programs_appointments_have_a_version_too),
		cmocka_unit_test(what_is_no_calendar_has_none),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
