/* What receipts and presence need: when an event was sent, told with its ack or when that is late;
 * who is on. */
#include "daemon/core/sent.h"
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static int64_t now_us(struct world *world)
{
	return world->clock.wall_us(&world->clock);
}

static void an_ack_says_when_each_of_its_events_was_sent(void **state)
{
	struct world *world = world_new();
	struct world_device *device = &world->devices[1];
	struct client ada;
	int64_t sent[4];

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 1; i <= 3; i++) {
		world_pass(world, 100);
		world_book(world, 1);
		client_said(&ada);
		sent[i] = now_us(world);
	}
	world_pass(world, 100);
	client_ack(&ada, 2);
	assert_string_equal(client_said(&ada), "acked 2");
	assert_int_equal(device->sent_us[1], sent[1]);
	assert_int_equal(device->sent_us[2], sent[2]);
	assert_int_equal(device->sent_us[3], 0);
	client_ack(&ada, 3);
	assert_string_equal(client_said(&ada), "acked 3");
	assert_int_equal(device->sent_us[3], sent[3]);
	assert_int_equal(device->tells, 0);
	client_drop(&ada);
	assert_int_equal(device->tells, 0);
	world_free(world);
}

static void more_than_a_few_at_once_have_their_times_too(void **state)
{
	struct sb_hub_config config;
	struct world *world;
	struct client ada;

	(void)state;
	world_config(&config);
	config.window = SB_WINDOW_MAX;
	world = world_new_with(&config);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 1; i <= SB_WINDOW_MAX; i++) {
		world_pass(world, 1);
		world_book(world, 1);
		client_said(&ada);
	}
	client_ack(&ada, SB_WINDOW_MAX);
	client_said(&ada);
	for (int i = 1; i <= SB_WINDOW_MAX; i++)
		assert_int_equal(world->devices[1].sent_us[i],
				 now_us(world) - (SB_WINDOW_MAX - i) * 1000);
	client_drop(&ada);
	world_free(world);
}

static void what_is_not_acked_for_two_seconds_is_told_once(void **state)
{
	struct world *world = world_new();
	struct world_device *device = &world->devices[1];
	struct client ada;
	int64_t sent;

	(void)state;
	client_hello(&ada, world, 1, "");
	world_book(world, 1);
	client_said(&ada);
	sent = now_us(world);
	world_pass(world, SB_SENT_LATE_MS - 1);
	assert_int_equal(device->tells, 0);
	world_pass(world, 1);
	assert_int_equal(device->tells, 1);
	assert_int_equal(device->told_us[1], sent);
	world_pass(world, 10 * SB_SENT_LATE_MS);
	assert_int_equal(device->tells, 1);
	/* and so is the next one, alone */
	world_book(world, 1);
	client_said(&ada);
	device->told_us[1] = 0;
	world_pass(world, SB_SENT_LATE_MS);
	assert_int_equal(device->tells, 2);
	assert_int_equal(device->told_us[1], 0);
	assert_true(device->told_us[2] > sent);
	/* the ack says it all again, with the rest */
	client_ack(&ada, 2);
	client_said(&ada);
	assert_int_equal(device->sent_us[1], sent);
	client_drop(&ada);
	assert_int_equal(device->tells, 2);
	world_free(world);
}

static void a_session_that_ends_tells_what_it_sent(void **state)
{
	struct world *world = world_new();
	struct world_device *device = &world->devices[1];
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_said(&ada);
	client_ack(&ada, 1);
	client_said(&ada);
	client_drop(&ada);
	assert_int_equal(device->tells, 1);
	assert_int_equal(device->told_us[1], 0);
	assert_true(device->told_us[2] && device->told_us[3]);
	world_free(world);
}

static void a_reset_forgets_the_times_of_what_it_went_back_over(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_said(&ada);
	world_lose(world, 1, 1);
	sb_hub_look(world->hub, 1);
	assert_string_equal(client_said(&ada), "reset unknown-cursor 1");
	client_ack(&ada, 1);
	client_said(&ada);
	assert_int_equal(world->devices[1].sent_us[1], 0);
	client_drop(&ada);
	assert_int_equal(world->devices[1].tells, 0);
	world_free(world);
}

static void over_the_jump_to_a_new_epoch_the_newest_have_their_times(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	world_book(world, 1);
	client_said(&ada);
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1000002");
	client_ack(&ada, 1000002);
	assert_string_equal(client_said(&ada), "acked 1000002");
	assert_int_equal(world->devices[1].sent_us[1000002 % WORLD_EVENTS], now_us(world));
	client_drop(&ada);
	world_free(world);
}

/* ---- acks that come by a request of their own ---- */

