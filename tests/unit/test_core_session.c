/* One session's life with its client: hello, window, acks, refusals, the close. */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void a_booking_reaches_a_live_session(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 0; live 0");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1");
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1");
	assert_int_equal(world->devices[1].acked, 1);
	client_drop(&ada);
	world_free(world);
}

static void the_backlog_comes_before_live(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada),
			    "welcome 0; booking 1; booking 2; booking 3; live 3");
	client_drop(&ada);
	world_free(world);
}

static void a_header_token_and_a_hello_without_one_make_a_session(void **state)
{
	struct world *world = world_new();
	struct sb_token token = {.device_id = 1};
	char text[SB_TOKEN_MAX + 1];
	struct client ada;

	(void)state;
	client_connect(&ada, world);
	sb_session_header_token(ada.session, text, sb_token_format(&token, text));
	client_say(&ada, "{\"type\":\"hello\"}");
	assert_string_equal(client_said(&ada), "welcome 0; live 0");
	client_drop(&ada);
	world_free(world);
}

static void every_device_of_a_mailbox_is_rung(void **state)
{
	struct world *world = world_new();
	struct client desk, laptop, other;

	(void)state;
	client_hello(&desk, world, 1, "");
	client_hello(&laptop, world, 2, "");
	client_hello(&other, world, 3, "");
	client_said(&desk);
	client_said(&laptop);
	client_said(&other);
	world_book(world, 1);
	assert_string_equal(client_said(&desk), "booking 1");
	assert_string_equal(client_said(&laptop), "booking 1");
	assert_string_equal(client_said(&other), "");
	client_drop(&desk);
	client_drop(&laptop);
	client_drop(&other);
	world_free(world);
}

static void no_more_than_the_window_is_in_flight(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 0; i < 6; i++)
		world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1; booking 2; booking 3; booking 4");
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1; booking 5");
	client_ack(&ada, 5);
	assert_string_equal(client_said(&ada), "acked 5; booking 6");
	client_drop(&ada);
	world_free(world);
}

static void acks_that_come_while_one_is_saved_share_the_next_save(void **state)
{
	struct world *world = world_new();
	struct client ada;
	size_t saves;

	(void)state;
	for (int i = 0; i < 4; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	saves = world->saves;
	for (int i = 1; i <= 4; i++)
		client_ack(&ada, i);
	assert_string_equal(client_said(&ada), "acked 4");
	assert_int_equal(world->saves - saves, 2);
	assert_int_equal(world->devices[1].acked, 4);
	client_drop(&ada);
	world_free(world);
}

static void acked_is_said_only_when_the_database_has_it(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world->away = true;
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "");
	world->away = false;
	assert_string_equal(client_said(&ada), "acked 1");
	client_drop(&ada);
	world_free(world);
}

static void an_ack_said_again_is_answered_again(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1");
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1");
	client_drop(&ada);
	world_free(world);
}

static void an_ack_is_kept_though_its_session_goes_at_once(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_ack(&ada, 1);
	client_ack(&ada, 3); /* waits behind the first */
	client_drop(&ada);
	assert_true(sb_hub_has_unsaved(world->hub));
	world_settle(world);
	assert_false(sb_hub_has_unsaved(world->hub));
	assert_int_equal(world->devices[1].acked, 3);
	world_free(world);
}

static void refused(const char *message, const char *expected)
{
	struct world *world = world_new();
	struct client ada, bystander;

	client_hello(&bystander, world, 2, "");
	client_said(&bystander);
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_say(&ada, message);
	assert_string_equal(client_said(&ada), expected);
	client_say(&ada, "{\"type\":\"ping\"}"); /* whatever comes after is not read */
	assert_string_equal(client_said(&ada), "");
	client_drop(&ada);
	assert_string_equal(client_said(&bystander), "booking 1");
	client_drop(&bystander);
	world_free(world);
}

static void what_is_no_message_is_refused_with_words_and_4400(void **state)
{
	(void)state;
	refused("", "error bad-message; close 4400");
	refused("[]", "error bad-message; close 4400");
	refused("{\"type\":\"", "error bad-message; close 4400");
	refused("{\"type\":\"wish\"}", "error bad-message; close 4400");
	refused("{\"type\":\"ack\"}", "error bad-message; close 4400");
	refused("{\"type\":\"ping\",\"x\":\"\xff\"}", "error bad-message; close 4400");
}

