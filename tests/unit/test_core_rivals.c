/* Two machines that share a token: each limit just before and at it, and a quarrel from beginning
 * to end. */
#include "daemon/core/rivals.h"
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

/* ---- what is remembered ---- */

static void a_few_in_a_row_are_nothing_and_then_each_waits_longer(void **state)
{
	const uint32_t waits[] = {0, 0, 2000, 4000, 8000, 16000, 30000, 30000};
	struct sb_rivals rivals = {0};

	(void)state;
	for (uint32_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		assert_int_equal(sb_rivals_note(&rivals, 7, 1000), i + 1);
		assert_int_equal(sb_rivals_wait_ms(&rivals, 7, 1000), waits[i]);
	}
	assert_int_equal(sb_rivals_wait_ms(&rivals, 8, 1000), 0);
	assert_int_equal(sb_rivals_wait_ms(&rivals, 7, 30999), 1);
	assert_int_equal(sb_rivals_wait_ms(&rivals, 7, 31000), 0);
	sb_rivals_fini(&rivals);
}

static void only_quick_ones_are_a_row(void **state)
{
	struct sb_rivals rivals = {0};

	(void)state;
	assert_int_equal(sb_rivals_note(&rivals, 7, 0), 1);
	assert_int_equal(sb_rivals_note(&rivals, 7, SB_RIVALS_QUICK_MS - 1), 2);
	assert_int_equal(sb_rivals_note(&rivals, 7, 2 * SB_RIVALS_QUICK_MS - 1), 1);
	sb_rivals_fini(&rivals);
}

static void no_more_devices_than_the_bound_are_remembered_and_the_newest_are(void **state)
{
	struct sb_rivals rivals = {0};

	(void)state;
	for (int64_t device = 1; device <= SB_RIVALS_REMEMBERED_MAX; device++)
		(void)sb_rivals_note(&rivals, device, 10);
	assert_int_equal(HASH_COUNT(rivals.by_device), SB_RIVALS_REMEMBERED_MAX);
	/* the first one again: now the second is the oldest */
	assert_int_equal(sb_rivals_note(&rivals, 1, 11), 2);
	assert_int_equal(sb_rivals_note(&rivals, 0, 12), 1);
	assert_int_equal(HASH_COUNT(rivals.by_device), SB_RIVALS_REMEMBERED_MAX);
	assert_int_equal(sb_rivals_note(&rivals, 1, 13), 3);
	assert_int_equal(sb_rivals_note(&rivals, 2, 14), 1);
	/* and what is long ago is forgotten */
	assert_int_equal(sb_rivals_note(&rivals, 5, 14 + SB_RIVALS_QUICK_MS), 1);
	assert_int_equal(HASH_COUNT(rivals.by_device), 1);
	sb_rivals_fini(&rivals);
}

/* ---- sessions ---- */

/* Both come back at once whenever they are thrown out, whatever they are told. */
static void quarrel(struct world *world, struct client clients[2], int rounds)
{
	for (int i = 0; i < rounds; i++) {
		struct client *next = &clients[i % 2];

		world_pass(world, 100);
		if (next->session) {
			client_said(next);
			if (!next->close_code)
				continue;
			client_drop(next);
		}
		client_hello(next, world, 1, "");
		client_said(next);
	}
}

static void two_that_throw_each_other_out_do_so_three_times_and_then_take_longer_turns(void **state)
{
	struct world *world = world_new();
	struct client clients[2] = {0};

	(void)state;
	client_hello(&clients[1], world, 1, "");
	client_said(&clients[1]);
	quarrel(world, clients, 3);
	/* the third replacement was the last: the one that was thrown out is sent away */
	assert_string_equal(client_said(&clients[1]), "close 4409");
	client_drop(&clients[1]);
	world_pass(world, 100);
	client_hello(&clients[1], world, 1, "");
	assert_string_equal(client_said(&clients[1]), "goodbye too-many; close 4429");
	assert_int_equal(clients[1].come_back_ms, 1900);
	assert_int_equal(clients[0].close_code, 0);
	client_drop(&clients[1]);
	/* one that does not listen is none the better for it */
	world_pass(world, 1899);
	client_hello(&clients[1], world, 1, "");
	assert_string_equal(client_said(&clients[1]), "goodbye too-many; close 4429");
	assert_int_equal(clients[1].come_back_ms, 1);
	client_drop(&clients[1]);
	/* one that does has its turn, and the other has to wait twice as long */
	world_pass(world, 1);
	client_hello(&clients[1], world, 1, "");
	assert_string_equal(client_said(&clients[1]), "welcome 0; live 0");
	assert_string_equal(client_said(&clients[0]), "close 4409");
	client_drop(&clients[0]);
	client_hello(&clients[0], world, 1, "");
	assert_string_equal(client_said(&clients[0]), "goodbye too-many; close 4429");
	assert_int_equal(clients[0].come_back_ms, 4000);
	client_drop(&clients[0]);
	client_drop(&clients[1]);
	world_free(world);
}

