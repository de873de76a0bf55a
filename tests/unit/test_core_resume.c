/*
 * Coming back: cursors, races around registration, takeovers, slow readers, and
 * a long random story. That each case fails without its remedy is tested, too,
 * by taking the remedy out: tests/integration/test_core_remedies.py.
 */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void a_session_starts_from_the_later_of_its_cursor_and_the_stored_one(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.2\"");
	/* hello's cursor counts as an ack */
	assert_string_equal(client_said(&ada), "welcome 2; booking 3; live 3");
	assert_int_equal(world->devices[1].acked, 2);
	client_ack(&ada, 3);
	client_said(&ada);
	client_drop(&ada);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.1\"");
	assert_string_equal(client_said(&ada), "welcome 3; live 3");
	client_drop(&ada);
	world_free(world);
}

static void what_was_not_acked_comes_again_and_nothing_else(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_ack(&ada, 2);
	world_settle(world);
	client_drop(&ada);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 2; booking 3; live 3");
	client_drop(&ada);
	world_free(world);
}

/* Authenticated on a snapshot from before the commit, registered after its notification. */
static void a_commit_between_authentication_and_registration_is_delivered(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	world_query(world);
	world_book(world, 1); /* its wake finds nobody */
	assert_string_equal(client_said(&ada), "welcome 0; booking 1; live 1");
	client_drop(&ada);
	world_free(world);
}

/* The fetch in flight is older than the session that joins: its answer must not be taken for the
 * newest. */
static void an_answer_older_than_a_session_does_not_count_for_it(void **state)
{
	struct world *world = world_new();
	struct client desk, laptop;

	(void)state;
	world_book(world, 1);
	client_hello(&desk, world, 1, "");
	world_settle(world);
	client_said(&desk);
	client_ack(&desk, 1);
	client_said(&desk);
	sb_hub_look(world->hub, 1);
	world_query(world); /* its snapshot: head 1 */
	client_hello(&laptop, world, 2, ",\"cursor\":\"aaa.1\"");
	world->deaf = true;
	world->overtaking = true;
	world_book(world, 1);
	world_book(world, 1);
	/* The laptop knows head 3, and the answer that says head 1 comes after it joined. */
	assert_string_equal(client_said(&laptop), "welcome 1; booking 2; booking 3; live 3");
	client_drop(&desk);
	client_drop(&laptop);
	world_free(world);
}

static void a_mailbox_left_and_entered_again_waits_for_its_own_answer(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	world_query(world);
	world_answer(world); /* authenticated; the fetch is asked */
	world_query(world);  /* its snapshot: nothing */
	client_drop(&ada);
	world->deaf = true;
	world->overtaking = true;
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 0; booking 1; live 1");
	client_drop(&ada);
	world_free(world);
}

static void a_lost_notification_is_made_good_by_the_reconcile(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world->deaf = true;
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "");
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "booking 1");
	client_drop(&ada);
	world_free(world);
}

static void forged_wakes_cost_one_fetch_at_a_time(void **state)
{
	struct world *world = world_new();
	struct client ada;
	size_t fetches;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	fetches = world->fetches;
	for (int i = 0; i < 1000; i++)
		sb_hub_look(world->hub, 1);
	assert_int_equal(world->fetches - fetches, 1);
	assert_string_equal(client_said(&ada), "");
	assert_int_equal(world->fetches - fetches, 2);
	sb_hub_look(world->hub, 7); /* nobody's */
	assert_int_equal(world->fetches - fetches, 2);
	client_drop(&ada);
	world_free(world);
}

static void a_forged_control_closes_nobody(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	sb_hub_recheck(world->hub, 1);
	sb_hub_recheck(world->hub, 99);
	assert_string_equal(client_said(&ada), "");
	world->devices[1].outcome = SB_AUTH_REVOKED;
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "close 4403");
	client_drop(&ada);
	world_free(world);
}

/* The revocation's notification comes while the answer that says "ok" is on its way. */
static void a_revocation_between_authentication_and_registration_is_heard(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	world_query(world);
	world->devices[1].outcome = SB_AUTH_REVOKED;
	sb_hub_recheck(world->hub, 1); /* nobody has it yet */
	assert_string_equal(client_said(&ada), "close 4403");
	client_drop(&ada);
	world_free(world);
}

