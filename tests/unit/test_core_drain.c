/* The drain: who is told when, when they come back, and that nothing is lost on the way. */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define CROWD 1000

/* A world with room for many who have only connected, and a rate of return that can be counted. */
static struct world *crowded(struct client *crowd, size_t count, uint32_t return_per_second)
{
	struct sb_hub_config config;
	struct world *world;

	world_config(&config);
	config.max_sessions = CROWD;
	config.hello_ms = 600000;
	config.return_per_second = return_per_second;
	world = world_new_with(&config);
	for (size_t i = 0; i < count; i++)
		client_connect(&crowd[i], world);
	return world;
}

/* A tenth of a second passes; who is told is noted with the time at which it will be back. */
static size_t tick(struct world *world, struct client *crowd, size_t count, uint64_t *back_ms)
{
	size_t told = 0;

	world_pass(world, 100);
	for (size_t i = 0; i < count; i++) {
		if (back_ms[i] || !crowd[i].woken)
			continue;
		assert_string_equal(client_said(&crowd[i]), "goodbye draining; close 1012");
		back_ms[i] = world->now_ms + crowd[i].come_back_ms;
		told++;
	}
	return told;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void leave(struct world *world, struct client *crowd, size_t count)
{
	for (size_t i = 0; i < count; i++)
		client_drop(&crowd[i]);
	world_free(world);
}

static void
goodbyes_are_even_over_the_window_and_nobody_comes_back_faster_than_the_rate(void **state)
{
	struct client *crowd = calloc(CROWD, sizeof(*crowd));
	struct world *world = crowded(crowd, CROWD, 100);
	static uint64_t back_ms[CROWD];
	size_t told = 0;

	(void)state;
	sb_hub_drain(world->hub, 4000);
	for (int i = 1; i <= 40; i++) {
		size_t now = tick(world, crowd, CROWD, back_ms);

		assert_int_equal(now, CROWD / 40); /* 4 s for 1,000: 25 in a tenth of a second */
		told += now;
	}
	assert_int_equal(told, CROWD);
	qsort(back_ms, CROWD, sizeof(back_ms[0]), compare);
	for (size_t i = 100; i < CROWD; i++)
		assert_true(back_ms[i] - back_ms[i - 100] >= 1000 - 10); /* a slot is 10 ms wide */
	leave(world, crowd, CROWD);
	free(crowd);
}

static void few_are_told_at_the_rate_at_which_they_may_return_and_not_slower(void **state)
{
	struct client *crowd = calloc(100, sizeof(*crowd));
	struct world *world = crowded(crowd, 100, 500);
	static uint64_t back_ms[100];

	(void)state;
	sb_hub_drain(world->hub, 15000);
	assert_int_equal(tick(world, crowd, 100, back_ms), 50);
	assert_int_equal(tick(world, crowd, 100, back_ms), 50);
	leave(world, crowd, 100);
	free(crowd);
}

static void a_second_call_tells_all_that_are_left_now(void **state)
{
	struct client *crowd = calloc(100, sizeof(*crowd));
	struct world *world = crowded(crowd, 100, 1);
	static uint64_t back_ms[100];

	(void)state;
	sb_hub_drain(world->hub, 10000);
	assert_int_equal(tick(world, crowd, 100, back_ms), 1);
	sb_hub_drain(world->hub, 0);
	for (size_t i = 1; i < 100; i++)
		assert_string_equal(client_said(&crowd[i]), "goodbye draining; close 1012");
	leave(world, crowd, 100);
	free(crowd);
}

static void those_who_left_by_themselves_hold_up_nobody(void **state)
{
	struct client *crowd = calloc(100, sizeof(*crowd));
	struct world *world = crowded(crowd, 100, 1);
	static uint64_t back_ms[100];
	size_t told = 0;

	(void)state;
	sb_hub_drain(world->hub, 1000);
	for (size_t i = 0; i < 50; i++) {
		client_drop(&crowd[i]);
		back_ms[i] = 1;
	}
	for (int i = 0; i < 5; i++)
		told += tick(world, crowd, 100, back_ms);
	assert_int_equal(told, 50);
	leave(world, crowd + 50, 50);
	free(crowd);
}

/* Its goodbye is not taken: it stands in front of the others, who are told all the same. */
static void one_who_does_not_take_its_goodbye_holds_up_nobody(void **state)
{
	struct client *crowd = calloc(10, sizeof(*crowd));
	struct world *world = crowded(crowd, 10, 100);
	static uint64_t back_ms[10];

	(void)state;
	crowd[0].blocked = true;
	back_ms[0] = 1;
	sb_hub_drain(world->hub, 1000);
	assert_int_equal(tick(world, crowd, 10, back_ms), 9);
	world_pass(world, 5000);
	assert_true(crowd[0].cut);
	leave(world, crowd, 10);
	free(crowd);
}

static void who_is_not_told_yet_is_served_as_ever_and_who_comes_now_is_told_at_once(void **state)
{
	struct sb_hub_config config;
	struct world *world;
	struct client ada, grace, late;

	(void)state;
	world_config(&config);
	config.return_per_second = 1;
	world = world_new_with(&config);
	client_hello(&ada, world, 1, "");
	client_hello(&grace, world, 3, "");
	client_said(&ada);
	client_said(&grace);
	sb_hub_drain(world->hub, 2000);
	world_pass(world, 1000);
	assert_string_equal(client_said(&ada), "goodbye draining; close 1012");
	world_book(world, 2);
	assert_string_equal(client_said(&grace), "booking 1");
	client_connect(&late, world);
	assert_string_equal(client_said(&late), "goodbye draining; close 1012");
	client_ack(&grace, 1);
	world_pass(world, 1000);
	/* The ack was asked for before she was told, and is saved all the same. */
	assert_true(sb_hub_has_unsaved(world->hub));
	assert_string_equal(client_said(&grace), "goodbye draining; close 1012");
	assert_false(sb_hub_has_unsaved(world->hub));
	assert_int_equal(world->devices[3].acked, 1);
	assert_int_not_equal(ada.come_back_ms, grace.come_back_ms);
	client_drop(&ada);
	client_drop(&grace);
	client_drop(&late);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			goodbyes_are_even_over_the_window_and_nobody_comes_back_faster_than_the_rate),
		cmocka_unit_test(few_are_told_at_the_rate_at_which_they_may_return_and_not_slower),
		cmocka_unit_test(a_second_call_tells_all_that_are_left_now),
		cmocka_unit_test(those_who_left_by_themselves_hold_up_nobody),
		cmocka_unit_test(one_who_does_not_take_its_goodbye_holds_up_nobody),
		cmocka_unit_test(
			who_is_not_told_yet_is_served_as_ever_and_who_comes_now_is_told_at_once),
	};

	return cmocka_run_group_tests_name("core: drain", tests, NULL, NULL);
}