static void in_an_hour_they_take_turns_a_hundred_and_twenty_times_at_the_most(void **state)
{
	struct world *world = world_new();
	struct client clients[2] = {0};
	size_t before;

	(void)state;
	quarrel(world, clients, 36000);
	before = world->authentications;
	assert_in_range(before, 100, 130);
	client_drop(&clients[0]);
	client_drop(&clients[1]);
	world_free(world);
}

static void a_session_of_another_daemon_counts_as_well(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	for (int i = 0; i < 3; i++) {
		client_hello(&ada, world, 1, "");
		client_said(&ada);
		world->devices[1].session_no++;
		sb_hub_recheck(world->hub, 1);
		assert_string_equal(client_said(&ada), "close 4409");
		client_drop(&ada);
	}
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "goodbye too-many; close 4429");
	assert_int_equal(ada.come_back_ms, 2000);
	client_drop(&ada);
	world_free(world);
}

/* The next session was told where it starts. One that takes nothing over goes on beside it. */
static void an_ack_of_one_that_was_taken_over_elsewhere_is_not_kept(void **state)
{
	struct world *world = world_new();
	struct client ada, once;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_hello(&once, world, 1, ",\"mode\":\"once\"");
	client_said(&once);
	world->devices[1].session_no++; /* at another daemon; nobody has told us yet */
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "close 4409");
	assert_int_equal(world->devices[1].acked, 0);
	client_ack(&once, 1);
	assert_string_equal(client_said(&once), "acked 1");
	assert_int_equal(world->devices[1].acked, 1);
	client_drop(&ada);
	client_drop(&once);
	world_free(world);
}

static void short_visits_and_other_devices_are_none_of_their_business(void **state)
{
	struct world *world = world_new();
	struct client clients[2] = {0}, other;

	(void)state;
	quarrel(world, clients, 5);
	client_hello(&other, world, 1, ",\"mode\":\"once\"");
	assert_string_equal(client_said(&other), "welcome 0; live 0; close 1000");
	client_drop(&other);
	client_hello(&other, world, 2, "");
	assert_string_equal(client_said(&other), "welcome 0; live 0");
	client_drop(&other);
	client_drop(&clients[0]);
	client_drop(&clients[1]);
	world_free(world);
}

static void late_close_of_an_old_socket_keeps_the_new_session(void **state)
{
	struct world *world = world_new();
	struct client old, new;

	(void)state;
	client_hello(&old, world, 1, "");
	(void)client_said(&old);
	client_hello(&new, world, 1, "");
	assert_string_equal(client_said(&new), "welcome 0; live 0");
	assert_string_equal(client_said(&old), "close 4409");
	client_drop(&old);
	/* News of the device still find its session. */
	world->devices[1].outcome = SB_AUTH_REVOKED;
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&new), "close 4403");
	client_drop(&new);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_close_of_an_old_socket_keeps_the_new_session),
		cmocka_unit_test(a_few_in_a_row_are_nothing_and_then_each_waits_longer),
		cmocka_unit_test(only_quick_ones_are_a_row),
		cmocka_unit_test(no_more_devices_than_the_bound_are_remembered_and_the_newest_are),
		cmocka_unit_test(
			two_that_throw_each_other_out_do_so_three_times_and_then_take_longer_turns),
		cmocka_unit_test(in_an_hour_they_take_turns_a_hundred_and_twenty_times_at_the_most),
		cmocka_unit_test(a_session_of_another_daemon_counts_as_well),
		cmocka_unit_test(an_ack_of_one_that_was_taken_over_elsewhere_is_not_kept),
		cmocka_unit_test(short_visits_and_other_devices_are_none_of_their_business),
	};

	return cmocka_run_group_tests_name("core: rivals", tests, NULL, NULL);
}
