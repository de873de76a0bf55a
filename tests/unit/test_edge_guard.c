/* The limits of the door: below, at and above each; who counts, and for how long. */
#include "visitors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define SHOP   "192.0.2.1"
#define OTHERS "192.0.2.2"

#define MANY 300

static struct visit *visits[MANY];

static void end_all(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		visit_end(visits[i]);
}

/* One too many: it waits a while for a place, and then comes in to be told. */
static struct visit *refused(struct door *door, const char *address)
{
	struct visit *connection = visit(door, address);

	assert_false(visit_is_in(connection));
	door_pass(door, SB_PATIENCE_MS);
	visit_open(connection);
	assert_true(visit_is_refused(connection));
	assert_string_equal(visit_told(connection), "goodbye; close 4429");
	assert_in_range(visit_return_ms(), 500, 600000);
	return connection;
}

/* ---- sessions.unauthenticated_per_address ---- */

static void as_many_strangers_of_one_address_as_the_limit(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 3;
	for (size_t i = 0; i < 3; i++) {
		visits[i] = visit_and_open(door, SHOP);
		assert_false(visit_is_refused(visits[i]));
		assert_string_equal(visit_told(visits[i]), "");
	}
	visits[3] = refused(door, SHOP);
	visits[4] = visit_and_open(door, OTHERS); /* nobody else notices */
	assert_string_equal(visit_told(visits[4]), "");
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_UNAUTHENTICATED), 1);
	end_all(0, 5);
}

static void whose_token_is_good_makes_room(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	for (size_t i = 0; i < 5; i++)
		visits[i] = visit_known(door, SHOP, (int64_t)i + 1);
	visits[5] = visit_and_open(door, SHOP);
	assert_false(visit_is_refused(visits[5]));
	visits[6] = refused(door, SHOP);
	end_all(0, 7);
}

static void whose_next_request_comes_has_its_place_but_shows_its_token_anew(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visits[0] = visit_known(door, SHOP, 1);
	visits[1] = visit_and_open(door, SHOP);
	sb_session_gone(visits[0]->session); /* answered, and kept */
	visit_open(visits[0]);
	assert_false(visit_is_refused(visits[0]));
	assert_int_equal(visits[0]->visitor->stage, SB_STAGE_OPEN);
	visits[2] = refused(door, SHOP); /* for two are strangers now */
	visit_hello(visits[0], 1);
	assert_string_equal(visit_told(visits[0]), "welcome; live; ");
	assert_int_equal(visits[0]->visitor->stage, SB_STAGE_KNOWN);
	end_all(0, 2); /* one of them the stranger */
	visits[3] = visit_and_open(door, SHOP);
	assert_false(visit_is_refused(visits[3]));
	end_all(2, 4);
}

static void who_leaves_makes_room_and_who_was_refused_takes_none(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visits[0] = visit_and_open(door, SHOP);
	visits[1] = refused(door, SHOP);
	visits[2] = refused(door, SHOP);
	visit_end(visits[0]);
	visits[0] = visit_and_open(door, SHOP); /* while two are still being told */
	assert_false(visit_is_refused(visits[0]));
	end_all(0, 3);
}

static void for_one_that_came_in_to_be_told_there_may_be_a_place_by_then(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visits[0] = visit_and_open(door, SHOP);
	visits[1] = visit(door, SHOP);
	door_pass(door, SB_PATIENCE_MS);
	visit_end(visits[0]);
	visit_open(visits[1]);
	assert_false(visit_is_refused(visits[1]));
	visit_end(visits[1]);
}

static void none_is_no_limit(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 0;
	for (size_t i = 0; i < MANY; i++) {
		visits[i] = visit_and_open(door, SHOP);
		assert_false(visit_is_refused(visits[i]));
	}
	end_all(0, MANY);
}

static void a_changed_limit_counts_from_then_on(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visits[0] = visit_and_open(door, SHOP);
	door->config.unauthenticated_per_address = 2;
	visits[1] = visit_and_open(door, SHOP);
	assert_false(visit_is_refused(visits[1]));
	door->config.unauthenticated_per_address = 1;
	visits[2] = refused(door, SHOP);
	end_all(0, 3);
}

static void an_ipv6_household_is_one_address(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visits[0] = visit_and_open(door, "2001:db8:0:1::1");
	visits[1] = refused(door, "2001:db8:0:1:ffff::2");
	visits[2] = visit_and_open(door, "2001:db8:0:2::1");
	assert_false(visit_is_refused(visits[2]));
	visits[3] = visit_and_open(door, SHOP);
	assert_false(visit_is_refused(visits[3]));
	visits[4] = refused(door, "::ffff:" SHOP);
	end_all(0, 5);
}

/* ---- sessions.per_address ---- */

static void connections_of_one_address_have_a_limit_of_their_own(void **state)
{
	struct door *door = *state;

	door->config.per_address = 3;
	visits[0] = visit_known(door, SHOP, 1);
	visits[1] = visit_known(door, SHOP, 2);
	visits[2] = visit_and_open(door, SHOP);
	assert_false(visit_is_refused(visits[2]));
	visits[3] = visit_and_open(door, SHOP);
	assert_string_equal(visit_told(visits[3]), "goodbye; close 4429");
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_PER_ADDRESS), 1);
	visit_end(visits[0]);
	visits[0] = visit_known(door, SHOP, 3);
	visits[4] = visit_known(door, OTHERS, 4);
	end_all(0, 5);
}

