/* Time: hello, the wait for the database, heartbeats, stalls, the drain. Each limit just before and
 * at it. */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void no_hello_in_time_is_closed_with_4408(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_connect(&ada, world);
	world_pass(world, 9999);
	assert_string_equal(client_said(&ada), "");
	world_pass(world, 1);
	assert_string_equal(client_said(&ada), "error no-hello; close 4408");
	client_drop(&ada);
	world_free(world);
}

static void while_the_database_is_away_a_hello_waits_and_is_then_sent_away(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world->away = true;
	client_hello(&ada, world, 1, "");
	world_pass(world, 4999);
	assert_string_equal(client_said(&ada), "");
	world_pass(world, 1);
	assert_string_equal(client_said(&ada), "goodbye degraded; close 1013");
	assert_true(ada.come_back_ms >= 500);
	client_drop(&ada);
	/* its answer finds nobody */
	world->away = false;
	world_settle(world);
	world_free(world);
}

static void a_hello_is_served_when_the_database_is_back_in_time(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world->away = true;
	client_hello(&ada, world, 1, "");
	world_pass(world, 4999);
	world->away = false;
	assert_string_equal(client_said(&ada), "welcome 0; live 0");
	client_drop(&ada);
	world_free(world);
}

static void a_token_that_ends_ends_its_session_within_the_second(void **state)
{
	struct world *world = world_new();
	struct client ada, late, never;
	int64_t now_s = world->clock.wall_us(&world->clock) / 1000000;

	(void)state;
	world->devices[1].expires_at_s = now_s + 10;
	world->devices[2].expires_at_s = now_s + 20;
	client_hello(&late, world, 2, "");
	client_hello(&ada, world, 1, "");
	client_hello(&never, world, 3, "");
	client_said(&late);
	client_said(&ada);
	client_said(&never);
	world_pass(world, 9999);
	assert_string_equal(client_said(&ada), "");
	world_pass(world, 1);
	assert_string_equal(client_said(&ada), "close 4403");
	world_pass(world, 9999);
	assert_string_equal(client_said(&late), "");
	world_pass(world, 1);
	assert_string_equal(client_said(&late), "close 4403");
	assert_string_equal(client_said(&never), "");
	client_drop(&ada);
	client_drop(&late);
	client_drop(&never);
	world_free(world);
}

static void a_heartbeat_that_is_heard_keeps_the_session(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 0; i < 5; i++) {
		world_pass(world, 24999);
		assert_string_equal(client_said(&ada), "");
		world_pass(world, 1);
		assert_string_equal(client_said(&ada), "ping");
	}
	assert_false(ada.cut);
	client_drop(&ada);
	world_free(world);
}

static void heartbeats_that_are_due_within_a_moment_go_together(void **state)
{
	struct world *world = world_new();
	struct client first, soon, later;

	(void)state;
	client_hello(&first, world, 1, "");
	client_said(&first);
	world_pass(world, 2500);
	client_hello(&soon, world, 2, "");
	client_said(&soon);
	world_pass(world, 1);
	client_hello(&later, world, 3, "");
	client_said(&later);
	world_pass(world, 22499);
	assert_string_equal(client_said(&first), "ping");
	assert_string_equal(client_said(&soon), "ping");
	assert_string_equal(client_said(&later), "");
	world_pass(world, 2501);
	assert_string_equal(client_said(&first), "");
	assert_string_equal(client_said(&later), "ping");
	client_drop(&first);
	client_drop(&soon);
	client_drop(&later);
	world_free(world);
}

static void no_more_than_128_heartbeats_go_at_once(void **state)
{
	struct world *world = world_new();
	struct client clients[140];
	int pinged = 0;

	(void)state;
	for (int i = 0; i < 140; i++) {
		world->devices[i + 1].mailbox = 1;
		client_hello(&clients[i], world, i + 1, "");
		client_said(&clients[i]);
	}
	assert_int_equal(sb_hub_due_ms(world->hub), world->now_ms + 25000);
	world->now_ms += 25000;
	sb_hub_tick(world->hub);
	for (int i = 0; i < 140; i++)
		pinged += !strcmp(client_said(&clients[i]), "ping");
	assert_int_equal(pinged, 128);
	/* The others still are due, and go next. */
	assert_int_equal(sb_hub_due_ms(world->hub), world->now_ms);
	world_pass(world, 0);
	for (int i = 0; i < 140; i++) {
		pinged += !strcmp(client_said(&clients[i]), "ping");
		client_drop(&clients[i]);
	}
	assert_int_equal(pinged, 140);
	world_free(world);
}

