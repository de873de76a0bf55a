/* What the plug-in carries on from session to session: failures until they are confirmed, and its
 * place when a reset or a new epoch comes. */
#include "plugin_world.h"

#include <errno.h>
#include <stdio.h>

/* ---- failures ---- */

static void a_failure_is_saved_and_acked_until_it_is_confirmed(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; sync; save k.42; with failed k.42; ack k.42; "
			  "failed 42 unsupported");
	assert_told(world, "failed");
	/* The ack was lost: the next process reports it again. */
	world_restart(world, SB_MODE_LIVE);
	world_open(world);
	world_say_welcome(world, "k.42");
	world_say_live(world, "k.42");
	world_turn(world);
	assert_did(world, "connect; hello k.42; ack k.42; failed 42 unsupported");
	world_say_acked(world, "k.42");
	world_turn(world);
	assert_did(world, "save k.42");
	/* And no more of it. */
	world->written = SB_WRITTEN;
	world_say_booking(world, "k.43", "two");
	world_turn(world);
	assert_did(world, "write two 43; sync; save k.43; ack k.43");
	world_free(world);
}

static void what_is_in_the_way_is_a_conflict_and_holds_nothing_up(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_IN_THE_WAY;
	world_say_booking(world, "k.42", "one");
	world->written = SB_WRITTEN;
	world_say_booking(world, "k.43", "two");
	world_turn(world);
	assert_did(world, "write one 42; write two 43; sync; save k.43; with failed k.42; "
			  "ack k.43; failed 42 conflict");
	world_free(world);
}

static void an_acked_of_something_older_confirms_no_later_failure(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.40");
	world_say_booking(world, "k.41", "one");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.42", "two");
	world_turn(world);
	world_say_acked(world, "k.41");
	assert_int_equal(world->client.progress.failed_count, 1);
	world_say_acked(world, "k.42");
	assert_int_equal(world->client.progress.failed_count, 0);
	world_free(world);
}

static void more_unconfirmed_failures_than_an_ack_may_carry_end_the_session(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);
	char cursor[SB_CURSOR_MAX + 1];

	(void)state;
	world_arrive(world, "k.0");
	world->written = SB_UNSUPPORTED;
	for (int seq = 1; seq <= SB_FAILED_MAX; seq++) {
		snprintf(cursor, sizeof(cursor), "k.%d", seq);
		world_say_booking(world, cursor, "x");
		world_turn(world);
		world_forget(world);
	}
	assert_int_equal(world->client.progress.failed_count, SB_FAILED_MAX);
	assert_int_equal(world->client.state, SB_CLIENT_IN_SESSION);
	world_say_booking(world, "k.257", "x");
	world_turn(world);
	assert_did(world, "write x 257; close 1001");
	assert_trouble(world, "256 reported failures");
	world_free(world);
}

/* ---- resets and epochs ---- */

static void a_reset_is_on_the_disk_before_it_is_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	world_say_welcome(world, "k.41");
	world_say(world, "{\"type\":\"reset\",\"cursor\":\"m.100\",\"reason\":\"epoch\"}");
	world_say_booking(world, "m.101", "one");
	world_turn(world);
	assert_did(world, "connect; hello anew; save k.41; save m.100; write one 101; sync; "
			  "save m.101; ack m.101");
	assert_told(world, "connecting; welcome; reset; written");
	world_free(world);
}

static void a_reset_that_could_not_be_saved_is_not_said_in_hello(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->save_err = -ENOSPC;
	world_say(world, "{\"type\":\"reset\",\"cursor\":\"m.100\",\"reason\":\"epoch\"}");
	world_turn(world);
	assert_did(world, "cannot save m.100; close 1001");
	world_gone(world, 1001, "closed by us");
	world->save_err = 0;
	world_come_back(world);
	assert_did(world, "connect; hello k.41"); /* m.100 there would have acked the reset */
	world_free(world);
}

