/* The plug-in within a session: write, then flush, then save, then ack; when mode once is through.
 */
#include "plugin_world.h"
#include <stdio.h>
#include <string.h>

static void a_booking_is_written_flushed_saved_and_only_then_acked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	assert_did(world, "connect");
	world_open(world);
	assert_did(world, "hello anew");
	world_say_welcome(world, "k.41");
	world_say_live(world, "k.41");
	world_turn(world);
	assert_did(world, "save k.41");
	world_say_booking(world, "k.42", "one");
	assert_did(world, "write one 42"); /* and nothing is said of it yet */
	world_turn(world);
	assert_did(world, "sync; save k.42; ack k.42");
	world_say_acked(world, "k.42");
	assert_told(world, "connecting; welcome; live; written; acked");
	assert_trouble(world, NULL);
	world_free(world);
}

static void bookings_of_one_turn_share_a_flush_and_an_ack(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_say_booking(world, "k.1", "a");
	world_say_booking(world, "k.2", "b");
	world_say_booking(world, "k.3", "c");
	world_turn(world);
	assert_did(world, "write a 1; write b 2; write c 3; sync; save k.3; ack k.3");
	world_free(world);
}

static void a_turn_of_more_bookings_than_a_batch_holds_is_settled_in_parts(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);
	char cursor[SB_CURSOR_MAX + 1];
	size_t acks = 0;

	(void)state;
	world_arrive(world, "k.0");
	for (int seq = 1; seq <= 2 * SB_CLIENT_BATCH_MAX + 1; seq++) {
		snprintf(cursor, sizeof(cursor), "k.%d", seq);
		world_say_booking(world, cursor, "x");
		assert_true(world->client.pending_count <= SB_CLIENT_BATCH_MAX);
		/* The one that finds it full lets it be settled first. */
		acks += strstr(world->did, "sync; save") != NULL;
		assert_int_equal(acks, (seq - 1) / SB_CLIENT_BATCH_MAX);
		world_forget(world);
	}
	world_turn(world);
	assert_did(world, "sync; save k.129; ack k.129");
	world_free(world);
}

static void a_restart_says_the_saved_cursor_in_hello(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	world_restart(world, SB_MODE_LIVE);
	world_open(world);
	assert_did(world, "connect; hello k.42");
	world_free(world);
}

static void what_came_last_is_settled_even_when_the_connection_goes(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_gone(world, 1006, "");
	assert_did(world, "write one 42; sync; save k.42"); /* the next hello acks it */
	world_come_back(world);
	assert_did(world, "connect; hello k.42");
	world_free(world);
}

static void a_repeat_is_acked_like_any_other(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world->written = SB_REPEAT;
	world_say_booking(world, "k.42", "one");
	world_turn(world);
	assert_did(world, "write one 42; sync; save k.42; ack k.42");
	world_free(world);
}

static void a_server_that_knows_more_than_a_lost_state_is_followed(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_restart(world, SB_MODE_LIVE);
	world_open(world);
	world_say_welcome(world, "k.50");
	world_say_live(world, "k.50");
	world_turn(world);
	assert_did(world, "connect; hello k.41; save k.50");
	world_free(world);
}

static void a_server_that_knows_less_does_not_turn_the_cursor_back(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_gone(world, 1006, "");
	world_come_back(world);
	world_forget(world);
	world_say_welcome(world, "k.39");
	world->written = SB_REPEAT;
	world_say_booking(world, "k.40", "one");
	world_turn(world);
	assert_did(world, "write one 40; sync; save k.41; ack k.41");
	world_free(world);
}

static void a_skipped_event_ends_the_session_unacked(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.43", "two");
	assert_did(world, "close 4400");
	assert_trouble(world, "skipped an event");
	world_free(world);
}

static void say_unreadable(struct world *world, const char *cursor, int seq, const char *booking)
{
	world_say(world,
		  "{\"type\":\"booking\",\"seq\":%d,\"cursor\":\"%s\",\"change\":\"created\","
		  "\"published_at\":\"2026-11-23T09:12:44.123456Z\",\"booking\":%s}",
		  seq, cursor, booking);
}