static void open_as(struct client *client, struct world *world, enum sb_role role,
		    const struct sb_ack *ack)
{
	struct sb_opening opening = {.role = role, .ack = ack};
	struct sb_token token = {.device_id = 1};
	char text[SB_TOKEN_MAX + 1];

	client_connect(client, world);
	sb_session_header_token(client->session, text, sb_token_format(&token, text));
	sb_session_open(client->session, &opening);
}

static void an_ack_by_a_request_of_its_own_has_the_times_of_the_session_it_is_for(void **state)
{
	struct world *world = world_new();
	struct sb_ack ack = {.cursor = {.epoch.text = "aaa", .seq = 1}};
	struct client stream, request;
	int64_t sent;

	(void)state;
	client_hello(&stream, world, 1, "");
	world_book(world, 1);
	client_said(&stream);
	sent = now_us(world);
	world_pass(world, 50);
	open_as(&request, world, SB_ROLE_ACK, &ack);
	client_said(&request);
	assert_int_equal(world->devices[1].acked, 1);
	assert_int_equal(world->devices[1].sent_us[1], sent);
	client_drop(&request);
	client_drop(&stream);
	assert_int_equal(world->devices[1].tells, 0);
	world_free(world);
}

static void a_poll_tells_what_it_was_given_and_is_not_on(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	world_book(world, 1);
	open_as(&poll, world, SB_ROLE_POLL, NULL);
	client_said(&poll);
	assert_int_equal(world->devices[1].tells, 1);
	assert_int_equal(world->devices[1].told_us[1], now_us(world));
	assert_int_equal(world->devices[1].on, 0);
	client_drop(&poll);
	world_free(world);
}

/* ---- presence ---- */

static void a_live_session_is_on_from_welcome_to_its_end(void **state)
{
	struct world *world = world_new();
	struct client ada, wrong;

	(void)state;
	client_hello(&ada, world, 1, "");
	assert_int_equal(world->devices[1].on, 0);
	client_said(&ada);
	assert_int_equal(world->devices[1].on, 1);
	client_hello(&wrong, world, 9, "");
	client_said(&wrong);
	assert_int_equal(world->devices[9].on, 0);
	client_drop(&wrong);
	client_drop(&ada);
	assert_int_equal(world->devices[1].on, 0);
	world_free(world);
}

static void a_short_visit_is_not_on(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, ",\"mode\":\"once\"");
	client_said(&ada);
	client_drop(&ada);
	assert_int_equal(world->devices[1].on, 0);
	world_free(world);
}

static void a_replaced_session_is_off_when_its_successor_is_on(void **state)
{
	struct world *world = world_new();
	struct client old, new;

	(void)state;
	client_hello(&old, world, 1, "");
	client_said(&old);
	client_hello(&new, world, 1, "");
	client_said(&new);
	assert_int_equal(world->devices[1].on, 1);
	client_drop(&old);
	client_drop(&new);
	assert_int_equal(world->devices[1].on, 0);
	world_free(world);
}

static void a_database_that_forgot_is_told_of_all_that_are_on(void **state)
{
	struct world *world = world_new();
	struct client ada, grace, once, leaving;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_hello(&grace, world, 3, "");
	client_hello(&leaving, world, 2, "");
	client_said(&ada);
	client_said(&grace);
	client_said(&leaving);
	sb_session_close(leaving.session, SB_REASON_DRAINING);
	client_hello(&once, world, 2, ",\"mode\":\"once\"");
	client_said(&once);
	for (int i = 1; i <= 3; i++)
		world->devices[i].on = 0;
	sb_hub_tell_presence(world->hub);
	assert_int_equal(world->devices[1].on, 1);
	assert_int_equal(world->devices[2].on, 0);
	assert_int_equal(world->devices[3].on, 1);
	client_drop(&ada);
	client_drop(&grace);
	client_drop(&once);
	client_drop(&leaving);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ack_says_when_each_of_its_events_was_sent),
		cmocka_unit_test(more_than_a_few_at_once_have_their_times_too),
		cmocka_unit_test(what_is_not_acked_for_two_seconds_is_told_once),
		cmocka_unit_test(a_session_that_ends_tells_what_it_sent),
		cmocka_unit_test(a_reset_forgets_the_times_of_what_it_went_back_over),
		cmocka_unit_test(over_the_jump_to_a_new_epoch_the_newest_have_their_times),
		cmocka_unit_test(
			an_ack_by_a_request_of_its_own_has_the_times_of_the_session_it_is_for),
		cmocka_unit_test(a_poll_tells_what_it_was_given_and_is_not_on),
		cmocka_unit_test(a_live_session_is_on_from_welcome_to_its_end),
		cmocka_unit_test(a_short_visit_is_not_on),
		cmocka_unit_test(a_replaced_session_is_off_when_its_successor_is_on),
		cmocka_unit_test(a_database_that_forgot_is_told_of_all_that_are_on),
	};

	return cmocka_run_group_tests_name("core: receipts", tests, NULL, NULL);
}
