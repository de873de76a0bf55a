/* Failures: each is kept with its ack, once, and said to be kept only when it is. */
#include "daemon/core/hub.h"
#include "daemon/core/session.h"
#include "protocol/limits.h"
#include "protocol/text.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

/* An ack of that event, which names `count` failures, from `first` on. */
static void ack_with_failures(struct client *client, int upto, int first, int count)
{
	struct sb_text text;

	sb_text_init(&text);
	sb_text_append_string(&text, "{\"type\":\"ack\",\"cursor\":\"aaa.");
	sb_text_append_int(&text, upto);
	sb_text_append_string(&text, "\",\"failed\":[");
	for (int seq = first; seq < first + count; seq++) {
		sb_text_append_string(&text, seq > first ? ",{\"seq\":" : "{\"seq\":");
		sb_text_append_int(&text, seq);
		sb_text_append_string(&text, ",\"reason\":\"conflict\"}");
	}
	sb_text_append(&text, "]}", sizeof("]}"));
	client_say(client, text.data);
	sb_text_fini(&text);
}

static void failures_are_kept_with_their_ack(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	ack_with_failures(&ada, 2, 2, 1);
	assert_string_equal(client_said(&ada), "acked 2");
	assert_int_equal(world->devices[1].failed_count, 1);
	assert_int_equal(world->devices[1].failed[0], 2);
	client_drop(&ada);
	world_free(world);
}

/* It says each again until it is told that it is kept, and that may take a while. */
static void failures_that_are_named_again_and_again_are_one_each(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world->mailboxes[1].numbering.head = 300;
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.300\"");
	client_said(&ada);
	ack_with_failures(&ada, 300, 1, 1);
	world->away = true; /* the database, while the first is on its way */
	for (int i = 0; i < 2 * SB_FAILED_MAX; i++)
		ack_with_failures(&ada, 300, 1, 2);
	ack_with_failures(&ada, 300, 3, SB_FAILED_MAX - 2);
	assert_string_equal(client_said(&ada), "");
	ack_with_failures(&ada, 300, SB_FAILED_MAX + 1, 1); /* one more than there can be */
	assert_non_null(strstr(client_said(&ada), "close 4400"));
	client_drop(&ada);
	world_free(world);
}

/* A client that comes back resends the failures whose acked it missed; what it said in hello is not
 * their answer. */
static void acked_is_not_said_before_failures_that_came_late_are_kept(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.2\"");
	world_query(world); /* who is it? */
	world_answer(world);
	client_pull(&ada);
	world_query(world); /* the ack in hello is saved, its answer on the way */
	ack_with_failures(&ada, 2, 2, 1);
	world_answer(world);
	client_pull(&ada);
	assert_int_equal(world->devices[1].failed_count, 0);
	assert_null(strstr(ada.said, "acked"));
	world_query(world); /* the failure is saved */
	client_pull(&ada);
	assert_null(strstr(ada.said, "acked"));
	world_answer(world);
	client_pull(&ada);
	assert_non_null(strstr(ada.said, "acked 2"));
	assert_int_equal(world->devices[1].failed_count, 1);
	/* And no more than one is owed: the next one is the next ack's. */
	client_said(&ada);
	client_ack(&ada, 2);
	assert_string_equal(client_said(&ada), "acked 2");
	client_drop(&ada);
	world_free(world);
}

/* Else its acked could cross an ack with failures on the way, and pass for the answer. */
static void the_cursor_of_hello_is_kept_without_a_word(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.2\"");
	assert_string_equal(client_said(&ada), "welcome 2; live 2");
	assert_int_equal(world->devices[1].acked, 2);
	ack_with_failures(&ada, 2, 2, 1);
	world_query(world);
	client_pull(&ada);
	assert_null(strstr(ada.said, "acked"));
	world_answer(world);
	assert_string_equal(client_said(&ada), "acked 2");
	assert_int_equal(world->devices[1].failed_count, 1);
	client_drop(&ada);
	/* One that is said while the cursor is on its way to the database is answered. */
	world->devices[1].acked = 0;
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.2\"");
	world_query(world);
	world_answer(world);
	client_pull(&ada);
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "welcome 2; acked 2; live 2");
	client_drop(&ada);
	world_free(world);
}

static void nor_with_one_where_it_is_heard_by_another_way(void **state)
{
	struct sb_device_state news = {.device_id = 1, .outcome = SB_AUTH_OK, .acked = 2};
	struct world *world = world_new();
	struct client ada;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.2\"");
	world_query(world); /* who is it? */
	world_answer(world);
	world_query(world); /* its cursor is saved, and before the answer the row is looked at */
	news.session_no = world->devices[1].session_no;
	news.numbering = world->mailboxes[1].numbering;
	sb_hub_device_state(world->hub, &news);
	assert_string_equal(client_said(&ada), "welcome 2; live 2");
	client_ack(&ada, 2);
	assert_string_equal(client_said(&ada), "acked 2");
	client_drop(&ada);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_kept_with_their_ack),
		cmocka_unit_test(failures_that_are_named_again_and_again_are_one_each),
		cmocka_unit_test(acked_is_not_said_before_failures_that_came_late_are_kept),
		cmocka_unit_test(the_cursor_of_hello_is_kept_without_a_word),
		cmocka_unit_test(nor_with_one_where_it_is_heard_by_another_way),
	};

	return cmocka_run_group_tests_name("core: failures", tests, NULL, NULL);
}
