/* What operators see of sessions: how many are in which state, how long bookings took, who is here;
 * and sending one away. */
#include "daemon/core/roster.h"
#include "daemon/core/session.h"
#include "world.h"
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static struct sb_hub_stats stats_of(const struct world *world)
{
	struct sb_hub_stats stats;
	size_t sum = 0;

	sb_hub_get_stats(world->hub, &stats);
	for (int i = 0; i < SB_SESSION_STATE_COUNT; i++)
		sum += stats.states[i];
	assert_int_equal(sum, stats.sessions); /* everybody is in one state */
	return stats;
}

static uint64_t count(const struct sb_histogram *histogram)
{
	uint64_t sum = 0;

	for (int i = 0; i <= SB_LATENCY_BUCKETS; i++)
		sum += histogram->buckets[i];
	return sum;
}

static void every_session_is_counted_in_its_state_on_its_whole_way(void **state)
{
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_connect(&ada, world);
	assert_int_equal(stats_of(world).states[SB_SESSION_GREETING], 1);
	client_drop(&ada);
	client_hello(&ada, world, 1, "");
	assert_int_equal(stats_of(world).states[SB_SESSION_AUTHENTICATING], 1);
	world_query(world);
	world_answer(world);
	assert_int_equal(stats_of(world).states[SB_SESSION_CATCHING_UP], 1);
	assert_string_equal(client_said(&ada), "welcome 0; live 0");
	assert_int_equal(stats_of(world).states[SB_SESSION_LIVE], 1);
	sb_session_close(ada.session, SB_REASON_DRAINING);
	assert_int_equal(stats_of(world).states[SB_SESSION_LEAVING], 1);
	client_said(&ada);
	assert_int_equal(stats_of(world).states[SB_SESSION_CLOSED], 1);
	client_drop(&ada);
	assert_int_equal(stats_of(world).sessions, 0);
	world_free(world);
}

static void a_latency_counts_from_commit_and_only_while_live(void **state)
{
	struct world *world = world_new();
	struct sb_hub_stats stats;
	struct client ada;

	(void)state;
	world_book(world, 1); /* nobody is here yet: its wait is not our doing */
	world_pass(world, 5000);
	client_hello(&ada, world, 1, "");
	assert_string_equal(client_said(&ada), "welcome 0; booking 1; live 1");
	client_ack(&ada, 1);
	assert_string_equal(client_said(&ada), "acked 1");
	stats = stats_of(world);
	assert_int_equal(stats.events_sent[SB_TRANSPORT_WEBSOCKET], 1);
	assert_int_equal(count(&stats.commit_to_sent), 0);
	assert_int_equal(count(&stats.commit_to_acked), 0);

	world_book(world, 1);
	world->now_ms += 3;
	assert_string_equal(client_said(&ada), "booking 2");
	world->now_ms += 4;
	client_ack(&ada, 2);
	assert_string_equal(client_said(&ada), "acked 2");
	stats = stats_of(world);
	assert_int_equal(stats.commit_to_sent.buckets[4], 1); /* 2 to 5 ms */
	assert_int_equal(stats.commit_to_sent.sum_us, 3000);
	assert_int_equal(stats.commit_to_acked.buckets[5], 1); /* 5 to 10 ms */
	assert_int_equal(stats.commit_to_acked.sum_us, 7000);
	client_drop(&ada);
	world_free(world);
}

static void of_a_burst_one_event_is_followed_until_it_is_acked_and_then_the_next(void **state)
{
	struct world *world = world_new();
	struct sb_hub_stats stats;
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	assert_string_equal(client_said(&ada), "booking 1; booking 2; booking 3");
	world->now_ms += 10;
	client_ack(&ada, 3);
	client_said(&ada);
	world_book(world, 1);
	client_said(&ada);
	client_ack(&ada, 4);
	client_said(&ada);
	stats = stats_of(world);
	assert_int_equal(count(&stats.commit_to_sent), 4);
	assert_int_equal(count(&stats.commit_to_acked), 2);
	assert_int_equal(stats.commit_to_acked.sum_us, 10000);
	client_drop(&ada);
	world_free(world);
}

static void what_a_session_has_to_catch_up_with_is_counted_as_it_begins(void **state)
{
	struct world *world = world_new();
	struct sb_hub_stats stats;
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	client_drop(&ada);
	for (int i = 0; i < 3; i++)
		world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world_book(world, 1); /* not one of those that it found */
	client_said(&ada);
	stats = stats_of(world);
	assert_int_equal(stats.catch_ups[0], 1);
	assert_int_equal(stats.catch_ups[3], 1); /* 3 to 5 */
	assert_int_equal(stats.catch_up_events, 3);
	client_drop(&ada);

	/* The jump between two epochs is nobody's event: three are left of the old one, one is new.
	 */
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	stats = stats_of(world);
	assert_int_equal(stats.catch_up_events, 3 + 5);
	client_drop(&ada);
	world_free(world);
}