static void silence_for_two_heartbeats_cuts_the_connection(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	ada.silent = true;
	world_pass(world, 25000);
	assert_string_equal(client_said(&ada), "ping");
	world_pass(world, 24999);
	assert_false(ada.cut);
	world_pass(world, 1);
	assert_true(ada.cut);
	client_drop(&ada);
	world_free(world);
}

static void events_that_nobody_acks_end_the_session_as_stalled(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world_book(world, 1);
	client_said(&ada);
	/* Looked at with each heartbeat: the last one before 300 s, and the one at it. */
	for (int i = 0; i < 11; i++) {
		world_pass(world, 25000);
		assert_string_equal(client_said(&ada), "ping");
	}
	world_pass(world, 25000);
	assert_string_equal(client_said(&ada), "goodbye stalled; close 1013");
	client_drop(&ada);
	world_free(world);
}

static void an_ack_in_time_keeps_the_session(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world_book(world, 1);
	world_book(world, 1);
	client_said(&ada);
	for (int i = 0; i < 30; i++) {
		world_pass(world, 25000);
		assert_string_equal(client_said(&ada), "ping");
		if (i == 8)
			client_ack(&ada, 1);
		if (i == 17)
			client_ack(&ada, 2);
		client_said(&ada);
	}
	client_drop(&ada);
	world_free(world);
}

static void a_close_that_nobody_takes_becomes_a_cut(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	sb_session_close(ada.session, SB_REASON_DRAINING);
	ada.blocked = true;
	world_pass(world, 4999);
	assert_false(ada.cut);
	world_pass(world, 1);
	assert_true(ada.cut);
	client_drop(&ada);
	world_free(world);
}

/* A table was locked for a moment, say: nobody rings for this booking again. */
static void a_fetch_that_failed_is_asked_again_soon(void **state)
{
	struct world *world = world_new();
	struct client ada;
	size_t fetches;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world->failing = true;
	world_book(world, 1);
	world_settle(world);
	fetches = world->fetches;
	world_pass(world, 1999);
	assert_int_equal(world->fetches, fetches); /* not in a hurry */
	world_pass(world, 1);
	assert_int_equal(world->fetches, fetches + 1);
	world_settle(world);
	world->failing = false;
	world_pass(world, 2000);
	assert_string_equal(client_said(&ada), "booking 1");
	world->failing = true;
	world_book(world, 1);
	world_settle(world);
	client_drop(&ada); /* with the next try to come */
	world_pass(world, 2000);
	world_free(world);
}

static void the_first_fetch_of_a_session_is_asked_again_too(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	world->failing = true;
	client_hello(&ada, world, 1, "");
	world_settle(world);
	client_pull(&ada);
	world->failing = false;
	world_pass(world, 2000);
	assert_string_equal(client_said(&ada), "welcome 0; booking 1; live 1");
	client_drop(&ada);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_hello_in_time_is_closed_with_4408),
		cmocka_unit_test(while_the_database_is_away_a_hello_waits_and_is_then_sent_away),
		cmocka_unit_test(a_hello_is_served_when_the_database_is_back_in_time),
		cmocka_unit_test(a_token_that_ends_ends_its_session_within_the_second),
		cmocka_unit_test(a_heartbeat_that_is_heard_keeps_the_session),
		cmocka_unit_test(heartbeats_that_are_due_within_a_moment_go_together),
		cmocka_unit_test(no_more_than_128_heartbeats_go_at_once),
		cmocka_unit_test(silence_for_two_heartbeats_cuts_the_connection),
		cmocka_unit_test(events_that_nobody_acks_end_the_session_as_stalled),
		cmocka_unit_test(an_ack_in_time_keeps_the_session),
		cmocka_unit_test(a_close_that_nobody_takes_becomes_a_cut),
		cmocka_unit_test(a_fetch_that_failed_is_asked_again_soon),
		cmocka_unit_test(the_first_fetch_of_a_session_is_asked_again_too),
	};

	return cmocka_run_group_tests_name("core: time", tests, NULL, NULL);
}
