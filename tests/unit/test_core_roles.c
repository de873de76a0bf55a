/* Sessions that do not stay: a poll, an ack by a request of its own, a question how one stands. */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void open_as(struct client *client, struct world *world, int64_t device,
		    const struct sb_opening *opening)
{
	struct sb_token token = {.device_id = device};
	char text[SB_TOKEN_MAX + 1];

	client_connect(client, world);
	sb_session_header_token(client->session, text, sb_token_format(&token, text));
	sb_session_open(client->session, opening);
}

static void open_poll(struct client *client, struct world *world, int64_t after, uint32_t limit,
		      uint32_t wait_seconds)
{
	struct sb_opening opening = {.role = SB_ROLE_POLL,
				     .has_cursor = after > 0,
				     .cursor = {.epoch.text = "aaa", .seq = after},
				     .limit = limit,
				     .wait_seconds = wait_seconds};

	open_as(client, world, 1, &opening);
}

static void open_ack(struct client *client, struct world *world, int64_t seq, int64_t failed)
{
	struct sb_ack ack = {.cursor = {.epoch.text = "aaa", .seq = seq},
			     .failed_count = failed > 0,
			     .failed = {{.seq = failed, .reason = SB_FAILURE_CONFLICT}}};
	struct sb_opening opening = {.role = SB_ROLE_ACK, .ack = &ack};

	open_as(client, world, 1, &opening);
}

/* Only live sessions throw each other out. */
static void an_ack_that_came_too_late_is_nobodys_rival(void **state)
{
	struct world *world = world_new();
	struct client post, ada;

	(void)state;
	world_book(world, 1);
	for (int i = 0; i < 4; i++) {
		open_ack(&post, world, 1, 0);
		world_query(world); /* whose is it? */
		world_answer(world);
		world->devices[1].session_no++; /* a live session takes over */
		assert_string_equal(client_said(&post), "close 4409");
		client_drop(&post);
	}
	assert_int_equal(world->devices[1].acked, 0);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 0; booking 1; live 1");
	client_drop(&ada);
	world_free(world);
}

static void a_poll_takes_what_is_there_and_leaves(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	open_poll(&poll, world, 0, 0, 0);
	assert_string_equal(client_said(&poll), "live 0; close 1000");
	client_drop(&poll);
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	open_poll(&poll, world, 0, 0, 0);
	assert_string_equal(client_said(&poll),
			    "booking 1; booking 2; booking 3; live 3; close 1000");
	client_drop(&poll);
	assert_int_equal(world->devices[1].acked, 0);
	assert_int_equal(world->devices[1].session_no, 0); /* nobody's session is taken over */
	world_free(world);
}

static void a_poll_has_a_limit_below_the_window_and_none_above(void **state)
{
	struct world *world = world_new(); /* its window is 4 */
	struct client poll;

	(void)state;
	for (int i = 0; i < 6; i++)
		world_book(world, 1);
	open_poll(&poll, world, 0, 3, 0);
	assert_string_equal(client_said(&poll), "booking 1; booking 2; booking 3; close 1000");
	client_drop(&poll);
	open_poll(&poll, world, 0, 4, 0);
	assert_string_equal(client_said(&poll),
			    "booking 1; booking 2; booking 3; booking 4; close 1000");
	client_drop(&poll);
	open_poll(&poll, world, 0, 5, 0);
	assert_string_equal(client_said(&poll),
			    "booking 1; booking 2; booking 3; booking 4; close 1000");
	client_drop(&poll);
	world_free(world);
}

static void after_acks_what_lies_before(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	open_poll(&poll, world, 2, 0, 0);
	assert_string_equal(client_said(&poll), "booking 3; live 3; close 1000");
	client_drop(&poll);
	assert_int_equal(world->devices[1].acked, 2);
	world_free(world);
}

static void a_waiting_poll_is_rung_and_ends_with_its_time(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	open_poll(&poll, world, 0, 0, 10);
	assert_string_equal(client_said(&poll), "live 0");
	world_pass(world, 9999);
	assert_string_equal(client_said(&poll), "");
	world_book(world, 1);
	assert_string_equal(client_said(&poll), "booking 1; close 1000");
	client_drop(&poll);

	open_poll(&poll, world, 1, 0, 10);
	assert_string_equal(client_said(&poll), "live 1");
	world_pass(world, 9999);
	assert_string_equal(client_said(&poll), "");
	world_pass(world, 1);
	assert_string_equal(client_said(&poll), "close 1000");
	client_drop(&poll);
	world_free(world);
}