/* To close would end every session to come at the same event. */
static void an_event_that_cannot_be_read_is_one_failure_and_the_session_goes_on(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	say_unreadable(world, "k.42", 42,
		       "{\"uid\":\"one\",\"version\":42,\"subject\":7,\"attendees\":[]}");
	world_say_booking(world, "k.43", "two");
	say_unreadable(world, "k.44", 44, "[]");
	world_turn(world);
	assert_did(world, "write two 43; sync; save k.44; with failed k.42; with failed k.44; "
			  "ack k.44; failed 42 unsupported; failed 44 unsupported");
	assert_trouble(world, NULL);
	world_say_booking(world, "k.45", "three");
	world_turn(world);
	assert_did(world, "write three 45; sync; save k.45; with failed k.42; with failed k.44; "
			  "ack k.45");
	world_free(world);
}

/* It is no way past a hole. */
static void an_event_that_cannot_be_read_may_not_skip_one(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	say_unreadable(world, "k.43", 43, "{}");
	assert_did(world, "close 4400");
	assert_trouble(world, "skipped an event");
	world_free(world);
}

static void what_came_before_a_skipped_event_is_kept(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.41");
	world_say_booking(world, "k.42", "one");
	world_say_booking(world, "k.44", "three");
	world_turn(world);
	assert_did(world, "write one 42; close 4400; sync; save k.42");
	world_free(world);
}

/* ---- mode once ---- */

static void once_leaves_only_when_acked_says_so(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_say_welcome(world, "k.0");
	world_say_booking(world, "k.1", "one");
	world_say_booking(world, "k.2", "two");
	world_say_live(world, "k.2");
	world_turn(world);
	assert_false(world->client.done);
	world_say_acked(world, "k.1");
	world_turn(world);
	assert_false(world->client.done);
	world_say_acked(world, "k.2");
	world_turn(world);
	assert_true(world->client.done);
	world_gone(world, 1000, "bye");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 0);
	world_free(world);
}

static void once_is_not_through_before_live(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_say_welcome(world, "k.0");
	world_say_booking(world, "k.1", "one");
	world_turn(world);
	world_say_acked(world, "k.1");
	world_turn(world);
	assert_false(world->client.done);
	world_gone(world, 1000, "bye");
	assert_int_equal(world->client.state, SB_CLIENT_WAITING); /* a close is not enough */
	world_free(world);
}

static void once_stays_until_its_failures_are_confirmed(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_open(world);
	world_say_welcome(world, "k.0");
	world->written = SB_UNSUPPORTED;
	world_say_booking(world, "k.1", "one");
	world_say_live(world, "k.1");
	world_turn(world);
	assert_false(world->client.done);
	world_say_acked(world, "k.1");
	world_turn(world);
	assert_true(world->client.done);
	world_free(world);
}

static void once_closes_itself_when_the_server_does_not(void **state)
{
	struct world *world = world_new(SB_MODE_ONCE);

	(void)state;
	world_arrive(world, "k.7");
	assert_true(world->client.done);
	world_pass(world, SB_CLIENT_LINGER_MS - 1);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "close 1000");
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_booking_is_written_flushed_saved_and_only_then_acked),
		cmocka_unit_test(bookings_of_one_turn_share_a_flush_and_an_ack),
		cmocka_unit_test(a_turn_of_more_bookings_than_a_batch_holds_is_settled_in_parts),
		cmocka_unit_test(a_restart_says_the_saved_cursor_in_hello),
		cmocka_unit_test(what_came_last_is_settled_even_when_the_connection_goes),
		cmocka_unit_test(a_repeat_is_acked_like_any_other),
		cmocka_unit_test(a_server_that_knows_more_than_a_lost_state_is_followed),
		cmocka_unit_test(a_server_that_knows_less_does_not_turn_the_cursor_back),
		cmocka_unit_test(a_skipped_event_ends_the_session_unacked),
		cmocka_unit_test(
			an_event_that_cannot_be_read_is_one_failure_and_the_session_goes_on),
		cmocka_unit_test(an_event_that_cannot_be_read_may_not_skip_one),
		cmocka_unit_test(what_came_before_a_skipped_event_is_kept),
		cmocka_unit_test(once_leaves_only_when_acked_says_so),
		cmocka_unit_test(once_is_not_through_before_live),
		cmocka_unit_test(once_stays_until_its_failures_are_confirmed),
		cmocka_unit_test(once_closes_itself_when_the_server_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
