/*
 * The plug-in's lines. The JSON ones are an interface (slotbell-plugin(1)), so
 * each is compared as a whole; of those for people only what matters.
 */
#include "plugin-stub/report.h"

#include "plugin_event.h"
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define AT_US INT64_C(1795425164200000) /* 76.544 ms after the booking was published */
#define AT    "{\"at\":\"2026-11-23T09:12:44.200000Z\","

static char *out_text, *err_text;

/* What is said of this. */
static void report(const struct sb_news *news, bool json)
{
	struct sb_report report = {.json = json, .url = "wss://bell:8443"};
	size_t out_len, err_len;

	free(out_text);
	free(err_text);
	report.out = open_memstream(&out_text, &out_len);
	report.err = open_memstream(&err_text, &err_len);
	sb_report(&report, news, AT_US);
	fclose(report.out);
	fclose(report.err);
}

static int tear_down(void **state)
{
	(void)state;
	free(out_text);
	free(err_text);
	out_text = err_text = NULL;
	return 0;
}

static struct sb_server_message at(const char *cursor)
{
	struct sb_server_message message = event_of(SB_CHANGE_CREATED, "one", 42);

	assert_int_equal(sb_cursor_parse(cursor, strlen(cursor), &message.cursor), 0);
	return message;
}

static void assert_json(const struct sb_news *news, const char *line)
{
	report(news, true);
	assert_string_equal(out_text, line);
}

static void every_line_has_its_fields(void **state)
{
	struct sb_server_message message = at("k.42");

	(void)state;
	message.welcome.session = "s-1";
	message.welcome.mailbox = "ada@example.com";
	message.welcome.head = 44;
	message.reset_reason = SB_RESET_EXPIRED;
	snprintf(message.word, sizeof(message.word), "draining");
	message.reconnect_after_ms = 8123;
	assert_json(&(struct sb_news){.kind = SB_NEWS_CONNECTING},
		    AT "\"what\":\"connecting\",\"url\":\"wss://bell:8443\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_WELCOME, .message = &message},
		    AT "\"what\":\"welcome\",\"session\":\"s-1\",\"mailbox\":\"ada@example.com\","
		       "\"cursor\":\"k.42\",\"head\":44}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_ACKED, .message = &message},
		    AT "\"what\":\"acked\",\"cursor\":\"k.42\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_LIVE, .message = &message},
		    AT "\"what\":\"live\",\"cursor\":\"k.42\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_RESET, .message = &message},
		    AT "\"what\":\"reset\",\"cursor\":\"k.42\",\"reason\":\"expired\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_GOODBYE, .message = &message},
		    AT "\"what\":\"goodbye\",\"reason\":\"draining\",\"reconnect_after_ms\":"
		       "8123}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_CLOSED, .code = 1012, .words = "draining"},
		    AT "\"what\":\"closed\",\"code\":1012,\"reason\":\"draining\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_WAITING, .wait_ms = 8123},
		    AT "\"what\":\"waiting\",\"ms\":8123}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_WAITING, .for_user = true},
		    AT "\"what\":\"waiting\",\"for\":\"user\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_FAILED,
				      .message = &message,
				      .failure = SB_FAILURE_CONFLICT,
				      .words = "why"},
		    AT "\"what\":\"failed\",\"seq\":42,\"reason\":\"conflict\",\"detail\":\"why\"}"
		       "\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_BYE}, AT "\"what\":\"bye\"}\n");
	assert_json(&(struct sb_news){.kind = SB_NEWS_TROUBLE, .words = "why"}, "");
}

static void a_written_line_tells_the_booking_and_how_long_it_took(void **state)
{
	struct sb_server_message message = at("k.42");

	(void)state;
	assert_json(&(struct sb_news){.kind = SB_NEWS_WRITTEN,
				      .message = &message,
				      .file = "/c/one.ics"},
		    AT "\"what\":\"written\",\"seq\":42,\"cursor\":\"k.42\",\"change\":\"created\","
		       "\"uid\":\"one\",\"version\":42,\"subject\":\"Intro call\",\"starts_at\":"
		       "\"2026-11-24T09:00:00Z\",\"duration_minutes\":30,\"published_at\":"
		       "\"2026-11-23T09:12:44.123456Z\",\"latency_ms\":76.544,\"file\":"
		       "\"/c/one.ics\",\"repeat\":false}\n");
}

static void a_close_reason_that_is_no_text_leaves_an_empty_one(void **state)
{
	(void)state;
	assert_json(&(struct sb_news){.kind = SB_NEWS_CLOSED, .code = 4000, .words = "\xc3"},
		    AT "\"what\":\"closed\",\"code\":4000,\"reason\":\"\"}\n");
}

