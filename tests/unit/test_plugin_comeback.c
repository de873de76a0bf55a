/* The plug-in after a connection's end: which close codes it comes back from, when, and how often.
 */
#include "plugin_world.h"

#include <string.h>

/* ---- when ---- */

static void tries_that_fail_wait_longer_up_to_the_maximum(void **state)
{
	static const uint32_t ceilings[] = {500,   1000,  2000,	 4000, 8000,
					    16000, 32000, 60000, 60000};
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	for (size_t i = 0; i < sizeof(ceilings) / sizeof(*ceilings); i++) {
		world_gone(world, 1006, "refused");
		assert_int_equal(world->wait_ms, ceilings[i]);
		assert_false(world->for_user);
		world_come_back(world);
	}
	world_free(world);
}

static void the_jitter_is_full(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	for (int i = 0; i < 4; i++) {
		world_gone(world, 1006, "");
		world_come_back(world);
	}
	world->random = UINT32_MAX / 2;
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 4000);
	world_come_back(world);
	world->random = 0;
	world_forget(world);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 0);
	assert_did(world, "connect"); /* in the same turn */
	world_free(world);
}

static void the_wait_is_kept_to_the_millisecond(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_gone(world, 1006, "");
	world_forget(world);
	world_pass(world, 499);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "connect");
	world_free(world);
}

static void a_mere_connection_does_not_shorten_the_waits_and_a_welcome_does(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_gone(world, 1006, "");
	world_come_back(world);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 1000);
	world_come_back(world);
	world_say_welcome(world, "k.0");
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 500);
	world_free(world);
}

static void the_servers_bounds_count_from_its_welcome_on(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	world_say(world,
		  "{\"type\":\"welcome\",\"session\":\"s\",\"mailbox\":\"a@b\",\"cursor\":\"k.0\","
		  "\"head\":0,\"window\":1,\"heartbeat_seconds\":25,"
		  "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
		  "\"reconnect\":{\"min_ms\":100,\"max_ms\":150},\"features\":[]}");
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 100);
	world_come_back(world);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 150);
	world_free(world);
}

static void say_goodbye(struct world *world, const char *reason, unsigned after_ms)
{
	world_say(world, "{\"type\":\"goodbye\",\"reason\":\"%s\",\"reconnect_after_ms\":%u}",
		  reason, after_ms);
}

static void a_goodbye_says_exactly_when(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	say_goodbye(world, "draining", 8123);
	world_gone(world, 1012, "draining");
	assert_int_equal(world->wait_ms, 8123);
	/* It counted for that time only. */
	world_come_back(world);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 1000);
	world_free(world);
}

static void a_goodbye_counts_when_the_close_after_it_is_lost(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	say_goodbye(world, "busy", 7000);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 7000);
	world_free(world);
}

static void a_goodbye_before_welcome_counts_too(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	say_goodbye(world, "too-many", 9000);
	world_gone(world, 4429, "too-many");
	assert_int_equal(world->wait_ms, 9000);
	world_free(world);
}

static void retry_after_of_an_http_answer_is_kept_to(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	sb_client_on_gone(
		&world->client,
		&(struct sb_gone){.code = 1006, .words = "503", .has_hint = true, .hint_ms = 3000},
		world->now_ms);
	assert_int_equal(world->wait_ms, 3000);
	world_free(world);
}

static void a_server_may_not_send_us_away_for_longer_than_an_hour(void **state)
{
	static const uint32_t hints[][2] = {
		{3599999, 3599999}, {3600000, 3600000}, {3600001, 3600000}, {UINT32_MAX, 3600000}};

	(void)state;
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world_arrive(world, "k.0");
		say_goodbye(world, "busy", hints[i][0]);
		world_gone(world, 1013, "busy");
		assert_int_equal(world->wait_ms, hints[i][1]);
		world_free(world);
	}
}

/* ---- close codes ---- */

static void these_codes_are_come_back_from_after_the_back_off(void **state)
{
	static const int codes[] = {1000, 1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429, 4999};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world_arrive(world, "k.0");
		world_gone(world, codes[i], "");
		assert_int_equal(world->client.state, SB_CLIENT_WAITING);
		assert_int_equal(world->code, codes[i]);
		assert_int_equal(world->wait_ms, 500);
		assert_trouble(world, NULL);
		world_free(world);
	}
}

static void a_bug_is_said_and_tried_again_at_the_longest_wait(void **state)
{
	static const int codes[] = {4400, 1009};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world->random = 0;
		world_arrive(world, "k.0");
		world_gone(world, codes[i], "");
		assert_int_equal(world->wait_ms, 60000);
		assert_trouble(world, "this is a bug");
		world_free(world);
	}
}

