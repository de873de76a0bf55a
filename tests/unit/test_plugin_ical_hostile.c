/* Bookings of a guest who means ill: nothing that one says breaks out of its line, its parameter or
 * its address, and no link is written that is none. */
#include "plugin-stub/ical.h"

#include "ical_lines.h"
#include "plugin_event.h"
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

static void nothing_breaks_out_of_its_line(void **state)
{
	static const char evil[] = "x\r\nSTATUS:CANCELLED\r\nX-EVIL;A=\"b\":\x1b[2J\x7f\tc";
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
	struct sb_attendee guest = {evil, evil};
	char *text;

	(void)state;
	message.event.booking.subject = evil;
	message.event.booking.location = evil;
	message.event.booking.description = evil;
	message.event.booking.join_url = evil;
	message.event.booking.time_zone = evil;
	message.event.booking.starts_local = evil;
	message.event.booking.organizer = guest;
	message.event.booking.attendees = &guest;
	message.event.booking.attendee_count = 1;
	text = written(&message, NULL);
	assert_int_equal(count_lines(text, "STATUS:"), 1);
	assert_line(text, "STATUS:CONFIRMED");
	assert_int_equal(count_lines(text, "X-EVIL"), 0);
	assert_line(text, "SUMMARY:x\\nSTATUS:CANCELLED\\nX-EVIL\\;A=\"b\":[2J\tc");
	assert_null(strchr(text, 0x1b));
	assert_null(strchr(text, 0x7f));
	free(text);
}

/* Each in a field of its own; none of them may begin a line, end a parameter or add one. */
static void no_line_break_of_any_reader_begins_a_line(void **state)
{
	static const char *const breaks[] = {
		"\n",	 "\r",	 "\r\n", "\v",	 "\f",	 "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9",
		"\r\n ", "\n\t", "\x1c", "\x1d", "\x1e", "^n",	     "\\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(breaks) / sizeof(*breaks); i++) {
		struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
		struct sb_attendee guest;
		char evil[64], *text;

		snprintf(evil, sizeof(evil), "x%sATTENDEE:mailto:evil@example.com", breaks[i]);
		guest = (struct sb_attendee){evil, evil};
		message.event.booking.subject = evil;
		message.event.booking.location = evil;
		message.event.booking.description = evil;
		message.event.booking.time_zone = evil;
		message.event.booking.organizer = guest;
		message.event.booking.attendees = &guest;
		message.event.booking.attendee_count = 1;
		assert_int_equal(sb_ical_write(&message, NULL, &text), 0);
		/* What only some readers take for a line's end. */
		assert_null(strpbrk(text, "\v\f\x1c\x1d\x1e"));
		assert_null(strstr(text, "\xc2\x85"));
		assert_null(strstr(text, "\xe2\x80\xa8"));
		assert_null(strstr(text, "\xe2\x80\xa9"));
		for (char *line = text; (line = strchr(line, '\n')); line++)
			assert_true(line > text && line[-1] == '\r');
		unfold(text);
		assert_int_equal(count_lines(text, "ATTENDEE"), 1);
		assert_int_equal(count_lines(text, "ORGANIZER"), 1);
		assert_null(strstr(text, "%0"));
		assert_null(strstr(text, "%1"));
		free(text);
	}
}

static void an_address_brings_no_header_fields_along(void **state)
{
	static const struct {
		const char *email, *uri;
	} cases[] = {
		{"ada@example.com", "mailto:ada@example.com"},
		{"ada+x!#$'*-_.~@example.com", "mailto:ada+x!%23$'*-_.~@example.com"},
		{"ada@example.com?bcc=eve@evil.example&body=x",
		 "mailto:ada%40example.com%3Fbcc%3Deve@evil.example%26body%3Dx"},
		{"ada@example.com,eve@evil.example", "mailto:ada%40example.com%2Ceve@evil.example"},
		{"ada%0D%0ABcc:eve@evil.example", "mailto:ada%250D%250ABcc%3Aeve@evil.example"},
		{"ada@example.com\r\nBcc: eve", "mailto:ada@example.comBcc%3A%20eve"},
		{"ada\xc2\x85@ex\xc3\xa4mple.com", "mailto:ada@ex%C3%A4mple.com"},
		{"\"a;b\"@example.com", "mailto:%22a%3Bb%22@example.com"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
		struct sb_attendee guest = {"", cases[i].email};
		char line[256], *text;

		message.event.booking.attendees = &guest;
		message.event.booking.attendee_count = 1;
		message.event.booking.organizer = guest;
		text = written(&message, NULL);
		snprintf(line, sizeof(line), "ATTENDEE:%s", cases[i].uri);
		assert_line(text, line);
		snprintf(line, sizeof(line), "ORGANIZER:%s", cases[i].uri);
		assert_line(text, line);
		free(text);
	}
}

static void a_name_stays_in_its_parameter(void **state)
{
	static const struct {
		const char *name, *line;
	} cases[] = {
		{"A\";ROLE=CHAIR;X=\"B", "ATTENDEE;CN=\"A';ROLE=CHAIR;X='B\":mailto:a@example.com"},
		{"A:mailto:eve@evil.example",
		 "ATTENDEE;CN=\"A:mailto:eve@evil.example\":mailto:a@example.com"},
		{"A^'^n^B", "ATTENDEE;CN=A^^'^^n^^B:mailto:a@example.com"}, /* RFC 6868 */
		{"A,B", "ATTENDEE;CN=\"A,B\":mailto:a@example.com"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
		struct sb_attendee guest = {cases[i].name, "a@example.com"};
		char *text;

		message.event.booking.attendees = &guest;
		message.event.booking.attendee_count = 1;
		text = written(&message, NULL);
		assert_line(text, cases[i].line);
		free(text);
	}
}

static void a_link_that_is_not_plain_https_is_left_out(void **state)
{
	static const char *const links[] = {
		"javascript:alert(1)", "https://a.example/%0D%0AATTENDEE:x", "http://a.example/",
		"https://a.example@evil.example/", "https://a.example/\r\nX:y"};
	static const char old[] =
		"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\n"
		"UID:one\r\nSEQUENCE:1\r\nURL:javascript:alert(1)\r\nSUMMARY:Old\r\n"
		"END:VEVENT\r\nEND:VCALENDAR\r\n";
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 1);
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		message.event.booking.join_url = links[i];
		text = written(&message, NULL);
		assert_int_equal(count_lines(text, "URL"), 0);
		assert_line(text, "SUMMARY:Intro call"); /* the booking is written all the same */
		free(text);
	}
	/* One that was written before is not kept either. */
	message = bare_cancellation("one", 2);
	text = written(&message, old);
	assert_line(text, "SUMMARY:Old");
	assert_int_equal(count_lines(text, "URL"), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_breaks_out_of_its_line),
		cmocka_unit_test(no_line_break_of_any_reader_begins_a_line),
		cmocka_unit_test(an_address_brings_no_header_fields_along),
		cmocka_unit_test(a_name_stays_in_its_parameter),
		cmocka_unit_test(a_link_that_is_not_plain_https_is_left_out),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
