/*
 * Memory that fails: out of memory costs one session, not the process, and
 * what was not acked comes again. The story is told again and again, each time
 * with another allocation of core's failing.
 */
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long allocations, fail_at;

static int fails(void)
{
	return fail_at && ++allocations == fail_at;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

static void tell_the_story(struct world *world)
{
	struct client ada, grace, rival;

	allocations = 0;
	client_hello(&ada, world, 1, ",\"cursor\":\"aaa.1\"");
	client_hello(&grace, world, 2, "");
	if (ada.session)
		client_said(&ada);
	if (grace.session)
		client_said(&grace);
	world_book(world, 1);
	for (int i = 0; i < 3; i++) {
		if (ada.session && !ada.close_code) {
			client_said(&ada);
			if (ada.last)
				client_ack(&ada, ada.last);
		}
		if (grace.session && !grace.close_code)
			client_said(&grace);
	}
	client_hello(&rival, world, 2, "");
	if (rival.session)
		client_said(&rival);
	client_drop(&rival);
	if (grace.session)
		sb_session_close(grace.session, SB_REASON_DRAINING);
	if (grace.session)
		client_said(&grace);
	client_drop(&ada);
	client_drop(&grace);
	world_settle(world);
}

static void any_failed_allocation_costs_one_session_at_the_most(void **state)
{
	long total;

	(void)state;
	fail_at = 0;
	for (long at = 1, end = 2; at < end; at++) {
		struct world *world = world_new();
		struct client ada;

		for (int i = 0; i < 3; i++)
			world_book(world, 1);
		fail_at = at;
		tell_the_story(world);
		total = allocations;
		fail_at = 0;
		end = total + 1;

		/* With memory again nothing is missing. */
		client_hello(&ada, world, 1, "");
		for (int i = 0; i < 10; i++) {
			client_said(&ada);
			if (ada.last)
				client_ack(&ada, ada.last);
		}
		assert_int_equal(world->devices[1].acked, 4);
		client_drop(&ada);
		world_free(world);
		if (end < at + 1)
			end = at + 1;
	}
	assert_true(total > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_failed_allocation_costs_one_session_at_the_most),
	};

	return cmocka_run_group_tests_name("core: memory", tests, NULL, NULL);
}
