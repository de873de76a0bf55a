/* How soon and how late a server may have the plug-in back: it means ill, or is broken. */
#include "plugin_world.h"

#include <stdio.h>
#include <string.h>

static void say_goodbye(struct world *world, const char *reason, unsigned after_ms)
{
	world_say(world, "{\"type\":\"goodbye\",\"reason\":\"%s\",\"reconnect_after_ms\":%u}",
		  reason, after_ms);
}

static void say_reconnect(struct world *world, uint32_t min_ms, uint32_t max_ms)
{
	world_say(world,
		  "{\"type\":\"welcome\",\"session\":\"s\",\"mailbox\":\"ada@example.com\","
		  "\"cursor\":\"k.0\",\"head\":9,\"window\":32,\"heartbeat_seconds\":25,"
		  "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
		  "\"reconnect\":{\"min_ms\":%u,\"max_ms\":%u},\"features\":[]}",
		  min_ms, max_ms);
}

static void a_welcome_may_not_ask_for_a_back_off_of_more_than_an_hour(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);

	(void)state;
	world_open(world);
	say_reconnect(world, UINT32_MAX, UINT32_MAX);
	world_gone(world, 1006, "");
	assert_int_equal(world->wait_ms, 3600000);
	world_free(world);
}

static void connect_again(struct world *world)
{
	if (world->client.state == SB_CLIENT_WAITING)
		world_pass(world, sb_client_deadline(&world->client) - world->now_ms);
	assert_int_equal(world->client.state, SB_CLIENT_CONNECTING);
	world_forget(world);
}

/* A server that welcomes, ends the session and wants us back at once. */
static void a_server_may_not_keep_us_busy_with_coming_back(void **state)
{
	struct world *world = world_new(SB_MODE_LIVE);
	uint64_t began_ms = world->now_ms;

	(void)state;
	for (int i = 0; i < 10 + SB_CLIENT_QUICK_MAX; i++) {
		world_open(world);
		say_reconnect(world, 0, 1);
		if (i % 2)
			say_goodbye(world, "busy", 1);
		world_gone(world, 1013, "busy");
		connect_again(world);
	}
	assert_true(world->now_ms - began_ms >= 10 * SB_CLIENT_PACE_MS);
	began_ms = world->now_ms;
	for (int i = 0; i < 10; i++) {
		sb_client_on_gone(&world->client,
				  &(struct sb_gone){.code = 1006, .words = "503", .has_hint = true},
				  world->now_ms);
		connect_again(world);
	}
	assert_true(world->now_ms - began_ms >= 10 * SB_CLIENT_PACE_MS);
	/* One that lasted is followed by a quick one again. */
	world_open(world);
	say_reconnect(world, 0, 1);
	world_pass(world, SB_CLIENT_PACE_MS);
	began_ms = world->now_ms;
	world_gone(world, 1006, "");
	connect_again(world);
	assert_true(world->now_ms - began_ms <= 1);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_welcome_may_not_ask_for_a_back_off_of_more_than_an_hour),
		cmocka_unit_test(a_server_may_not_keep_us_busy_with_coming_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