static void a_reset_keeps_only_failures_that_its_ack_may_name(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.40");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.41", "one");
	world_say_booking(world, "k.42", "two");
	world_turn(world);
	world_gone(world, 1006, "");
	world_come_back(world);
	world_say_welcome(world, "k.41");
	world_forget(world);
	world_say(world, "{\"type\":\"reset\",\"cursor\":\"k.41\",\"reason\":\"unknown-cursor\"}");
	world_turn(world);
	assert_did(world, "save k.41; with failed k.41; ack k.41; failed 41 unsupported");
	world_free(world);
}

static void an_epoch_that_goes_on_takes_cursor_and_failures_along(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	world_gone(world, 1006, "");
	world_come_back(world);
	world_forget(world);
	world_say_welcome(world, "m.42");
	world_turn(world);
	assert_did(world, ""); /* a reset may follow: hello says k.42 until then */
	world_say_live(world, "m.42");
	world_turn(world);
	assert_did(world, "save m.42; with failed m.42; ack m.42; failed 42 unsupported");
	world_free(world);
}

/* The session that docs/protocol.md ends with. */
static void numbers_jump_where_an_epoch_begins(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.44");
	world_gone(world, 1006, "");
	world_come_back(world);
	world_say_welcome(world, "m.44");
	world_forget(world);
	world_say_booking(world, "m.1000045", "one");
	world_say_live(world, "m.1000045");
	world_turn(world);
	assert_did(world, "write one 1000045; sync; save m.1000045; ack m.1000045");
	assert_trouble(world, NULL);
	world_free(world);
}

static void numbers_jump_when_the_epoch_changes_within_a_session(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_say_booking(world, "m.43", "two");
	world_say_booking(world, "m.1000044", "three");
	world_turn(world);
	assert_did(world, "write one 42; sync; save k.42; ack k.42; write two 43; "
			  "write three 1000044; sync; save m.1000044; ack m.1000044");
	world_free(world);
}

static void a_gap_is_a_jump_only_when_it_is_as_large_as_one(void **state)
{
	static const struct {
		const char *cursor;
		bool good;
	} cases[] = {{"k.42", true},	   {"k.43", false},	{"k.1000040", false},
		     {"k.1000041", false}, {"k.1000042", true}, {"k.2000042", true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *world = world_new(SB_MODE_LIVE);

		world_arrive(world, "k.41");
		world_say_booking(world, cases[i].cursor, "one");
		assert_int_equal(world->client.state,
				 cases[i].good ? SB_CLIENT_IN_SESSION : SB_CLIENT_CLOSING);
		world_free(world);
	}
}

static void a_failure_beyond_where_an_epoch_branched_off_is_given_up(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	world_gone(world, 1006, "");
	world_come_back(world);
	world_say_welcome(world, "m.41");
	world_forget(world);
	world_say_live(world, "m.41");
	world_turn(world);
	assert_did(world, "save m.41");
	assert_trouble(world, "cannot be reported any more");
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_is_saved_and_acked_until_it_is_confirmed),
		cmocka_unit_test(what_is_in_the_way_is_a_conflict_and_holds_nothing_up),
		cmocka_unit_test(an_acked_of_something_older_confirms_no_later_failure),
		cmocka_unit_test(more_unconfirmed_failures_than_an_ack_may_carry_end_the_session),
		cmocka_unit_test(a_reset_is_on_the_disk_before_it_is_acked),
		cmocka_unit_test(a_reset_that_could_not_be_saved_is_not_said_in_hello),
		cmocka_unit_test(a_reset_keeps_only_failures_that_its_ack_may_name),
		cmocka_unit_test(an_epoch_that_goes_on_takes_cursor_and_failures_along),
		cmocka_unit_test(numbers_jump_where_an_epoch_begins),
		cmocka_unit_test(numbers_jump_when_the_epoch_changes_within_a_session),
		cmocka_unit_test(a_gap_is_a_jump_only_when_it_is_as_large_as_one),
		cmocka_unit_test(a_failure_beyond_where_an_epoch_branched_off_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
