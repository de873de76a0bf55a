/* The waiting room: who comes next, and for how long one waits. */
#include "visitors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define SHOP	"192.0.2.1"
#define OTHERS	"192.0.2.2"
#define STEP_MS 500 /* of a story in which places come slowly */
#define MANY	200

static struct visit *visits[MANY];

static void visit_all(struct door *door, size_t from, size_t to, const char *address)
{
	for (size_t i = from; i < to; i++)
		assert_non_null(visits[i] = visit(door, address));
}

static size_t count_in(size_t from, size_t to)
{
	size_t in = 0;

	for (size_t i = from; i < to; i++)
		in += visit_is_in(visits[i]);
	return in;
}

static void end_all(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		visit_end(visits[i]);
}

/* ---- sessions.handshakes ---- */

static void as_many_handshakes_at_once_as_the_limit(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 4;
	for (size_t i = 0; i < 6; i++) {
		visits[i] = visit(door, SHOP);
		assert_int_equal(door->door.opening, i < 4 ? i + 1 : 4);
		assert_int_equal(visit_is_in(visits[i]), i < 4);
	}
	assert_int_equal(door->door.stats.handshakes_peak, 4);
	visit_open(visits[2]);
	door_pass(door, 0);		     /* at the end of the turn */
	assert_true(visit_is_in(visits[4])); /* first come, first served */
	assert_false(visit_is_in(visits[5]));
	visit_end(visits[0]); /* one that breaks off gives its place up too */
	assert_true(visit_is_in(visits[5]));
	end_all(1, 6);
}

static void no_more_than_four_are_let_in_in_one_turn_of_the_loop(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 1;
	visit_all(door, 0, 10, SHOP);
	door->config.handshakes = 64;
	for (size_t in = 1; in < 10; in = in + 4 < 10 ? in + 4 : 10) {
		assert_int_equal(count_in(0, 10), in);
		assert_true(sb_room_may_serve(&door->door)); /* the loop does not wait */
		(void)sb_door_serve(&door->door);
	}
	assert_int_equal(count_in(0, 10), 10);
	assert_false(sb_room_may_serve(&door->door));
	end_all(0, 10);
}

static void up_to_four_go_in_together(void **state)
{
	struct door *door = *state;

	for (size_t waiting = 3; waiting <= 5; waiting++) {
		door->config.handshakes = 1;
		visit_all(door, 0, 1 + waiting, SHOP);
		door->config.handshakes = 64;
		(void)sb_door_serve(&door->door);
		assert_int_equal(count_in(1, 1 + waiting), waiting < 4 ? waiting : 4);
		assert_int_equal(sb_room_may_serve(&door->door), waiting > 4);
		end_all(0, 1 + waiting);
	}
}

static void a_place_among_the_handshakes_is_given_up_after_its_time(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 1;
	visit_all(door, 0, 2, SHOP);
	door_pass(door, SB_SLOT_MS - 1);
	assert_false(visit_is_in(visits[1]));
	door_pass(door, 1);
	assert_true(visit_is_in(visits[1]));
	assert_int_equal(door->door.opening, 1);
	visit_open(visits[0]); /* late, and welcome */
	assert_false(visit_is_refused(visits[0]));
	end_all(0, 2);
}

static void who_says_nothing_is_closed_in_the_end(void **state)
{
	struct door *door = *state;

	visits[0] = visit(door, SHOP);
	door_pass(door, SB_SLOT_MS);
	door_pass(door, door->config.opening_ms - 1);
	assert_int_equal(door->door.visitors, 1);
	door_pass(door, 1);
	assert_int_equal(door->door.visitors, 0);
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_SLOW), 1);
}

static void a_changed_number_of_handshakes_counts_from_then_on(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 1;
	visit_all(door, 0, 4, SHOP);
	door->config.handshakes = 3;
	door_pass(door, 0);
	assert_int_equal(count_in(0, 4), 3);
	end_all(0, 4);
}

/* ---- turns ---- */

static void addresses_take_turns_whoever_sent_more(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 1;
	door->config.unauthenticated_per_address = 0;
	visit_all(door, 0, 100, SHOP);
	visit_all(door, 100, 103, OTHERS);
	visit_all(door, 103, 104, "192.0.2.3");
	/* The first is shaking hands. Then: shop, others, third, shop, others, shop, others, shop.
	 */
	for (size_t places = 0; places < 8; places++) {
		door_pass(door, SB_SLOT_MS);
		assert_int_equal(count_in(100, 103), (places + 2) / 3 > 3 ? 3
						     : places < 1	  ? 0
						     : places < 4	  ? 1
						     : places < 6	  ? 2
									  : 3);
		assert_int_equal(count_in(103, 104), places >= 2);
	}
	end_all(0, 104);
}

static void one_alone_has_all_turns(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 10;
	visit_all(door, 0, 30, SHOP);
	assert_int_equal(count_in(0, 30), 10);
	door_pass(door, SB_SLOT_MS);
	assert_int_equal(count_in(0, 30), 20);
	door_pass(door, SB_SLOT_MS);
	assert_int_equal(count_in(0, 30), 30);
	end_all(0, 30);
}

/* So many that the last is let in before a handshake's time is over. */
#define COMPANY 16

/* A company that comes back at once through one address: nobody is sent away. */
static void a_company_waits_for_places_of_its_own(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 4;
	visit_all(door, 0, COMPANY, SHOP);
	for (size_t i = 0; i < COMPANY; i++) {
		assert_int_equal(count_in(0, COMPANY), i + 4 < COMPANY ? i + 4 : COMPANY);
		visit_open(visits[i]);
		visit_hello(visits[i], (int64_t)i + 1);
		assert_string_equal(visit_told(visits[i]), "welcome; live; ");
		door_pass(door, STEP_MS);
	}
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_UNAUTHENTICATED), 0);
	end_all(0, COMPANY);
}