static void people_read_one_line_of_it(void **state)
{
	struct sb_server_message message = at("k.42");

	(void)state;
	report(&(struct sb_news){.kind = SB_NEWS_WRITTEN, .message = &message, .file = "/c/1.ics"},
	       false);
	assert_string_equal(out_text,
			    "created: Intro call, 2026-11-24T09:00:00Z, 30 min  [/c/1.ics]\n");
	message = bare_cancellation("one", 7);
	report(&(struct sb_news){.kind = SB_NEWS_WRITTEN,
				 .message = &message,
				 .file = "/c/1.ics",
				 .repeat = true},
	       false);
	assert_string_equal(out_text, "Known already, cancelled: one  [/c/1.ics]\n");
	report(&(struct sb_news){.kind = SB_NEWS_WAITING, .wait_ms = 1234}, false);
	assert_string_equal(out_text, "Coming back in 1.2 s\n");
	report(&(struct sb_news){.kind = SB_NEWS_WAITING, .for_user = true}, false);
	assert_string_equal(out_text, "Waiting for you\n");
}

static void trouble_goes_to_standard_error_whoever_reads(void **state)
{
	struct sb_server_message message = at("k.42");

	(void)state;
	for (int json = 0; json <= 1; json++) {
		report(&(struct sb_news){.kind = SB_NEWS_TROUBLE, .words = "No space left"}, json);
		assert_string_equal(err_text, "slotbell-plugin: No space left\n");
		report(&(struct sb_news){.kind = SB_NEWS_RESET, .message = &message}, json);
		assert_non_null(strstr(err_text, "changes may be missing here"));
		report(&(struct sb_news){.kind = SB_NEWS_CLOSED, .code = 1006, .words = "refused"},
		       json);
		assert_string_equal(err_text, "slotbell-plugin: no connection: refused\n");
		report(&(struct sb_news){.kind = SB_NEWS_CLOSED, .code = 1001, .words = "bye"},
		       json);
		assert_string_equal(err_text, "");
	}
}

static void what_others_wrote_cannot_steer_a_terminal(void **state)
{
	static const char evil[] = "a\x1b[2J\r\nb\x7f\xc2\x9b"
				   "2J\xc3\xa4\xe2\x80\xaeslx\xf3\xa0\x81\x81\xff";
	static const char tamed[] =
		"a\\x1b[2J\\x0d\\nb\\x7f\\u009b2J\xc3\xa4\\u202eslx\\U000e0041\\xff";
	struct sb_server_message message = at("k.42");

	(void)state;
	message.event.booking.subject = evil;
	report(&(struct sb_news){.kind = SB_NEWS_WRITTEN, .message = &message, .file = "f"}, false);
	assert_non_null(strstr(out_text, tamed));
	message.welcome.session = message.welcome.mailbox = evil;
	report(&(struct sb_news){.kind = SB_NEWS_WELCOME, .message = &message}, false);
	assert_non_null(strstr(out_text, tamed));
	report(&(struct sb_news){.kind = SB_NEWS_CLOSED, .code = 1006, .words = evil}, false);
	assert_non_null(strstr(out_text, tamed));
	assert_non_null(strstr(err_text, tamed));
	report(&(struct sb_news){.kind = SB_NEWS_TROUBLE, .words = evil}, false);
	assert_non_null(strstr(err_text, tamed));
}

static void nor_can_json_and_it_keeps_the_value(void **state)
{
	struct sb_server_message message = at("k.42");

	(void)state;
	message.event.booking.subject = "a\x7f\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81";
	report(&(struct sb_news){.kind = SB_NEWS_WRITTEN, .message = &message, .file = "f"}, true);
	assert_non_null(strstr(out_text, "\"subject\":\"a\\u007F\\u009B\\u202E\\uDB40\\uDC41\","));
}

static void a_long_line_is_not_cut(void **state)
{
	struct sb_server_message message = at("k.42");
	char subject[255 * 4 + 1], file[PATH_MAX];

	(void)state;
	memset(subject, 's', sizeof(subject) - 1);
	subject[sizeof(subject) - 1] = '\0';
	memset(file, 'f', sizeof(file) - 1);
	file[sizeof(file) - 1] = '\0';
	message.event.booking.subject = subject;
	report(&(struct sb_news){.kind = SB_NEWS_WRITTEN, .message = &message, .file = file},
	       false);
	assert_non_null(strstr(out_text, subject));
	assert_string_equal(out_text + strlen(out_text) - 3, "f]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_line_has_its_fields, tear_down),
		cmocka_unit_test_teardown(a_written_line_tells_the_booking_and_how_long_it_took,
					  tear_down),
		cmocka_unit_test_teardown(a_close_reason_that_is_no_text_leaves_an_empty_one,
					  tear_down),
		cmocka_unit_test_teardown(people_read_one_line_of_it, tear_down),
		cmocka_unit_test_teardown(trouble_goes_to_standard_error_whoever_reads, tear_down),
		cmocka_unit_test_teardown(what_others_wrote_cannot_steer_a_terminal, tear_down),
		cmocka_unit_test_teardown(nor_can_json_and_it_keeps_the_value, tear_down),
		cmocka_unit_test_teardown(a_long_line_is_not_cut, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