static void a_refused_token_ends_it_with_words(void **state)
{
	static const struct {
		int code;
		const char *word, *words;
	} cases[] = {{4401, "bad-token", "does not take this token"},
		     {4403, "revoked", "revoked"},
		     {4403, "expired", "expired"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world_open(world);
		world_gone(world, cases[i].code, cases[i].word);
		assert_int_equal(world->client.state, SB_CLIENT_ENDED);
		assert_int_equal(world->client.exit_code, 1);
		assert_trouble(world, cases[i].words);
		assert_told(world, "connecting; closed"); /* no bye */
		assert_int_equal(sb_client_deadline(&world->client), 0);
		world_free(world);
	}
}

static void one_that_was_replaced_waits_for_its_user(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_gone(world, 4409, "replaced");
	assert_true(world->for_user);
	assert_trouble(world, "took over");
	assert_int_equal(sb_client_deadline(&world->client), 0);
	world_pass(world, 86400000);
	sb_client_on_jump(&world->client, world->now_ms); /* nor is a sleep of the machine one */
	world_turn(world);
	assert_did(world, "");
	sb_client_nudge(&world->client, world->now_ms);
	assert_did(world, "connect");
	world_open(world);
	assert_did(world, "hello k.0");
	world_free(world);
}

static void one_that_waits_for_its_user_ends_when_told(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_gone(world, 4409, "replaced");
	sb_client_stop(&world->client, world->now_ms);
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 0);
	world_free(world);
}

/* libwebsockets shows 1002 for codes that it does not know. */
static void a_code_that_was_hidden_is_known_by_goodbye_or_by_its_word(void **state)
{
	static const struct {
		const char *goodbye, *word;
		int code;
	} cases[] = {{"draining", "", 1012},   {"busy", "", 1013}, {NULL, "degraded", 1013},
		     {NULL, "draining", 1012}, {NULL, "", 1002},   {"new-word", "", 1002}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world_arrive(world, "k.0");
		if (cases[i].goodbye)
			say_goodbye(world, cases[i].goodbye, 10);
		world_gone(world, 1002, cases[i].word);
		assert_int_equal(world->code, cases[i].code);
		world_free(world);
	}
}

/* ---- mode once ---- */

static void once_gives_up_after_five_connections_that_came_to_nothing(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	for (int i = 1; i < SB_CLIENT_ONCE_TRIES; i++) {
		world_gone(world, 1006, "refused");
		world_come_back(world);
	}
	world_gone(world, 1006, "refused");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 1);
	assert_trouble(world, "after 5 connections");
	world_free(world);
}

static void once_counts_anew_when_something_was_confirmed(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 1; i < SB_CLIENT_ONCE_TRIES; i++) {
			world_gone(world, 1006, "refused");
			world_come_back(world);
		}
		world_say_welcome(world, round ? "k.1" : "k.0");
		world_say_booking(world, round ? "k.2" : "k.1", "one");
		world_turn(world);
		world_say_acked(world, round ? "k.2" : "k.1");
	}
	assert_int_equal(world->client.state, SB_CLIENT_IN_SESSION);
	world_free(world);
}

static void once_does_not_wait_for_a_user(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_gone(world, 4409, "replaced");
	assert_int_equal(world->client.exit_code, 1);
	assert_trouble(world, "took over");
	world_free(world);
}

static void once_does_not_try_a_bug_again(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_gone(world, 4400, "bad-message");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 1);
	world_free(world);
}

static void once_leaves_a_server_that_answers_pings_and_nothing_else(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_say_welcome(world, "k.0");
	world_turn(world);
	world_forget(world);
	world_pass(world, 29000);
	assert_did(world, "ping");
	world_say(world, "{\"type\":\"pong\"}");
	world_pass(world, SB_CLIENT_ONCE_STILL_MS - 29000 - 1);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "drop");
	assert_trouble(world, "Nothing came of the session");
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tries_that_fail_wait_longer_up_to_the_maximum),
		cmocka_unit_test(the_jitter_is_full),
		cmocka_unit_test(the_wait_is_kept_to_the_millisecond),
		cmocka_unit_test(a_mere_connection_does_not_shorten_the_waits_and_a_welcome_does),
		cmocka_unit_test(the_servers_bounds_count_from_its_welcome_on),
		cmocka_unit_test(a_goodbye_says_exactly_when),
		cmocka_unit_test(a_goodbye_counts_when_the_close_after_it_is_lost),
		cmocka_unit_test(a_goodbye_before_welcome_counts_too),
		cmocka_unit_test(retry_after_of_an_http_answer_is_kept_to),
		cmocka_unit_test(a_server_may_not_send_us_away_for_longer_than_an_hour),
		cmocka_unit_test(these_codes_are_come_back_from_after_the_back_off),
		cmocka_unit_test(a_bug_is_said_and_tried_again_at_the_longest_wait),
		cmocka_unit_test(a_refused_token_ends_it_with_words),
		cmocka_unit_test(one_that_was_replaced_waits_for_its_user),
		cmocka_unit_test(one_that_waits_for_its_user_ends_when_told),
		cmocka_unit_test(a_code_that_was_hidden_is_known_by_goodbye_or_by_its_word),
		cmocka_unit_test(once_gives_up_after_five_connections_that_came_to_nothing),
		cmocka_unit_test(once_counts_anew_when_something_was_confirmed),
		cmocka_unit_test(once_does_not_wait_for_a_user),
		cmocka_unit_test(once_does_not_try_a_bug_again),
		cmocka_unit_test(once_leaves_a_server_that_answers_pings_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
