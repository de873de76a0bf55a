/*
 * The plug-in when its disk would not: what is not on it is never acked, not by
 * the next hello either, and mode live keeps trying, ever more slowly.
 */
#include "plugin_world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void a_booking_that_cannot_be_written_is_not_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->write_err = -ENOSPC;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "cannot write one 42; close 1001");
	assert_trouble(world, "No space left on device; the bookings are not acked");
	world_gone(world, 1001, "closed by us");
	world_come_back(world);
	assert_did(world, "connect; hello k.41");
	world_free(world);
}

static void what_came_before_it_is_still_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world->write_err = -EDQUOT;
	world_say_booking(world, "k.43", "two");
	world_say_booking(world, "k.44", "three"); /* not looked at any more */
	world_turn(world);
	assert_did(world, "write one 42; cannot write two 43; sync; save k.42; ack k.42; "
			  "close 1001");
	world_free(world);
}

static void a_folder_that_cannot_be_flushed_is_not_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->sync_err = -EIO;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; cannot sync; close 1001");
	assert_told(world, ""); /* nor is it said to be written */
	world_gone(world, 1001, "");
	world->sync_err = 0;
	world->written = SB_REPEAT;
	world_come_back(world);
	assert_did(world, "connect; hello k.41");
	world_say_welcome(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; sync; save k.42; ack k.42");
	world_free(world);
}

/* The next of the same turn must not be saved past those that were not flushed. */
static void a_full_batch_that_cannot_be_flushed_takes_what_follows_with_it(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);
	char cursor[SB_CURSOR_MAX + 1];

	(void)state;
	world_arrive(world, "k.0");
	for (int seq = 1; seq <= SB_CLIENT_BATCH_MAX; seq++) {
		snprintf(cursor, sizeof(cursor), "k.%d", seq);
		world_say_booking(world, cursor, "x");
		world_forget(world);
	}
	world->sync_err = -EIO;
	world_say_booking(world, "k.65", "x");
	assert_did(world, "cannot sync; close 1001");
	world->sync_err = 0;
	world_turn(world);
	world_gone(world, 1001, "");
	assert_did(world, "");
	world_come_back(world);
	assert_did(world, "connect; hello k.0");
	world_free(world);
}

static void a_state_that_cannot_be_saved_is_not_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->save_err = -EROFS;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; sync; cannot save k.42; close 1001");
	assert_trouble(world, "Cannot save the state: Read-only file system");
	world_gone(world, 1001, "");
	world_come_back(world);
	assert_did(world, "connect; hello k.41");
	world_free(world);
}

static void a_full_disk_is_not_acked_at_a_connections_end_either(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world->save_err = -ENOSPC;
	world_gone(world, 1006, "");
	world_come_back(world);
	assert_did(world, "write one 42; sync; cannot save k.42; connect; hello k.41");
	world_free(world);
}

/* Fails once more: connected, welcomed, refused by the disk. */
static void fail_again(struct world *world)
{
	world_say_welcome(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	world_gone(world, 1001, "closed by us");
}

static void welcomes_do_not_shorten_the_waits_for_a_disk(void **state)
{
	static const uint32_t waits[] = {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	world->write_err = -ENOSPC;
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		fail_again(world);
		assert_int_equal(world->client.state, SB_CLIENT_WAITING);
		assert_int_equal(world->wait_ms, waits[i]);
		world_come_back(world);
	}
	/* There is room again: all is as before. */
	world->write_err = 0;
	world_forget(world);
	world_say_welcome(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; sync; save k.42; ack k.42");
	world->write_err = -ENOSPC;
	world_say_booking(world, "k.43", "two");
	world_gone(world, 1001, "");
	assert_int_equal(world->wait_ms, 500);
	world_free(world);
}

static void once_gives_up_when_the_disk_refused_three_times(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world->write_err = -ENOSPC;
	for (int i = 1; i < SB_CLIENT_DISK_TRIES; i++) {
		fail_again(world);
		assert_int_equal(world->client.state, SB_CLIENT_WAITING);
		world_come_back(world);
	}
	fail_again(world);
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 1);
	assert_trouble(world, "The disk has refused 3 times in a row");
	world_free(world);
}

static void one_that_is_told_to_stop_does_not_ack_what_the_disk_refused(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world->sync_err = -EIO;
	sb_client_stop(&world->client, world->now_ms);
	assert_did(world, "write one 42; cannot sync; close 1001");
	world_gone(world, 1001, "");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	world_free(world);
}

static void a_confirmation_that_cannot_be_saved_is_tried_again(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	world->save_err = -ENOSPC;
	world_say_acked(world, "k.42");
	world_forget(world);
	world_turn(world);
	assert_did(world, "cannot save k.42; close 1001");
	world_gone(world, 1001, "");
	world->save_err = 0;
	world_come_back(world);
	world_say_welcome(world, "k.42");
	world_turn(world);
	assert_int_equal(world->disk.failed_count, 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_booking_that_cannot_be_written_is_not_acked),
		cmocka_unit_test(what_came_before_it_is_still_acked),
		cmocka_unit_test(a_folder_that_cannot_be_flushed_is_not_acked),
		cmocka_unit_test(a_full_batch_that_cannot_be_flushed_takes_what_follows_with_it),
		cmocka_unit_test(a_state_that_cannot_be_saved_is_not_acked),
		cmocka_unit_test(a_full_disk_is_not_acked_at_a_connections_end_either),
		cmocka_unit_test(welcomes_do_not_shorten_the_waits_for_a_disk),
		cmocka_unit_test(once_gives_up_when_the_disk_refused_three_times),
		cmocka_unit_test(one_that_is_told_to_stop_does_not_ack_what_the_disk_refused),
		cmocka_unit_test(a_confirmation_that_cannot_be_saved_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
