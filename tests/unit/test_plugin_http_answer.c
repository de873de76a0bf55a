/* What HTTP answers mean: the daemon's, and those of what stands before it. */
#include "plugin-stub/http_answer.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sb_http_answer answer_of(int status, const char *body)
{
	return (struct sb_http_answer){.status = status,
				       .words = "",
				       .is_whole = true,
				       .type = "application/json",
				       .body = body,
				       .body_len = strlen(body)};
}

static void a_problem_s_reason_is_the_close_code(void **state)
{
	static const struct {
		int status;
		const char *body;
		int code;
	} cases[] = {
		{400, "{\"reason\":\"bad-message\"}", 4400},
		{401, "{\"reason\":\"bad-token\"}", 4401},
		{403, "{\"reason\":\"revoked\"}", 4403},
		{403, "{\"reason\":\"expired\"}", 4403},
		{409, "{\"reason\":\"replaced\"}", 4409},
		{413, "{\"reason\":\"too-big\"}", 1009},
		{429, "{\"reason\":\"too-many\"}", 4429},
		{503, "{\"reason\":\"busy\"}", 1013},
		{503, "{\"reason\":\"draining\"}", 1012},
		/* Not the daemon's: no reason to leave for good. */
		{401, "<html>", 1006},
		{403, "", 1006},
		{403, "{\"reason\":7}", 1006},
		{403, "{\"reason\":\"of a newer server\"}", 1006},
		{404, "{}", 1006},
		{502, "[]", 1006},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb_http_answer answer = answer_of(cases[i].status, cases[i].body);
		struct sb_ending ending;
		char words[16];

		sb_ending_clear(&ending);
		sb_http_answer_end(&ending, &answer);
		assert_int_equal(ending.code, cases[i].code);
		snprintf(words, sizeof(words), "HTTP %d", cases[i].status);
		assert_memory_equal(ending.words, words, strlen(words));
		assert_false(ending.has_hint);
	}
}

static void when_to_come_back_is_said_in_milliseconds_or_else_in_seconds(void **state)
{
	struct sb_http_answer answer = answer_of(503, "{\"reason\":\"busy\"}");
	struct sb_ending ending;

	(void)state;
	answer.has_hint = true;
	answer.hint_ms = 3000;
	sb_ending_clear(&ending);
	sb_http_answer_end(&ending, &answer);
	assert_true(ending.has_hint);
	assert_int_equal(ending.hint_ms, 3000);
	answer.body = "{\"reason\":\"busy\",\"retry_after_ms\":2345}";
	answer.body_len = strlen(answer.body);
	sb_ending_clear(&ending);
	sb_http_answer_end(&ending, &answer);
	assert_int_equal(ending.hint_ms, 2345);
}

static void how_a_device_stands_is_read(void **state)
{
	struct sb_http_answer answer =
		answer_of(200, "{\"state\":\"ready\",\"retry_after_ms\":0,\"epoch\":\"k3f9q2\","
			       "\"head\":44,\"acked\":41,\"pending\":3,\"new\":[]}");
	struct sb_reconnect reconnect;

	(void)state;
	assert_true(sb_http_answer_reconnect(&answer, &reconnect));
	assert_int_equal(reconnect.state, SB_STANDING_READY);
	assert_true(reconnect.has_device);
	assert_string_equal(reconnect.epoch.text, "k3f9q2");
	assert_int_equal(reconnect.head, 44);
	assert_int_equal(reconnect.acked, 41);
	answer.is_whole = false;
	assert_false(sb_http_answer_reconnect(&answer, &reconnect));
	answer.is_whole = true;
	answer.status = 503;
	assert_false(sb_http_answer_reconnect(&answer, &reconnect));
}

static void a_daemon_that_is_not_ready_says_when(void **state)
{
	struct sb_http_answer answer =
		answer_of(200, "{\"state\":\"busy\",\"retry_after_ms\":700}");
	struct sb_reconnect reconnect;
	struct sb_ending ending;

	(void)state;
	sb_ending_clear(&ending);
	assert_true(sb_http_answer_reconnect(&answer, &reconnect));
	assert_false(reconnect.has_device);
	sb_http_answer_not_ready(&ending, &reconnect);
	assert_int_equal(ending.code, 1013);
	assert_int_equal(ending.hint_ms, 700);
	assert_string_equal(ending.words, "the server is busy");
}

