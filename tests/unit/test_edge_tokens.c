/* Refused tokens: a few a minute are answered at once, more cost their address places, and never
 * its good ones. */
#include "visitors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define SHOP   "192.0.2.1"
#define NOBODY (WORLD_DEVICES + 1) /* no device has this id */

static struct visit *guess(struct door *door)
{
	struct visit *connection = visit_and_open(door, SHOP);

	visit_hello(connection, NOBODY);
	return connection;
}

static void is_answered(struct visit *connection)
{
	assert_string_equal(visit_told(connection), "error; close 4401");
	visit_end(connection);
}

static void a_minutes_worth_is_answered_at_once_and_the_next_one_later(void **state)
{
	struct door *door = *state;
	struct visit *held;

	door->config.bad_tokens_per_minute = 3;
	for (int i = 0; i < 3; i++)
		is_answered(guess(door));
	held = guess(door);
	assert_string_equal(visit_told(held), "");
	door_pass(door, SB_HOLD_MS - 1);
	assert_string_equal(visit_told(held), "");
	door_pass(door, 1);
	is_answered(held);
	assert_int_equal(door->door.stats.tokens_refused, 4);
	assert_int_equal(door->door.stats.tokens_held, 1);
	/* twenty seconds are a third of a minute */
	door_pass(door, 20000 - SB_HOLD_MS);
	is_answered(guess(door));
	held = guess(door);
	assert_string_equal(visit_told(held), "");
	visit_end(held);
}

static void a_good_token_is_never_held(void **state)
{
	struct door *door = *state;
	struct visit *held, *good;

	door->config.bad_tokens_per_minute = 1;
	is_answered(guess(door));
	held = guess(door);
	assert_string_equal(visit_told(held), "");
	good = visit_known(door, SHOP, 1);
	visit_end(good);
	visit_end(held);
}

static void who_hangs_up_to_guess_again_still_takes_the_place(void **state)
{
	struct door *door = *state;
	struct visit *visitor;

	door->config.bad_tokens_per_minute = 1;
	door->config.unauthenticated_per_address = 2;
	is_answered(guess(door));
	for (int i = 0; i < 2; i++) {
		visitor = guess(door);
		assert_string_equal(visit_told(visitor), "");
		visit_end(visitor);
	}
	visitor = visit(door, SHOP);
	door_pass(door, SB_HOLD_MS - 1);
	assert_false(visit_is_in(visitor));
	door_pass(door, 1);
	visit_open(visitor);
	assert_false(visit_is_refused(visitor));
	visit_end(visitor);
}

/* What one address can try in a minute: with 64 places and three seconds each, 1,280, and those
 * that are answered at once. */
static void guesses_of_one_address_have_a_rate(void **state)
{
	struct door *door = *state;
	struct visit *visitor;
	uint64_t guesses = 0;

	for (int ms = 0; ms < 60000; ms += 100) {
		for (;;) {
			visitor = visit(door, SHOP);
			if (!visit_is_in(visitor))
				break;
			visit_open(visitor);
			if (!visit_is_refused(visitor)) {
				visit_hello(visitor, NOBODY);
				guesses++;
			}
			(void)visit_told(visitor);
			visit_end(visitor);
		}
		visit_end(visitor);
		door_pass(door, 100);
	}
	assert_int_equal(door->door.stats.tokens_refused, guesses);
	assert_in_range(guesses, 1280, 1280 + 64 + 60);
}

static void revoked_and_expired_ones_are_refused_ones(void **state)
{
	struct door *door = *state;
	struct visit *visitor;

	door->config.bad_tokens_per_minute = 2;
	door->world->devices[1].outcome = SB_AUTH_REVOKED;
	door->world->devices[2].outcome = SB_AUTH_EXPIRED;
	for (int64_t device = 1; device <= 2; device++) {
		visitor = visit_and_open(door, SHOP);
		visit_hello(visitor, device);
		assert_string_equal(visit_told(visitor), "error; close 4403");
		visit_end(visitor);
	}
	visitor = visit_and_open(door, SHOP);
	visit_hello(visitor, 1);
	assert_string_equal(visit_told(visitor), "");
	assert_int_equal(door->door.stats.tokens_refused, 3);
	visit_end(visitor);
}

static void a_session_that_is_revoked_later_is_no_guess(void **state)
{
	struct door *door = *state;
	struct visit *visitor = visit_known(door, SHOP, 1);

	door->config.bad_tokens_per_minute = 1;
	sb_session_close(visitor->session, SB_REASON_REVOKED);
	assert_string_equal(visit_told(visitor), "close 4403");
	assert_int_equal(door->door.stats.tokens_refused, 0);
	visit_end(visitor);
}

static void none_is_no_limit(void **state)
{
	struct door *door = *state;

	door->config.bad_tokens_per_minute = 0;
	for (int i = 0; i < 1000; i++)
		is_answered(guess(door));
	assert_int_equal(door->door.stats.tokens_refused, 1000);
	assert_int_equal(door->door.stats.tokens_held, 0);
}

/* Twice refused, for two reasons: only the first counts. */
static void one_that_breaks_the_protocol_is_no_guess(void **state)
{
	struct door *door = *state;
	struct visit *visitor = visit_and_open(door, SHOP);

	sb_session_receive(visitor->session, "{}", 2);
	assert_string_equal(visit_told(visitor), "error; close 4400");
	assert_int_equal(door->door.stats.tokens_refused, 0);
	visit_end(visitor);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, door_set_up, door_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_minutes_worth_is_answered_at_once_and_the_next_one_later),
		CASE(a_good_token_is_never_held),
		CASE(who_hangs_up_to_guess_again_still_takes_the_place),
		CASE(guesses_of_one_address_have_a_rate),
		CASE(revoked_and_expired_ones_are_refused_ones),
		CASE(a_session_that_is_revoked_later_is_no_guess),
		CASE(none_is_no_limit),
		CASE(one_that_breaks_the_protocol_is_no_guess),
	};

	return cmocka_run_group_tests_name("edge: refused tokens", tests, NULL, NULL);
}