static void a_full_window_makes_a_session_slow_and_an_ack_quick_again(void **state)
{
	struct world *world = world_new();
	struct sb_hub_config config;
	struct client ada;

	(void)state;
	world_config(&config);
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (uint32_t i = 1; i < config.window; i++)
		world_book(world, 1);
	client_said(&ada);
	assert_int_equal(sb_hub_count_slow(world->hub), 0);
	world_book(world, 1);
	client_said(&ada);
	assert_int_equal(sb_hub_count_slow(world->hub), 1);
	client_ack(&ada, 1);
	client_said(&ada);
	assert_int_equal(sb_hub_count_slow(world->hub), 0);
	client_drop(&ada);
	assert_int_equal(sb_hub_count_slow(world->hub), 0);
	world_free(world);
}

static void what_was_followed_is_forgotten_by_a_reset(void **state)
{
	struct world *world = world_new();
	struct sb_hub_stats stats;
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	world_book(world, 1);
	world_book(world, 1);
	client_said(&ada);
	world->now_ms += 1000;
	world_lose(world, 1, 0);
	world_new_epoch(world, 1, "bbb");
	world_book(world, 1);
	assert_string_equal(client_said(&ada), "reset epoch 0; booking 1000001");
	client_ack(&ada, 1000001);
	client_said(&ada);
	/* Not that of the old history, whose number was passed by the new one's. */
	stats = stats_of(world);
	assert_true(count(&stats.commit_to_acked) <= 1);
	assert_int_equal(stats.commit_to_acked.sum_us, 0);
	client_drop(&ada);
	world_free(world);
}

static void a_bucket_holds_its_bound_and_the_last_one_all_beyond(void **state)
{
	struct sb_histogram histogram = {0};

	(void)state;
	sb_histogram_add(&histogram, -5);
	sb_histogram_add(&histogram, 250);
	sb_histogram_add(&histogram, 251);
	sb_histogram_add(&histogram, 60000000);
	sb_histogram_add(&histogram, 60000001);
	assert_int_equal(histogram.buckets[0], 2);
	assert_int_equal(histogram.buckets[1], 1);
	assert_int_equal(histogram.buckets[SB_LATENCY_BUCKETS - 1], 1);
	assert_int_equal(histogram.buckets[SB_LATENCY_BUCKETS], 1);
	assert_int_equal(histogram.sum_us, 250 + 251 + 60000000 + 60000001);
}

static void sessions_are_listed_a_page_at_a_time_in_the_order_they_came(void **state)
{
	struct world *world = world_new();
	struct client clients[5], ada;
	struct sb_session_info infos[3];

	(void)state;
	for (int i = 0; i < 5; i++)
		client_connect(&clients[i], world);
	client_hello(&ada, world, 3, "");
	client_said(&ada);
	assert_int_equal(sb_hub_list(world->hub, 0, infos, 3), 3);
	assert_string_equal(infos[0].name, "00000001-1");
	assert_string_equal(infos[0].state, "greeting");
	assert_int_equal(infos[0].device_id, 0);
	/* The last one of the page goes before the next page is asked for. */
	client_drop(&clients[2]);
	assert_int_equal(sb_hub_list(world->hub, infos[2].id, infos, 3), 3);
	assert_string_equal(infos[0].name, "00000001-4");
	assert_string_equal(infos[2].state, "live");
	assert_string_equal(infos[2].transport, "websocket");
	assert_int_equal(infos[2].device_id, 3);
	assert_int_equal(infos[2].mailbox_id, 2);
	assert_int_equal(sb_hub_list(world->hub, infos[2].id, infos, 3), 0);
	client_drop(&ada);
	for (int i = 0; i < 5; i++) {
		if (i != 2)
			client_drop(&clients[i]);
	}
	world_free(world);
}

static void a_kick_finds_its_session_by_the_whole_name_and_nobody_else(void **state)
{
	static const char *const wrong[] = {"",
					    "1",
					    "-1",
					    "00000001-",
					    "00000001-2",
					    "00000002-1",
					    "00000001-1x",
					    "00000001-01",
					    "00000001-18446744073709551617"};
	struct world *world = world_new();
	struct client ada;

	(void)state;
	client_hello(&ada, world, 1, "");
	client_said(&ada);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(sb_hub_kick(world->hub, wrong[i]), -ENOENT);
	assert_string_equal(client_said(&ada), "");
	assert_int_equal(sb_hub_kick(world->hub, "00000001-1"), 0);
	assert_string_equal(client_said(&ada), "goodbye draining; close 1012");
	assert_true(ada.come_back_ms >= 500);
	client_drop(&ada);
	assert_int_equal(sb_hub_kick(world->hub, "00000001-1"), -ENOENT);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_session_is_counted_in_its_state_on_its_whole_way),
		cmocka_unit_test(a_latency_counts_from_commit_and_only_while_live),
		cmocka_unit_test(
			of_a_burst_one_event_is_followed_until_it_is_acked_and_then_the_next),
		cmocka_unit_test(what_a_session_has_to_catch_up_with_is_counted_as_it_begins),
		cmocka_unit_test(a_full_window_makes_a_session_slow_and_an_ack_quick_again),
		cmocka_unit_test(what_was_followed_is_forgotten_by_a_reset),
		cmocka_unit_test(a_bucket_holds_its_bound_and_the_last_one_all_beyond),
		cmocka_unit_test(sessions_are_listed_a_page_at_a_time_in_the_order_they_came),
		cmocka_unit_test(a_kick_finds_its_session_by_the_whole_name_and_nobody_else),
	};

	return cmocka_run_group_tests_name("core: measure", tests, NULL, NULL);
}