static void polls_of_every_wait_end_in_their_own_time(void **state)
{
	struct world *world = world_new();
	struct client polls[SB_POLL_WAIT_MAX_SECONDS + 1];

	(void)state;
	for (uint32_t wait = SB_POLL_WAIT_MAX_SECONDS; wait > 0; wait--) {
		open_poll(&polls[wait], world, 0, 0, wait);
		assert_string_equal(client_said(&polls[wait]), "live 0");
	}
	for (uint32_t wait = 1; wait <= SB_POLL_WAIT_MAX_SECONDS; wait++) {
		world_pass(world, 1000);
		assert_string_equal(client_said(&polls[wait]), "close 1000");
		if (wait < SB_POLL_WAIT_MAX_SECONDS)
			assert_string_equal(client_said(&polls[wait + 1]), "");
		client_drop(&polls[wait]);
	}
	world_free(world);
}

static void a_poll_while_the_database_is_away_is_told_to_come_back(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	open_poll(&poll, world, 0, 0, 10);
	world_query(world);
	world_answer(world); /* who it is, and then nothing */
	world->away = true;
	client_pull(&poll);
	world_pass(world, 10000);
	assert_string_equal(client_said(&poll), "goodbye degraded; close 1013");
	assert_true(sb_session_return_ms(poll.session) > 0);
	client_drop(&poll);
	world_free(world);
}

static void a_poll_is_told_of_a_reset_and_what_comes_after_it(void **state)
{
	struct world *world = world_new();
	struct client poll;

	(void)state;
	world_book(world, 1);
	open_poll(&poll, world, 7, 0, 10);
	assert_string_equal(client_said(&poll),
			    "reset unknown-cursor 0; booking 1; live 1; close 1000");
	client_drop(&poll);
	world_free(world);
}

static void an_ack_by_itself_is_saved_with_its_failure_and_said_again_when_repeated(void **state)
{
	struct world *world = world_new();
	struct client ack;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	open_ack(&ack, world, 2, 1);
	assert_string_equal(client_said(&ack), "acked 2; close 1000");
	client_drop(&ack);
	assert_int_equal(world->devices[1].acked, 2);
	assert_int_equal(world->devices[1].failed_count, 1);
	/* The database has more: what is confirmed is what was said. */
	open_ack(&ack, world, 1, 0);
	assert_string_equal(client_said(&ack), "acked 1; close 1000");
	client_drop(&ack);
	assert_int_equal(world->devices[1].acked, 2);
	assert_int_equal(world->fetches, 0); /* it is sent no events, so none are fetched */
	world_free(world);
}

static void an_ack_from_the_future_is_a_reset_and_saves_nothing(void **state)
{
	struct world *world = world_new();
	struct client ack;

	(void)state;
	world_book(world, 1);
	open_ack(&ack, world, 2, 0);
	assert_string_equal(client_said(&ack), "reset unknown-cursor 0; close 1000");
	client_drop(&ack);
	assert_int_equal(world->devices[1].acked, 0);
	world_free(world);
}

static void an_ack_by_itself_opens_the_window_of_the_devices_session(void **state)
{
	struct world *world = world_new(); /* its window is 4 */
	struct client ada, ack;

	(void)state;
	client_hello(&ada, world, 1, "");
	for (int i = 0; i < 5; i++)
		world_book(world, 1);
	assert_string_equal(client_said(&ada),
			    "welcome 0; booking 1; booking 2; booking 3; booking 4");
	open_ack(&ack, world, 1, 0);
	assert_string_equal(client_said(&ack), "acked 1; close 1000");
	client_drop(&ack);
	assert_string_equal(client_said(&ada), "acked 1; booking 5; live 5");
	client_drop(&ada);
	world_free(world);
}

static void an_ack_at_another_daemon_is_heard_of_by_the_recheck(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	for (int i = 0; i < 5; i++)
		world_book(world, 1);
	(void)client_said(&ada);
	world->devices[1].acked = 3;
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "acked 3; booking 5; live 5");
	/* What it was never sent it cannot have acked: numbers of a history that is no more. */
	world->devices[1].acked = 77;
	sb_hub_recheck(world->hub, 1);
	assert_string_equal(client_said(&ada), "");
	client_drop(&ada);
	world_free(world);
}

