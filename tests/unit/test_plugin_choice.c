/* Which way comes next, in whole stories of virtual time. */
#include "plugin-stub/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct sb_try unheard = {.code = 1006};
static const struct sb_try welcomed_long = {
	.heard = true, .welcomed = true, .code = 1006, .lasted_ms = SB_CHOICE_SHORT_MS};
static const struct sb_try cut = {
	.heard = true, .welcomed = true, .code = 1006, .lasted_ms = SB_CHOICE_SHORT_MS - 1};

static struct sb_choice starting_with(enum sb_way way)
{
	struct sb_choice choice;

	sb_choice_init(&choice, way);
	return choice;
}

/* A try that failed without a word. What was blocked says nothing of when to come. */
static void lose(struct sb_choice *choice)
{
	assert_false(sb_choice_on_end(choice, &unheard));
}

static void websockets_that_fail_before_and_after_http_got_through_make_a_stream(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	assert_false(sb_choice_must_ask(&choice));
	lose(&choice);
	assert_true(sb_choice_must_ask(&choice));
	sb_choice_on_asked(&choice, true);
	assert_false(sb_choice_must_ask(&choice));
	assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
	assert_true(sb_choice_on_end(&choice, &unheard));
	assert_int_equal(choice.way, SB_WAY_STREAM);
	assert_false(sb_choice_must_ask(&choice));
}

/* What failed before the question failed for want of a server. */
static void a_server_that_is_back_when_it_is_asked_is_tried_again_the_same_way(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	lose(&choice);
	sb_choice_on_asked(&choice, true);
	assert_false(sb_choice_on_end(&choice, &welcomed_long));
	lose(&choice);
	assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
}

static void a_server_that_is_away_changes_nothing(void **state)
{
	static const enum sb_way ways[] = {SB_WAY_WEBSOCKET, SB_WAY_STREAM, SB_WAY_POLL};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sb_choice choice = starting_with(ways[i]);

		for (int n = 0; n < 100; n++) {
			if (sb_choice_must_ask(&choice))
				sb_choice_on_asked(&choice, false);
			lose(&choice);
			assert_int_equal(choice.way, ways[i]);
		}
	}
}

static void a_stream_that_stays_mute_makes_a_poll(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_STREAM);

	(void)state;
	lose(&choice);
	assert_true(sb_choice_must_ask(&choice));
	sb_choice_on_asked(&choice, true);
	assert_true(sb_choice_on_end(&choice, &unheard));
	assert_int_equal(choice.way, SB_WAY_POLL);
}

static void a_server_that_gives_its_reason_is_not_blocked(void **state)
{
	static const int codes[] = {1000, 1001, 1012, 1013, 4400, 4401, 4403, 4409, 4429};
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		lose(&choice);
		assert_false(sb_choice_on_end(&choice, &(struct sb_try){.code = codes[i]}));
		assert_false(choice.failed);
		assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
	}
	/* A goodbye whose code libwebsockets did not pass on. */
	lose(&choice);
	assert_false(sb_choice_on_end(&choice, &(struct sb_try){.heard = true, .code = 1002}));
	assert_false(choice.failed);
}

static void what_we_end_ourselves_does_not_count(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	for (int n = 0; n < 10; n++)
		assert_false(
			sb_choice_on_end(&choice, &(struct sb_try){.by_us = true, .code = 1006}));
	assert_false(sb_choice_must_ask(&choice));
}

static void a_session_in_between_forgives_a_failure(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	for (int n = 0; n < 10; n++) {
		lose(&choice);
		assert_true(sb_choice_must_ask(&choice));
		sb_choice_on_asked(&choice, true);
		assert_false(sb_choice_on_end(&choice, &welcomed_long));
		assert_false(sb_choice_must_ask(&choice));
	}
}

static void three_sessions_in_a_row_that_are_cut_short_lead_down(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	for (int way = SB_WAY_WEBSOCKET; way < SB_WAY_POLL; way++) {
		assert_int_equal(choice.way, way);
		assert_false(sb_choice_on_end(&choice, &cut));
		assert_false(sb_choice_on_end(&choice, &cut));
		assert_true(sb_choice_on_end(&choice, &cut));
	}
	for (int n = 0; n < 10; n++)
		assert_false(sb_choice_on_end(&choice, &cut));
	assert_int_equal(choice.way, SB_WAY_POLL); /* there is nothing below */
}

static void a_long_session_among_short_ones_keeps_the_way(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_WEBSOCKET);

	(void)state;
	for (int n = 0; n < 10; n++) {
		assert_false(sb_choice_on_end(&choice, &cut));
		assert_false(sb_choice_on_end(&choice, &cut));
		assert_false(sb_choice_on_end(&choice, &welcomed_long));
	}
	assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
}

static void after_a_trial_one_failure_leads_back_to_what_worked(void **state)
{
	static const enum sb_way ways[] = {SB_WAY_STREAM, SB_WAY_POLL};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sb_choice choice = starting_with(ways[i]);

		sb_choice_on_opened(&choice);
		assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
		assert_false(sb_choice_must_ask(&choice));
		assert_true(sb_choice_on_end(&choice, &unheard)); /* opened, and then mute */
		assert_int_equal(choice.way, ways[i]);

		sb_choice_on_opened(&choice);
		assert_true(sb_choice_on_end(&choice, &cut));
		assert_int_equal(choice.way, ways[i]);
	}
}

static void after_a_trial_that_went_well_it_is_as_at_the_start(void **state)
{
	struct sb_choice choice = starting_with(SB_WAY_POLL);

	(void)state;
	sb_choice_on_opened(&choice);
	assert_false(sb_choice_on_end(&choice, &welcomed_long));
	lose(&choice);
	assert_int_equal(choice.way, SB_WAY_WEBSOCKET);
}

static void ways_have_the_words_of_the_option(void **state)
{
	enum sb_way way = SB_WAY_COUNT;

	(void)state;
	for (int i = 0; i < SB_WAY_COUNT; i++) {
		assert_true(sb_way_parse(sb_way_word((enum sb_way)i), &way));
		assert_int_equal(way, i);
	}
	assert_false(sb_way_parse("pigeon", &way));
	assert_false(sb_way_parse(NULL, &way));
	assert_int_equal(way, SB_WAY_POLL); /* left as it was */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			websockets_that_fail_before_and_after_http_got_through_make_a_stream),
		cmocka_unit_test(
			a_server_that_is_back_when_it_is_asked_is_tried_again_the_same_way),
		cmocka_unit_test(a_server_that_is_away_changes_nothing),
		cmocka_unit_test(a_stream_that_stays_mute_makes_a_poll),
		cmocka_unit_test(a_server_that_gives_its_reason_is_not_blocked),
		cmocka_unit_test(what_we_end_ourselves_does_not_count),
		cmocka_unit_test(a_session_in_between_forgives_a_failure),
		cmocka_unit_test(three_sessions_in_a_row_that_are_cut_short_lead_down),
		cmocka_unit_test(a_long_session_among_short_ones_keeps_the_way),
		cmocka_unit_test(after_a_trial_one_failure_leads_back_to_what_worked),
		cmocka_unit_test(after_a_trial_that_went_well_it_is_as_at_the_start),
		cmocka_unit_test(ways_have_the_words_of_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
