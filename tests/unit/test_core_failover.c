/* Histories that end: failover to a standby that lagged, restores, events past their time. */
#include "daemon/base/log.h"
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static struct client ada;

static struct world *with_five_seen(void)
{
	struct world *world = world_new();

	for (int i = 0; i < 5; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_ack(&ada, 4);
	client_said(&ada);
	client_ack(&ada, 5);
	client_said(&ada);
	return world;
}

static void nothing_was_lost_so_the_new_epoch_goes_on(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1000006");
	client_ack(&ada, 1000006);
	assert_string_equal(client_said(&ada), "acked 1000006");
	client_drop(&ada);
	client_hello(&ada, world, 2, ",\"cursor\":\"aaa.5\"");
	assert_string_equal(client_said(&ada), "welcome 5; booking 1000006; live 1000006");
	client_drop(&ada);
	world_free(world);
}

static void a_live_session_beyond_a_lagging_standby_is_reset_before_the_next_booking(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	world_lose(world, 1, 3);
	sb_hub_look(world->hub, 1);
	assert_string_equal(client_said(&ada), "reset unknown-cursor 3");
	/* an ack of what it had been sent before is passed over */
	client_ack(&ada, 5);
	assert_string_equal(client_said(&ada), "");
	client_ack(&ada, 3);
	assert_string_equal(client_said(&ada), "acked 3");
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1000004");
	client_drop(&ada);
	world_free(world);
}

static void a_live_session_that_missed_the_failover_is_reset_by_the_new_epoch(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	world_lose(world, 1, 3);
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "reset epoch 3; booking 1000004");
	client_ack(&ada, 1000004);
	assert_string_equal(client_said(&ada), "acked 1000004");
	client_drop(&ada);
	world_free(world);
}

static void a_cursor_beyond_head_gets_a_reset_until_it_is_acked(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	client_drop(&ada);
	world_lose(world, 1, 3);
	for (int i = 0; i < 2; i++) {
		client_hello(&ada, world, 1, ",\"cursor\":\"aaa.5\"");
		assert_string_equal(client_said(&ada), "welcome 3; reset unknown-cursor 3; live 3");
		client_drop(&ada);
	}
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.5\"");
	client_said(&ada);
	client_ack(&ada, 3);
	assert_string_equal(client_said(&ada), "acked 3");
	client_drop(&ada);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.3\"");
	assert_string_equal(client_said(&ada), "welcome 3; live 3");
	client_drop(&ada);
	world_free(world);
}

static char beyond_said[256];

static void note_beyond(void *data, enum sb_log_level level, const char *event, const char *fields)
{
	(void)data;
	if (strcmp(event, "numbers came back") == 0)
		(void)snprintf(beyond_said, sizeof(beyond_said), "%d %s", (int)level, fields);
}

static void numbers_that_came_back_are_told_with_the_remedy(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	client_drop(&ada);
	world_lose(world, 1, 3);
	beyond_said[0] = '\0';
	sb_log_set_sink(note_beyond, NULL);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.3\"");
	assert_string_equal(client_said(&ada), "welcome 3; live 3");
	client_drop(&ada);
	assert_string_equal(beyond_said, "");
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.5\"");
	assert_string_equal(client_said(&ada), "welcome 3; reset unknown-cursor 3; live 3");
	sb_log_set_sink(NULL, NULL);
	assert_non_null(strstr(beyond_said, "seq=5 head=3"));
	assert_non_null(strstr(beyond_said, "slotbellctl db new-epoch"));
	client_drop(&ada);
	world_free(world);
}

static void a_row_beyond_head_is_reset_and_misses_nothing(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	client_drop(&ada);
	world_lose(world, 1, 3);
	world->devices[1].acked = 5;
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 3; reset unknown-cursor 3; live 3");
	client_ack(&ada, 3);
	assert_string_equal(client_said(&ada), "acked 3");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 4");
	client_drop(&ada);
	world_free(world);
}

static void after_a_restore_a_newer_session_elsewhere_still_wins(void **state)
{
	struct world *world = world_new();

	(void)state;
	for (int i = 0; i < 5; i++) {
		client_hello(&ada, world, 1, "");
		client_said(&ada);
		if (i < 4)
			client_drop(&ada);
	}
	assert_int_equal(world->devices[1].session_no, 5);
	world->devices[1].session_no = 2;
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "");
	world->devices[1].session_no++; /* by another daemon */
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "close 4409");
	client_drop(&ada);
	world_free(world);
}