static void the_newer_session_of_a_device_wins(void **state)
{
	struct world *world = world_new();
	struct client old, new;

	(void)state;
	client_hello(&old, world, 1, "");
	client_said(&old);
	client_hello(&new, world, 1, "");
	assert_string_equal(client_said(&new), "welcome 0; live 0");
	assert_string_equal(client_said(&old), "close 4409");
	world_book(world, 1);
	assert_string_equal(client_said(&new), "booking 1");
	client_drop(&old);
	world_book(world, 1);
	/* the late close of the old socket evicted nobody */
	assert_string_equal(client_said(&new), "booking 2");
	client_drop(&new);
	world_free(world);
}

static void a_newer_session_elsewhere_ends_the_one_here(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world->devices[1].session_no++; /* another daemon authenticated it */
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "close 4409");
	client_drop(&ada);
	world_free(world);
}

/* As if their answers had crossed: the one that comes last has the lower number. */
static void an_older_session_whose_answer_comes_late_gives_way(void **state)
{
	struct world *world = world_new();
	struct client old, new;

	(void)state;
	client_hello(&new, world, 1, "");
	client_said(&new);
	world->devices[1].session_no -= 2;
	client_hello(&old, world, 1, "");
	assert_string_equal(client_said(&old), "close 4409");
	client_drop(&old);
	world_book(world, 1);
	assert_string_equal(client_said(&new), "booking 1");
	client_drop(&new);
	world_free(world);
}

/* Of two sessions of one device one ends; the news of the device still reach the other. */
static void the_end_of_one_session_leaves_its_sister_to_be_found(void **state)
{
	(void)state;
	for (int once_first = 0; once_first < 2; once_first++) {
		struct world *world = world_new();
		struct client live, once;

		for (int i = 0; i < 2; i++) {
			if (i == once_first)
				client_hello(&live, world, 1, "");
			else
				client_hello(&once, world, 1, ",\"mode\":\"once\"");
			world_settle(world);
		}
		client_drop(&once);
		world->devices[1].outcome = SB_AUTH_REVOKED;
		sb_hub_recheck(world->hub, 1);
		assert_string_equal(client_said(&live), "close 4403");
		client_drop(&live);
		world_free(world);
	}
}

static void mode_once_catches_up_and_leaves_and_replaces_nobody(void **state)
{
	struct world *world = world_new();
	struct client live, once;

	(void)state;
	world_book(world, 1);
	client_hello(&live, world, 1, "");
	client_said(&live);
	client_hello(&once, world, 1, ",\"mode\":\"once\"");
	assert_string_equal(client_said(&once), "welcome 0; booking 1; live 1");
	client_ack(&once, 1);
	assert_string_equal(client_said(&once), "acked 1; close 1000");
	assert_string_equal(client_said(&live), "");
	client_drop(&once);
	/* a revocation finds all sessions of a device, whichever came first */
	client_hello(&once, world, 1, ",\"mode\":\"once\"");
	assert_string_equal(client_said(&once), "welcome 1; live 1; close 1000");
	client_drop(&live);
	client_drop(&once);
	world_free(world);
}

static void a_slow_reader_is_a_cursor_and_no_queue(void **state)
{
	struct sb_hub_config config;
	struct world *world;
	struct client slow, quick;
	size_t fetches;

	(void)state;
	world_config(&config);
	config.window = 200;
	world = world_new_with(&config);
	client_hello(&slow, world, 1, "");
	client_hello(&quick, world, 2, "");
	client_said(&slow);
	client_said(&quick);
	slow.blocked = true;
	for (int i = 1; i <= 100; i++) {
		char expected[32];

		world_book(world, 1);
		(void)snprintf(expected, sizeof(expected), "booking %d", i);
		assert_string_equal(client_said(&quick), expected);
	}
	world_pass(world, 3000); /* the last run's time is over, too */
	fetches = world->fetches;
	world_book(world, 1);
	client_said(&quick);
	assert_true(world->fetches - fetches <=
		    2); /* the slow one costs no fetch while it does not read */
	slow.blocked = false;
	for (int i = 0; i < 20; i++)
		client_said(&slow);
	assert_int_equal(slow.last, 101);
	client_drop(&slow);
	client_drop(&quick);
	world_free(world);
}

/*
 * Many clients, bookings, drops at any moment, acks or none, lost
 * notifications: in the end everyone has 1..n, in order, without a gap, and a
 * repeat only of what was not confirmed.
 */
