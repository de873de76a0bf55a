/* What the plug-in does about time: a clock that jumped, a server that is silent, being told to
 * stop. */
#include "plugin_world.h"

/* ---- the clock and the user ---- */

static void a_jump_of_the_clock_brings_it_back_at_once(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	for (int i = 0; i < 6; i++) {
		world_gone(world, 1006, "");
		world_come_back(world);
	}
	world_say_welcome(world, "k.0");
	world_say_live(world, "k.0");
	world_turn(world);
	world_forget(world);
	sb_client_on_jump(&world->client, world->now_ms);
	assert_did(world, "drop");
	world_gone(world, 1006, "let go by us");
	assert_int_equal(world->wait_ms, 0);
	assert_did(world, "connect");
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 500);
	world_free(world);
}

static void a_jump_ends_the_waiting(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	for (int i = 0; i < 9; i++) {
		world_gone(world, 1006, "");
		if (i < 8)
			world_come_back(world);
	}
	assert_int_equal(world->wait_ms, 60000);
	world_forget(world);
	sb_client_on_jump(&world->client, world->now_ms);
	world_turn(world);
	assert_did(world, "connect");
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 500);
	world_free(world);
}

static void a_nudge_ends_the_waiting_and_asks_a_session_for_a_word(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_gone(world, 1006, "");
	world_forget(world);
	sb_client_nudge(&world->client, world->now_ms);
	assert_did(world, "connect");
	sb_client_nudge(&world->client, world->now_ms); /* it is coming already */
	assert_did(world, "");
	world_arrive(world, "k.0");
	sb_client_nudge(&world->client, world->now_ms);
	sb_client_nudge(&world->client, world->now_ms);
	assert_did(world, "ping");
	world_pass(world, SB_CLIENT_PONG_MS);
	assert_did(world, "drop");
	world_free(world);
}

/* ---- silence ---- */

static void a_silent_server_is_asked_and_then_left(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_pass(world, 24999);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "ping");
	world_pass(world, SB_CLIENT_PONG_MS - 1);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "drop");
	assert_trouble(world, "silent for 35 s");
	world_free(world);
}

/* One that pings every second is given five more, or a loaded machine would look dead. */
static void a_short_heartbeat_has_a_margin(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	world_say(world,
		  "{\"type\":\"welcome\",\"session\":\"s\",\"mailbox\":\"a@b\",\"cursor\":\"k.0\","
		  "\"head\":0,\"window\":1,\"heartbeat_seconds\":1,"
		  "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
		  "\"reconnect\":{\"min_ms\":1,\"max_ms\":1},\"features\":[]}");
	world_turn(world);
	world_forget(world);
	world_pass(world, 6999);
	assert_did(world, "ping");
	world_pass(world, 1);
	assert_did(world, "drop");
	world_free(world);
}

static void any_word_ends_the_silence(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	for (int i = 0; i < 5; i++) {
		world_pass(world, 25000);
		assert_did(world, "ping");
		world_say(world, "{\"type\":\"pong\"}");
	}
	world_pass(world, 24000);
	world_say(world, "{\"type\":\"newer\"}");
	world_pass(world, 24000);
	assert_did(world, "");
	world_free(world);
}

static void a_connection_without_a_welcome_is_let_go(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_pass(world, 15000);
	world_open(world);
	world_forget(world);
	world_pass(world, SB_CLIENT_WELCOME_MS - 15000 - 1);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "drop");
	assert_trouble(world, "No welcome within 20 s");
	world_free(world);
}

/* ---- told to stop ---- */

static void one_that_is_told_to_stop_waits_for_its_acked_and_says_going_away(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_say_booking(world, "k.1", "one");
	sb_client_stop(&world->client, world->now_ms);
	assert_did(world, "write one 1; sync; save k.1; ack k.1");
	world_pass(world, SB_CLIENT_LEAVE_MS - 1);
	assert_did(world, "");
	world_say_acked(world, "k.1");
	world_turn(world);
	assert_did(world, "close 1001");
	world_gone(world, 1001, "closed by us");
	assert_told(world, "written; acked; closed; bye");
	assert_int_equal(world->client.exit_code, 0);
	world_free(world);
}

static void it_does_not_wait_for_acked_for_ever(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_arrive(world, "k.0");
	world_say_booking(world, "k.1", "one");
	sb_client_stop(&world->client, world->now_ms);
	world_forget(world);
	world_pass(world, SB_CLIENT_LEAVE_MS - 1);
	assert_did(world, "");
	world_pass(world, 1);
	assert_did(world, "close 1001");
	world_free(world);
}

static void it_stops_from_every_state(void **state)
{
	struct world *world;

	(void)state;
	world = world_new(SB_MODE_LIVE); /* connecting */
	sb_client_stop(&world->client, world->now_ms);
	assert_did(world, "connect; drop");
	world_gone(world, 1006, "");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	world_free(world);

	world = world_new(SB_MODE_LIVE); /* greeting */
	world_open(world);
	sb_client_stop(&world->client, world->now_ms);
	sb_client_stop(&world->client, world->now_ms);
	assert_did(world, "connect; hello anew; close 1001");
	world_gone(world, 1001, "");
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	world_free(world);

	world = world_new(SB_MODE_LIVE); /* waiting */
	world_gone(world, 1006, "");
	sb_client_stop(&world->client, world->now_ms);
	assert_int_equal(world->client.state, SB_CLIENT_ENDED);
	assert_int_equal(world->client.exit_code, 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_jump_of_the_clock_brings_it_back_at_once),
		cmocka_unit_test(a_jump_ends_the_waiting),
		cmocka_unit_test(a_nudge_ends_the_waiting_and_asks_a_session_for_a_word),
		cmocka_unit_test(a_silent_server_is_asked_and_then_left),
		cmocka_unit_test(a_short_heartbeat_has_a_margin),
		cmocka_unit_test(any_word_ends_the_silence),
		cmocka_unit_test(a_connection_without_a_welcome_is_let_go),
		cmocka_unit_test(one_that_is_told_to_stop_waits_for_its_acked_and_says_going_away),
		cmocka_unit_test(it_does_not_wait_for_acked_for_ever),
		cmocka_unit_test(it_stops_from_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
