/* The growable text: JSON strings, growth, and what happens without memory. */
#include "protocol/text.h"
#include "test_protocol_help.h"

static int calls_left = INT_MAX; /* of realloc, until it fails once and for all */

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_realloc(void *memory, size_t size)
{
	if (calls_left == 0)
		return NULL;
	calls_left--;
	return __real_realloc(memory, size);
}

static int set_up(void **state)
{
	static struct sb_text text;

	calls_left = INT_MAX;
	sb_text_init(&text);
	*state = &text;
	return 0;
}

static int tear_down(void **state)
{
	sb_text_fini(*state);
	return 0;
}

static void pieces_are_joined(void **state)
{
	struct sb_text *text = *state;

	sb_text_append(text, "abc", 2);
	sb_text_append(text, "", 0);
	sb_text_append_string(text, "cd");
	sb_text_append_int(text, -7);
	assert_text(text, "abcd-7");
}

static void every_integer_is_written_exactly(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_int(text, INT64_MAX);
	sb_text_append(text, " ", 1);
	sb_text_append_int(text, INT64_MIN);
	sb_text_append(text, " ", 1);
	sb_text_append_int(text, 0);
	assert_text(text, "9223372036854775807 -9223372036854775808 0");
}

static void a_clear_keeps_the_memory(void **state)
{
	struct sb_text *text = *state;
	char *before;

	sb_text_append_string(text, "something");
	before = text->data;
	sb_text_clear(text);
	assert_int_equal(text->len, 0);
	sb_text_append_string(text, "else");
	assert_ptr_equal(text->data, before);
	assert_text(text, "else");
}

static void what_json_reserves_is_escaped(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_json(text, "\"\\/\b\f\n\r\t\x01\x1f\x7f", 11);
	assert_text(text, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
}

static void every_control_character_has_an_escape(void **state)
{
	struct sb_text *text = *state;

	for (int i = 0; i < 0x20; i++) {
		const char c = (char)i;

		sb_text_clear(text);
		sb_text_append_json(text, &c, 1);
		assert_true(text->len == 4 || text->len == 8);
		assert_int_equal(text->data[1], '\\');
	}
}

static void escapes_at_both_ends_and_side_by_side_lose_nothing(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_json(text, "\nab\"\"c\t", 7);
	assert_text(text, "\"\\nab\\\"\\\"c\\t\"");
}

static void an_empty_string_is_two_quotes(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_json(text, "", 0);
	assert_text(text, "\"\"");
}

static void letters_of_all_scripts_pass_as_they_are(void **state)
{
	struct sb_text *text = *state;
	const char *letters = "Grüße, Ωμέγα, 予約, 🔔, \u2028";

	sb_text_append_json(text, letters, strlen(letters));
	assert_text(text, "\"Grüße, Ωμέγα, 予約, 🔔, \u2028\"");
}

static void a_long_text_grows_as_it_must(void **state)
{
	struct sb_text *text = *state;

	for (int i = 0; i < 100000; i++)
		sb_text_append(text, "0123456789", 10);
	assert_false(sb_text_failed(text));
	assert_int_equal(text->len, 1000000);
	for (size_t i = 0; i < text->len; i++)
		assert_int_equal(text->data[i], '0' + (int)(i % 10));
}

static void a_failure_sticks_until_the_clear(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_string(text, "before");
	calls_left = 0;
	for (int i = 0; i < 100; i++)
		sb_text_append_string(text, "more than there is room for");
	assert_true(sb_text_failed(text));
	calls_left = INT_MAX;
	sb_text_append_string(text, "late");
	assert_true(sb_text_failed(text));
	sb_text_clear(text);
	sb_text_append_string(text, "anew");
	assert_text(text, "anew");
}

static void a_failure_anywhere_in_a_message_is_told(void **state)
{
	struct sb_text *text = *state;
	char *subject = repeat("\"", SB_SUBJECT_MAX);
	char *details = repeat(" ", 60000);
	const struct sb_event event = {
		.seq = 1, .version = 1, .uid = "u", .subject = subject, .details = details};
	const struct sb_epoch epoch = {.text = "e"};
	int failures = 0;

	for (;; failures++) {
		sb_text_fini(text);
		calls_left = failures;
		sb_event_encode(text, &event, &epoch);
		if (!sb_text_failed(text))
			break;
		assert_true(text->len <= text->size);
	}
	/* 256 bytes, the subject's, and what the details need at once */
	assert_true(failures >= 3);
	free(subject);
	free(details);
}

static void a_length_that_overflows_fails(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_string(text, "x");
	sb_text_append(text, "y", SIZE_MAX - 1);
	assert_true(sb_text_failed(text));
}

static void a_fini_of_nothing_is_fine(void **state)
{
	struct sb_text *text = *state;

	sb_text_fini(NULL);
	sb_text_fini(text);
	sb_text_fini(text);
	assert_null(text->data);
}

static void instants_are_quoted(void **state)
{
	struct sb_text *text = *state;

	sb_text_append_instant(text, 1795425164123456, true);
	sb_text_append_instant(text, 1795425164123456, false);
	assert_text(text, "\"2026-11-23T09:12:44.123456Z\"\"2026-11-23T09:12:44Z\"");
}

int main(void)
{
#define WITH_TEXT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_TEXT(pieces_are_joined),
		WITH_TEXT(every_integer_is_written_exactly),
		WITH_TEXT(a_clear_keeps_the_memory),
		WITH_TEXT(what_json_reserves_is_escaped),
		WITH_TEXT(every_control_character_has_an_escape),
		WITH_TEXT(escapes_at_both_ends_and_side_by_side_lose_nothing),
		WITH_TEXT(an_empty_string_is_two_quotes),
		WITH_TEXT(letters_of_all_scripts_pass_as_they_are),
		WITH_TEXT(a_long_text_grows_as_it_must),
		WITH_TEXT(a_failure_sticks_until_the_clear),
		WITH_TEXT(a_failure_anywhere_in_a_message_is_told),
		WITH_TEXT(a_length_that_overflows_fails),
		WITH_TEXT(a_fini_of_nothing_is_fine),
		WITH_TEXT(instants_are_quoted),
	};

	return cmocka_run_group_tests_name("protocol/text", tests, NULL, NULL);
}