static void other_answers_are_no_standing(void **state)
{
	static const char *const bodies[] = {
		"",
		"<html>welcome to our guest network</html>",
		"[]",
		"{}",
		"{\"state\":\"ready\"}",
		"{\"state\":\"asleep\",\"retry_after_ms\":0}",
		"{\"state\":\"ready\",\"retry_after_ms\":-1}",
		"{\"state\":\"ready\",\"retry_after_ms\":4294967296}",
		"{\"state\":\"ready\",\"retry_after_ms\":\"0\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct sb_http_answer answer = answer_of(200, bodies[i]);
		struct sb_reconnect reconnect;

		assert_false(sb_http_answer_reconnect(&answer, &reconnect));
	}
}

static bool gather(void *data, const char *bytes, size_t len)
{
	char *text = data;
	size_t used = strlen(text);

	snprintf(text + used, 128 - used, "%.*s;", (int)len, bytes);
	return strcmp(bytes, "{\"stop\":1}") != 0;
}

static void messages_come_one_by_one_until_it_is_enough(void **state)
{
	static const struct {
		const char *body, *heard;
		int err;
	} cases[] = {
		{"{\"messages\":[{\"type\":\"a\",\"n\":1},{\"type\":\"live\"}]}",
		 "{\"type\":\"a\",\"n\":1};{\"type\":\"live\"};", 0},
		{"{\"messages\":[{\"stop\":1},{\"n\":2}]}", "{\"stop\":1};", 0},
		{"{\"messages\":[]}", "", 0},
		{"{\"messages\":{}}", "", -EPROTO},
		{"{}", "", -EPROTO},
		{"<html>", "", -EPROTO},
		{"", "", -EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sb_http_answer answer = answer_of(200, cases[i].body);
		char text[128] = "";

		assert_int_equal(sb_http_answer_messages(&answer, gather, text), cases[i].err);
		assert_string_equal(text, cases[i].heard);
	}
}

static size_t allocated;

static void *count_malloc(size_t size)
{
	allocated += size;
	return malloc(size);
}

/* "[PART,PART,...]" of this many bytes, in a message list. */
static char *many(const char *part, size_t bytes)
{
	static const char before[] = "{\"messages\":[", after[] = "]}";
	size_t part_len = strlen(part), len = sizeof(before) - 1;
	char *text = malloc(bytes + part_len + sizeof(before) + sizeof(after));

	assert_non_null(text);
	memcpy(text, before, len);
	while (len < bytes) {
		memcpy(text + len, part, part_len);
		len += part_len;
		text[len++] = ',';
	}
	memcpy(text + len - 1, after, sizeof(after));
	return text;
}

/* A poll's answer may have 16 MiB; of empty lists, parsed, that is more than a gigabyte. Less will
 * do here. */
static void an_answer_does_not_grow_without_bound_when_it_is_read(void **state)
{
	static const char *const parts[] = {"[]", "{}", "1", "{\"\":1}", "[[[[]]]]", "\"\""};

	(void)state;
	json_set_alloc_funcs(count_malloc, free);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *body = many(parts[i], 4 * 1024 * 1024);
		struct sb_http_answer answer = answer_of(200, body);
		char text[128] = "";

		allocated = 0;
		assert_int_equal(sb_http_answer_messages(&answer, gather, text), -EPROTO);
		assert_true(allocated < 1024 * 1024);
		free(body);
	}
	json_set_alloc_funcs(malloc, free);
}

static void one_that_is_nested_deeper_than_messages_are_is_none(void **state)
{
	static const char *const bodies[] = {
		"{\"messages\":[{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}]}",
		"{\"messages\":[{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}]}",
		"{\"messages\":[{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[,,,\\\"[[[\"}]}",
	};
	static const int errors[] = {0, -EPROTO, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct sb_http_answer answer = answer_of(200, bodies[i]);
		char text[128] = "";

		assert_int_equal(sb_http_answer_messages(&answer, gather, text), errors[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_s_reason_is_the_close_code),
		cmocka_unit_test(when_to_come_back_is_said_in_milliseconds_or_else_in_seconds),
		cmocka_unit_test(how_a_device_stands_is_read),
		cmocka_unit_test(a_daemon_that_is_not_ready_says_when),
		cmocka_unit_test(other_answers_are_no_standing),
		cmocka_unit_test(messages_come_one_by_one_until_it_is_enough),
		cmocka_unit_test(an_answer_does_not_grow_without_bound_when_it_is_read),
		cmocka_unit_test(one_that_is_nested_deeper_than_messages_are_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