static void which_is_off_unless_it_is_set(void **state)
{
	struct door *door = *state;

	for (size_t i = 0; i < WORLD_DEVICES; i++)
		visits[i] = visit_known(door, SHOP, (int64_t)i + 1);
	end_all(0, WORLD_DEVICES);
}

/* ---- everybody ---- */

static void far_over_all_sessions_is_closed_at_once(void **state)
{
	struct door *door = *state;
	const size_t most = 8 + 8 / 4 + 64;

	door->config.max_sessions = 8;
	for (size_t i = 0; i < most; i++) {
		char address[16];

		(void)snprintf(address, sizeof(address), "10.0.0.%zu", i);
		assert_non_null(visits[i] = visit(door, address));
	}
	assert_null(visit(door, "192.0.2.3"));
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_FULL), 1);
	visit_end(visits[0]);
	assert_non_null(visits[0] = visit(door, "192.0.2.3"));
	end_all(0, most);
}

static void a_full_table_of_addresses_turns_away_new_ones_only(void **state)
{
	struct door *door = *state;

	door->config.max_addresses = 2;
	visits[0] = visit_and_open(door, "192.0.2.1");
	visits[1] = visit_and_open(door, "192.0.2.2");
	assert_null(visit(door, "192.0.2.3"));
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_ADDRESSES), 1);
	visits[2] = visit_and_open(door, "192.0.2.2");
	visit_end(visits[0]);
	visits[0] = visit_and_open(door, "192.0.2.3");
	end_all(0, 3);
}

/* ---- when they come back ---- */

static void who_is_told_comes_back_in_a_slot_of_the_hub(void **state)
{
	struct door *door = *state;
	uint32_t last = 0;

	visits[0] = visit_and_open(door, SHOP);
	for (int i = 0; i < 100; i++) {
		uint32_t next = visit_advice_ms(visits[0]);

		assert_in_range(next, 500 + i * 2, 500 + i * 2 + 1);
		assert_true(next > last);
		last = next;
	}
	end_all(0, 1);
}

/* A quarter of 500 a second, for a minute ahead: then it is 7,500 slots that it took. */
static void who_asks_without_end_puts_off_itself_and_nobody_else(void **state)
{
	struct door *door = *state;
	uint32_t last = 0;

	visits[0] = visit_and_open(door, SHOP);
	visits[1] = visit_and_open(door, OTHERS);
	for (int i = 0; i < 20000; i++)
		last = visit_advice_ms(visits[0]);
	assert_in_range(last, 150000, 600000);
	assert_in_range(visit_advice_ms(visits[1]), 500, 500 + 15000);
	end_all(0, 2);
}

/* Whatever they are sent away for, by a websocket as well as in HTTP. */
static void strangers_that_are_sent_away_without_end_put_off_nobody_else(void **state)
{
	struct door *door = *state;

	for (int i = 0; i < 20000; i++) {
		visits[0] = visit_and_open(door, SHOP);
		sb_session_close(visits[0]->session, SB_REASON_BUSY);
		assert_string_equal(visit_told(visits[0]), "goodbye; close 1013");
		visit_end(visits[0]);
	}
	assert_in_range(visit_return_ms(), 150000, 600000);
	visits[0] = visit_and_open(door, OTHERS);
	visits[1] = visit_known(door, SHOP, 1); /* somebody known, of the same address */
	for (size_t i = 0; i < 2; i++) {
		sb_session_close(visits[i]->session, SB_REASON_BUSY);
		assert_string_equal(visit_told(visits[i]), "goodbye; close 1013");
		assert_in_range(visit_return_ms(), 500, 500 + 15000 + 10);
	}
	end_all(0, 2);
}

static void every_reason_has_a_word(void **state)
{
	(void)state;
	for (int i = 0; i < SB_TURNED_AWAY_COUNT; i++)
		assert_non_null(sb_turned_away_word((enum sb_turned_away)i));
	assert_string_equal(sb_turned_away_word(SB_TURNED_AWAY_PROXY_HEADER), "proxy-header");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, door_set_up, door_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(as_many_strangers_of_one_address_as_the_limit),
		CASE(whose_token_is_good_makes_room),
		CASE(whose_next_request_comes_has_its_place_but_shows_its_token_anew),
		CASE(who_leaves_makes_room_and_who_was_refused_takes_none),
		CASE(for_one_that_came_in_to_be_told_there_may_be_a_place_by_then),
		CASE(none_is_no_limit),
		CASE(a_changed_limit_counts_from_then_on),
		CASE(an_ipv6_household_is_one_address),
		CASE(connections_of_one_address_have_a_limit_of_their_own),
		CASE(which_is_off_unless_it_is_set),
		CASE(far_over_all_sessions_is_closed_at_once),
		CASE(a_full_table_of_addresses_turns_away_new_ones_only),
		CASE(who_is_told_comes_back_in_a_slot_of_the_hub),
		CASE(who_asks_without_end_puts_off_itself_and_nobody_else),
		CASE(strangers_that_are_sent_away_without_end_put_off_nobody_else),
		CASE(every_reason_has_a_word),
	};

	return cmocka_run_group_tests_name("edge: the guard", tests, NULL, NULL);
}