static void an_address_without_a_place_stands_in_nobodys_way(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 4;
	door->config.unauthenticated_per_address = 2;
	visit_all(door, 0, 50, SHOP);
	assert_int_equal(count_in(0, 50), 2);
	visit_all(door, 50, 52, OTHERS);
	assert_int_equal(count_in(50, 52), 2);
	end_all(0, 52);
}

/* ---- patience ---- */

static void without_a_place_for_long_they_come_in_to_be_told(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 2;
	visit_all(door, 0, 4, SHOP);
	door_pass(door, SB_PATIENCE_MS - 1);
	assert_int_equal(count_in(0, 4), 2);
	door_pass(door, 1);
	assert_int_equal(count_in(0, 4), 4);
	/* the next one has its own time, when there was nobody before it */
	visit_all(door, 4, 5, SHOP);
	assert_int_equal(count_in(0, 5), 4);
	end_all(0, 5);
}

static void no_more_are_being_told_at_once_than_thrice_the_limit(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 2;
	visit_all(door, 0, 12, SHOP);
	door_pass(door, SB_PATIENCE_MS);
	assert_int_equal(count_in(0, 12), 2 + 3 * 2);
	visit_open(visits[7]);
	assert_true(visit_is_refused(visits[7]));
	visit_end(visits[7]); /* was told */
	assert_int_equal(count_in(0, 7) + count_in(8, 12), 2 + 3 * 2);
	end_all(0, 7);
	end_all(8, 12);
}

/* Places come, but too slowly for all who wait. */
static void who_waits_too_long_is_told_all_the_same(void **state)
{
	struct door *door = *state;
	struct visit *late;

	door->config.unauthenticated_per_address = 1;
	visit_all(door, 0, 100, SHOP);
	late = visits[99];
	for (uint32_t ms = 0; ms < door->config.opening_ms; ms += STEP_MS) {
		size_t first = ms / STEP_MS;

		assert_false(visit_is_in(late));
		visit_end(visits[first]);
		assert_int_equal(count_in(first + 1, 100), 1);
		door_pass(door, STEP_MS);
	}
	assert_int_equal(count_in(20, 100), 1 + 3);
	end_all(20, 100);
}

static void who_goes_while_it_waits_is_forgotten(void **state)
{
	struct door *door = *state;

	door->config.unauthenticated_per_address = 1;
	visit_all(door, 0, 3, SHOP);
	visit_end(visits[1]);
	door_pass(door, SB_PATIENCE_MS);
	assert_true(visit_is_in(visits[2]));
	visit_all(door, 3, 4, SHOP);
	visit_end(visits[3]); /* the last of its queue */
	visit_end(visits[2]);
	visit_end(visits[0]);
	assert_int_equal(sb_addresses_count(&door->door.addresses), 0);
}

/* ---- how many may wait ---- */

static void of_one_address_as_many_wait_as_could_come_from_all_others(void **state)
{
	struct door *door = *state;
	const size_t most = 80 + 80 / 4 + 64; /* 164 */
	size_t came = 0;

	door->config.max_sessions = 80;
	door->config.handshakes = 1;
	while ((visits[came] = visit(door, SHOP)))
		came++;
	/* one shakes hands; of the rest a half waits, and a half is free */
	assert_int_equal(came, 83);
	assert_int_equal(door->door.queued, 82);
	assert_int_equal(door_turned_away(door, SB_TURNED_AWAY_FLOOD), 1);
	/* the next flood gets a half of what is left, and there is always room for one more */
	while ((visits[came] = visit(door, OTHERS)))
		came++;
	assert_int_equal(came, 83 + 41);
	assert_non_null(visits[came++] = visit(door, "192.0.2.3"));
	assert_true(came < most);
	end_all(0, came);
}

static void when_the_server_ends_all_who_wait_are_dropped(void **state)
{
	struct door *door = *state;

	door->config.handshakes = 1;
	visit_all(door, 0, 5, SHOP);
	visit_all(door, 5, 9, OTHERS);
	sb_room_close(&door->door);
	assert_int_equal(door->door.visitors, 1);
	visit_end(visits[0]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, door_set_up, door_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(as_many_handshakes_at_once_as_the_limit),
		CASE(no_more_than_four_are_let_in_in_one_turn_of_the_loop),
		CASE(up_to_four_go_in_together),
		CASE(a_place_among_the_handshakes_is_given_up_after_its_time),
		CASE(who_says_nothing_is_closed_in_the_end),
		CASE(a_changed_number_of_handshakes_counts_from_then_on),
		CASE(addresses_take_turns_whoever_sent_more),
		CASE(one_alone_has_all_turns),
		CASE(a_company_waits_for_places_of_its_own),
		CASE(an_address_without_a_place_stands_in_nobodys_way),
		CASE(without_a_place_for_long_they_come_in_to_be_told),
		CASE(no_more_are_being_told_at_once_than_thrice_the_limit),
		CASE(who_waits_too_long_is_told_all_the_same),
		CASE(who_goes_while_it_waits_is_forgotten),
		CASE(of_one_address_as_many_wait_as_could_come_from_all_others),
		CASE(when_the_server_ends_all_who_wait_are_dropped),
	};

	return cmocka_run_group_tests_name("edge: the waiting room", tests, NULL, NULL);
}
