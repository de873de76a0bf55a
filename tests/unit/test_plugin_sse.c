/* Server-sent events: what the HTML standard says of lines and fields, at every cut. */
#include "plugin-stub/sse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Events, one after the other as NAME=DATA; */
struct heard {
	char text[512];
	bool stop;
};

static bool on_event(void *data, const char *name, const char *bytes, size_t len)
{
	struct heard *heard = data;
	size_t used = strlen(heard->text);

	snprintf(heard->text + used, sizeof(heard->text) - used, "%s=%.*s;", name, (int)len, bytes);
	return !heard->stop;
}

static int feed(struct sb_sse *sse, struct heard *heard, const char *bytes, size_t len)
{
	/* Of its own length, so that a byte too far is seen. */
	char *copy = malloc(len ? len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	err = sb_sse_feed(sse, copy, len,
			  &(struct sb_sse_handler){.on_event = on_event, .data = heard});
	free(copy);
	return err;
}

/* In one part, in two cut anywhere, and byte by byte it is the same. */
static void assert_heard(const char *stream, const char *expected)
{
	size_t len = strlen(stream);

	for (size_t cut = 0; cut <= len + 1; cut++) {
		struct heard heard = {.text = ""};
		struct sb_sse sse;

		sb_sse_init(&sse, 64);
		if (cut <= len) {
			assert_int_equal(feed(&sse, &heard, stream, cut), 0);
			assert_int_equal(feed(&sse, &heard, stream + cut, len - cut), 0);
		} else {
			for (size_t i = 0; i < len; i++)
				assert_int_equal(feed(&sse, &heard, stream + i, 1), 0);
		}
		assert_string_equal(heard.text, expected);
		sb_sse_fini(&sse);
	}
}

static void events_are_the_same_at_every_cut(void **state)
{
	(void)state;
	assert_heard("event: welcome\ndata: {}\n\nevent: live\nid: k3f9q2.42\ndata: {\"a\":1}\n\n",
		     "welcome={};live={\"a\":1};");
	assert_heard("event: goodbye\nretry: 8123\ndata: x\n\n", "goodbye=x;");
}

static void lines_end_with_lf_cr_or_both(void **state)
{
	(void)state;
	assert_heard("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "message=a;message=b;message=c;");
	assert_heard("data: a\r\n\ndata: b\n\r", "message=a;message=b;");
}

static void comments_and_unknown_fields_are_passed_over(void **state)
{
	(void)state;
	assert_heard(":\n\n: data: no\n\ndata: a\n:\nnothing\nfoo: bar\nDATA: b\n\n", "message=a;");
}

static void an_event_without_data_is_none_and_its_name_is_forgotten(void **state)
{
	(void)state;
	assert_heard("event: live\n\ndata: a\n\n", "message=a;");
	assert_heard("data\n\n", "message=;");
}

static void of_data_one_space_goes_and_lines_are_joined(void **state)
{
	(void)state;
	assert_heard("data:a\ndata:  b\ndata:\n\n", "message=a\n b\n;");
}

static void a_byte_order_mark_may_stand_at_the_start_only(void **state)
{
	(void)state;
	assert_heard("\xef\xbb\xbf"
		     "data: a\n\n\xef\xbb\xbf"
		     "data: b\n\n",
		     "message=a;");
}

static void what_has_no_empty_line_yet_is_not_told(void **state)
{
	(void)state;
	assert_heard("data: a\n\ndata: b\n", "message=a;");
}

static void a_line_may_be_as_long_as_the_limit(void **state)
{
	char line[80];

	(void)state;
	for (size_t len = 63; len <= 65; len++) {
		struct heard heard = {.text = ""};
		struct sb_sse sse;

		memset(line, 'x', sizeof(line));
		memcpy(line, "data: ", 6);
		memcpy(line + len, "\n\n", 3);
		sb_sse_init(&sse, 64);
		assert_int_equal(feed(&sse, &heard, line, len + 2), len > 64 ? -EFBIG : 0);
		assert_int_equal(strlen(heard.text), len > 64 ? 0 : len - 6 + strlen("message=;"));
		sb_sse_fini(&sse);
	}
}

static void an_event_of_many_lines_is_limited_too(void **state)
{
	struct heard heard = {.text = ""};
	struct sb_sse sse;
	int err = 0;
	int lines;

	(void)state;
	sb_sse_init(&sse, 64);
	for (lines = 0; !err && lines < 100; lines++)
		err = feed(&sse, &heard, "data: 1234567\n", 14);
	assert_int_equal(err, -EFBIG);
	assert_int_equal(lines, 9); /* eight are 63 bytes with the breaks between them */
	sb_sse_fini(&sse);
}

static void a_name_that_is_too_long_is_cut(void **state)
{
	(void)state;
	assert_heard("event: 0123456789012345678901234567890123456789\ndata: a\n\n",
		     "01234567890123456789012345678901=a;");
}

static void nothing_is_read_after_a_handler_that_had_enough(void **state)
{
	struct heard heard = {.text = "", .stop = true};
	struct sb_sse sse;

	(void)state;
	sb_sse_init(&sse, 64);
	assert_int_equal(feed(&sse, &heard, "data: a\n\ndata: b\n\n", 18), -ECANCELED);
	assert_string_equal(heard.text, "message=a;");
	sb_sse_fini(&sse);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_the_same_at_every_cut),
		cmocka_unit_test(lines_end_with_lf_cr_or_both),
		cmocka_unit_test(comments_and_unknown_fields_are_passed_over),
		cmocka_unit_test(an_event_without_data_is_none_and_its_name_is_forgotten),
		cmocka_unit_test(of_data_one_space_goes_and_lines_are_joined),
		cmocka_unit_test(a_byte_order_mark_may_stand_at_the_start_only),
		cmocka_unit_test(what_has_no_empty_line_yet_is_not_told),
		cmocka_unit_test(a_line_may_be_as_long_as_the_limit),
		cmocka_unit_test(an_event_of_many_lines_is_limited_too),
		cmocka_unit_test(a_name_that_is_too_long_is_cut),
		cmocka_unit_test(nothing_is_read_after_a_handler_that_had_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