static void an_ack_from_the_future_is_refused(void **state)
{
	(void)state;
	refused("{\"type\":\"ack\",\"cursor\":\"aaa.2\"}", "error bad-message; close 4400");
	refused("{\"type\":\"ack\",\"cursor\":\"zzz.1\"}", "error bad-message; close 4400");
}

static void a_second_hello_is_refused(void **state)
{
	(void)state;
	refused("{\"type\":\"hello\"}", "error bad-message; close 4400");
}

static void an_ack_before_welcome_is_refused(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_connect(&ada, world);
	client_say(&ada, "{\"type\":\"ack\",\"cursor\":\"aaa.0\"}");
	assert_string_equal(client_said(&ada), "error bad-message; close 4400");
	client_drop(&ada);
	world_free(world);
}

static void a_hello_without_a_good_token_is_closed_with_4401(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_connect(&ada, world);
	client_say(&ada, "{\"type\":\"hello\"}");
	assert_string_equal(client_said(&ada), "error bad-token; close 4401");
	client_drop(&ada);
	client_connect(&ada, world);
	client_say(&ada, "{\"type\":\"hello\",\"token\":\"sbd_1_x\"}");
	assert_string_equal(client_said(&ada), "error bad-token; close 4401");
	client_drop(&ada);
	client_connect(&ada, world);
	sb_session_header_token(ada.session, "", 0);
	assert_string_equal(client_said(&ada), "error bad-token; close 4401");
	client_drop(&ada);
	client_hello(&ada, world, 9, "");
	assert_string_equal(client_said(&ada), "error bad-token; close 4401");
	client_drop(&ada);
	assert_int_equal(world->authentications, 1); /* only the well-formed one cost a question */
	world_free(world);
}

static void a_revoked_or_expired_device_is_told_so(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world->devices[1].outcome = SB_AUTH_REVOKED;
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "error revoked; close 4403");
	client_drop(&ada);
	world->devices[1].outcome = SB_AUTH_EXPIRED;
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "error expired; close 4403");
	client_drop(&ada);
	world_free(world);
}

static void a_clients_ping_is_answered(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_say(&ada, "{\"type\":\"ping\"}");
	assert_string_equal(client_said(&ada), "pong");
	client_drop(&ada);
	world_free(world);
}

static void the_one_session_too_many_is_told_to_come_back(void **state)
{
	struct sb_hub_config config;
	struct world *world;
	struct client first, second, third;

	(void)state;
	world_config(&config);
	config.max_sessions = 2;
	world = world_new_with(&config);
	client_hello(&first, world, 1, "");
	client_hello(&second, world, 2, "");
	client_connect(&third, world);
	assert_string_equal(client_said(&first), "welcome 0; live 0");
	assert_string_equal(client_said(&second), "welcome 0; live 0");
	assert_string_equal(client_said(&third), "goodbye busy; close 1013");
	assert_true(third.come_back_ms >= 500);
	client_drop(&third);
	client_drop(&second);
	client_hello(&third, world, 3, "");
	assert_string_equal(client_said(&third), "welcome 0; live 0");
	client_drop(&first);
	client_drop(&third);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_booking_reaches_a_live_session),
		cmocka_unit_test(the_backlog_comes_before_live),
		cmocka_unit_test(a_header_token_and_a_hello_without_one_make_a_session),
		cmocka_unit_test(every_device_of_a_mailbox_is_rung),
		cmocka_unit_test(no_more_than_the_window_is_in_flight),
		cmocka_unit_test(acks_that_come_while_one_is_saved_share_the_next_save),
		cmocka_unit_test(acked_is_said_only_when_the_database_has_it),
		cmocka_unit_test(an_ack_said_again_is_answered_again),
		cmocka_unit_test(an_ack_is_kept_though_its_session_goes_at_once),
		cmocka_unit_test(what_is_no_message_is_refused_with_words_and_4400),
		cmocka_unit_test(an_ack_from_the_future_is_refused),
		cmocka_unit_test(a_second_hello_is_refused),
		cmocka_unit_test(an_ack_before_welcome_is_refused),
		cmocka_unit_test(a_hello_without_a_good_token_is_closed_with_4401),
		cmocka_unit_test(a_revoked_or_expired_device_is_told_so),
		cmocka_unit_test(a_clients_ping_is_answered),
		cmocka_unit_test(the_one_session_too_many_is_told_to_come_back),
	};

	return cmocka_run_group_tests_name("core: a session", tests, NULL, NULL);
}