/* Chance that comes again with its seed (Numerical Recipes' constants). */
static uint32_t dice;

static uint32_t roll(void)
{
	dice = dice * 1664525 + 1013904223;
	return dice >> 16;
}

static void whatever_happens_everyone_gets_everything_in_order(void **state)
{
	const uint32_t seeds = getenv("SLOTBELL_LONG") ? 2000 : 20;

	(void)state;
	for (uint32_t seed = 1; seed <= seeds; seed++) {
		struct world *world = world_new();
		struct client clients[4];
		int64_t confirmed[4] = {0}, acked[4] = {0};
		int64_t next[4] = {1, 1, 1, 1};

		dice = seed;
		memset(clients, 0, sizeof(clients));
		for (int step = 0; step < 400 || clients[1].world == NULL; step++) {
			int i = 1 + (int)(roll() % 3);
			struct client *client = &clients[i];
			char *said;

			world->deaf = roll() % 4 == 0;
			if (roll() % 3 == 0 && world->mailboxes[1].count < 300)
				world_book(world, 1 + roll() % 2);
			if (roll() % 2)
				world_query(world);
			if (roll() % 2)
				world_answer(world);
			if (!client->session) {
				client_hello(client, world, i, "");
				next[i] = 0; /* known by the first booking */
				continue;
			}
			client_pull(client);
			for (said = client->said; (said = strstr(said, "booking "));) {
				int64_t seq = strtoll(said += 8, NULL, 10);

				if (next[i])
					assert_int_equal(seq, next[i]);
				else
					assert_in_range(seq, confirmed[i] + 1, acked[i] + 1);
				next[i] = seq + 1;
			}
			client->said[0] = '\0';
			if (client->confirmed > confirmed[i])
				confirmed[i] = client->confirmed;
			if (client->last && roll() % 2) {
				int64_t seq = client->last - (roll() % 2 && client->last > 1);

				client_ack(client, seq);
				if (seq > acked[i])
					acked[i] = seq;
			}
			if (roll() % 10 == 0 || client->close_code)
				client_drop(client);
			if (roll() % 20 == 0)
				sb_hub_recheck(world->hub, i);
			if (roll() % 50 == 0)
				world_pass(world, 2500);
		}
		world->deaf = false;
		for (int i = 1; i <= 3; i++) {
			int64_t head;

			client_drop(&clients[i]);
			client_hello(&clients[i], world, i, "");
			head = world->mailboxes[world->devices[i].mailbox].numbering.head;
			for (int64_t round = 0; round <= head; round++) {
				client_said(&clients[i]);
				if (clients[i].last)
					client_ack(&clients[i], clients[i].last);
			}
			client_said(&clients[i]);
			assert_int_equal(world->devices[i].acked, head);
			client_drop(&clients[i]);
		}
		world_settle(world);
		world_free(world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_starts_from_the_later_of_its_cursor_and_the_stored_one),
		cmocka_unit_test(what_was_not_acked_comes_again_and_nothing_else),
		cmocka_unit_test(a_commit_between_authentication_and_registration_is_delivered),
		cmocka_unit_test(an_answer_older_than_a_session_does_not_count_for_it),
		cmocka_unit_test(a_mailbox_left_and_entered_again_waits_for_its_own_answer),
		cmocka_unit_test(a_lost_notification_is_made_good_by_the_reconcile),
		cmocka_unit_test(forged_wakes_cost_one_fetch_at_a_time),
		cmocka_unit_test(a_forged_control_closes_nobody),
		cmocka_unit_test(a_revocation_between_authentication_and_registration_is_heard),
		cmocka_unit_test(the_newer_session_of_a_device_wins),
		cmocka_unit_test(a_newer_session_elsewhere_ends_the_one_here),
		cmocka_unit_test(an_older_session_whose_answer_comes_late_gives_way),
		cmocka_unit_test(the_end_of_one_session_leaves_its_sister_to_be_found),
		cmocka_unit_test(mode_once_catches_up_and_leaves_and_replaces_nobody),
		cmocka_unit_test(a_slow_reader_is_a_cursor_and_no_queue),
		cmocka_unit_test(whatever_happens_everyone_gets_everything_in_order),
	};

	return cmocka_run_group_tests_name("core: coming back", tests, NULL, NULL);
}