static void who_asks_is_told_how_its_device_stands(void **state)
{
	struct world *world = world_new();
	struct sb_opening opening = {.role = SB_ROLE_ASK};
	struct sb_frame *frame = NULL;
	struct client ask;

	(void)state;
	sb_hub_database(world->hub, true);
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	world->devices[1].acked = 1;
	open_as(&ask, world, 1, &opening);
	world_settle(world);
	assert_int_equal(sb_session_pull(ask.session, &frame), SB_PULL_FRAME);
	assert_int_equal(frame->len, strlen("{\"state\":\"ready\",\"retry_after_ms\":0,\"epoch\":"
					    "\"aaa\",\"head\":3,\"acked\":1,\"pending\":2,"
					    "\"transports\":[\"websocket\",\"stream\",\"poll\"]}"));
	assert_memory_equal(frame->bytes,
			    "{\"state\":\"ready\",\"retry_after_ms\":0,\"epoch\":"
			    "\"aaa\",\"head\":3,\"acked\":1,\"pending\":2,",
			    80);
	sb_frame_unref(frame);
	assert_int_equal(sb_session_pull(ask.session, &frame), SB_PULL_CLOSE);
	assert_int_equal(sb_session_reason(ask.session), SB_REASON_BYE);
	client_drop(&ask);
	world_free(world);
}

static void many_who_ask_are_told_times_that_add_up_to_the_rate(void **state)
{
	struct world *world = world_new(); /* it takes 500 a second */
	struct sb_opening opening = {.role = SB_ROLE_ASK};
	uint32_t latest = 0;

	(void)state;
	sb_hub_database(world->hub, true);
	for (int i = 0; i < 1000; i++) {
		struct sb_frame *frame = NULL;
		struct client ask;
		const char *at;

		open_as(&ask, world, 1, &opening);
		world_settle(world);
		assert_int_equal(sb_session_pull(ask.session, &frame), SB_PULL_FRAME);
		at = memmem(frame->bytes, frame->len, "\"retry_after_ms\":", 17);
		assert_non_null(at);
		latest = (uint32_t)strtoul(at + 17, NULL, 10);
		sb_frame_unref(frame);
		client_drop(&ask);
	}
	/* The thousandth comes when the 999 before it were let in. */
	assert_in_range(latest, 1990, 2010);
	world_free(world);
}

static void how_the_daemon_stands_is_told_from_memory(void **state)
{
	struct sb_hub_config config;
	struct world *world;
	struct client ada;

	(void)state;
	world_config(&config);
	config.max_sessions = 1;
	world = world_new_with(&config);
	assert_int_equal(sb_hub_standing(world->hub), SB_STANDING_DEGRADED);
	sb_hub_database(world->hub, true);
	assert_int_equal(sb_hub_standing(world->hub), SB_STANDING_READY);
	client_hello(&ada, world, 1, "");
	assert_int_equal(sb_hub_standing(world->hub), SB_STANDING_BUSY);
	sb_hub_drain(world->hub, 0);
	assert_int_equal(sb_hub_standing(world->hub), SB_STANDING_DRAINING);
	client_drop(&ada);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_poll_takes_what_is_there_and_leaves),
		cmocka_unit_test(an_ack_that_came_too_late_is_nobodys_rival),
		cmocka_unit_test(a_poll_has_a_limit_below_the_window_and_none_above),
		cmocka_unit_test(after_acks_what_lies_before),
		cmocka_unit_test(a_waiting_poll_is_rung_and_ends_with_its_time),
		cmocka_unit_test(polls_of_every_wait_end_in_their_own_time),
		cmocka_unit_test(a_poll_while_the_database_is_away_is_told_to_come_back),
		cmocka_unit_test(a_poll_is_told_of_a_reset_and_what_comes_after_it),
		cmocka_unit_test(
			an_ack_by_itself_is_saved_with_its_failure_and_said_again_when_repeated),
		cmocka_unit_test(an_ack_from_the_future_is_a_reset_and_saves_nothing),
		cmocka_unit_test(an_ack_by_itself_opens_the_window_of_the_devices_session),
		cmocka_unit_test(an_ack_at_another_daemon_is_heard_of_by_the_recheck),
		cmocka_unit_test(who_asks_is_told_how_its_device_stands),
		cmocka_unit_test(many_who_ask_are_told_times_that_add_up_to_the_rate),
		cmocka_unit_test(how_the_daemon_stands_is_told_from_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