static void a_cursor_of_an_unknown_epoch_gets_a_reset_and_what_is_not_acked(void **state)
{
	struct world *world = world_new();

	(void)state;
	world_book(world, 1);
	client_hello(&ada, world, 1, ",\"cursor\":\"zzz.7\"");
	assert_string_equal(client_said(&ada), "welcome 0; reset epoch 0; booking 1; live 1");
	client_drop(&ada);
	world_free(world);
}

static void mode_once_leaves_only_when_its_reset_is_acked(void **state)
{
	struct world *world = world_new();

	(void)state;
	client_hello(&ada, world, 1, ",\"mode\":\"once\",\"cursor\":\"zzz.7\"");
	assert_string_equal(client_said(&ada), "welcome 0; reset epoch 0; live 0");
	client_ack(&ada, 0);
	assert_string_equal(client_said(&ada), "acked 0; close 1000");
	client_drop(&ada);
	world_free(world);
}

static void who_comes_too_late_is_told_what_is_gone(void **state)
{
	struct world *world = world_new();

	(void)state;
	for (int i = 0; i < 5; i++)
		world_book(world, 1);
	world->mailboxes[1].numbering.floor = 3;
	for (int i = 0; i < 2; i++) {
		client_hello(&ada, world, 1, "");
		assert_string_equal(client_said(&ada),
				    "welcome 0; reset expired 3; booking 4; booking 5; live 5");
		client_drop(&ada);
	}
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_ack(&ada, 5);
	client_said(&ada);
	client_drop(&ada);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 5; live 5");
	client_drop(&ada);
	world_free(world);
}

/* Its window is full while what comes next is deleted. */
static void who_lags_while_events_expire_is_told_so(void **state)
{
	struct world *world = world_new();

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 0; i < 6; i++)
		world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1; booking 2; booking 3; booking 4");
	world_pass(world, 2500); /* what was fetched ahead is let go */
	world->mailboxes[1].numbering.floor = 5;
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1; reset expired 5; booking 6");
	client_ack(&ada, 6);
	assert_string_equal(client_said(&ada), "acked 6");
	client_drop(&ada);
	world_free(world);
}

/* An epoch opened by hand jumps ahead of any event: a session must not wait for numbers that hold
 * none. */
static void an_epoch_without_events_lets_everyone_through(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	client_drop(&ada);
	world_new_epoch(world, 1, "bbb");
	client_hello(&ada, world, 1, ",\"mode\":\"once\"");
	assert_string_equal(client_said(&ada),
			    "welcome 5; live 1000005; acked 1000005; close 1000");
	client_drop(&ada);
	world_free(world);
}

static void the_window_does_not_count_the_jump_between_epochs(void **state)
{
	struct world *world = with_five_seen();

	(void)state;
	world_new_epoch(world, 1, "bbb");
	for (int i = 0; i < 6; i++)
		world_book(world, 1);
	assert_string_equal(client_said(&ada),
			    "booking 1000006; booking 1000007; booking 1000008; booking 1000009");
	client_ack(&ada, 1000009);
	assert_string_equal(client_said(&ada), "acked 1000009; booking 1000010; booking 1000011");
	client_drop(&ada);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_was_lost_so_the_new_epoch_goes_on),
		cmocka_unit_test(
			a_live_session_beyond_a_lagging_standby_is_reset_before_the_next_booking),
		cmocka_unit_test(a_live_session_that_missed_the_failover_is_reset_by_the_new_epoch),
		cmocka_unit_test(a_cursor_beyond_head_gets_a_reset_until_it_is_acked),
		cmocka_unit_test(numbers_that_came_back_are_told_with_the_remedy),
		cmocka_unit_test(a_row_beyond_head_is_reset_and_misses_nothing),
		cmocka_unit_test(after_a_restore_a_newer_session_elsewhere_still_wins),
		cmocka_unit_test(a_cursor_of_an_unknown_epoch_gets_a_reset_and_what_is_not_acked),
		cmocka_unit_test(mode_once_leaves_only_when_its_reset_is_acked),
		cmocka_unit_test(who_comes_too_late_is_told_what_is_gone),
		cmocka_unit_test(who_lags_while_events_expire_is_told_so),
		cmocka_unit_test(an_epoch_without_events_lets_everyone_through),
		cmocka_unit_test(the_window_does_not_count_the_jump_between_epochs),
	};

	return cmocka_run_group_tests_name("core: new histories", tests, NULL, NULL);
}
