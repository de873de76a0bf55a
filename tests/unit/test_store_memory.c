/*
 * Out of memory, at every allocation in turn: a question is refused or taken,
 * never half taken, and nothing leaks (AddressSanitizer looks).
 */
#include "daemon/store/pg.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

/* Allocations until one fails; -1: none does. */
static long countdown = -1;

static int fails(void)
{
	return countdown >= 0 && countdown-- == 0;
}

/* The linker sends everybody's allocations here (--wrap), those of libraries excepted. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : __real_strndup(text, len);
}

struct world {
	uv_loop_t loop;
	struct sb_pg_config config;
	struct sb_pg *pg;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	assert_int_equal(uv_loop_init(&world->loop), 0);
	sb_pg_config_defaults(&world->config);
	world->config.url = "postgresql://u:p@a.example.com:1,b.example.com:2/d";
	world->config.max_waiting = 5;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	sb_pg_close(world->pg, NULL, NULL);
	assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	free(world);
	return 0;
}

static void making_a_store_fails_cleanly_wherever_memory_ends(void **state)
{
	struct world *world = *state;
	long failed = 0;

	while (!world->pg) {
		countdown = failed;
		world->pg = sb_pg_new(&world->loop, &world->config, NULL);
		if (!world->pg)
			failed++;
		countdown = -1;
		assert_true(failed < 100);
	}
	/* The facade, the URL, two hosts' names and ports, listener, link, queries, four batches,
	 * room, link. */
	assert_true(failed >= 15);
}

static int ask_one(struct sb_store *store, int kind)
{
	const struct sb_failure failures[2] = {{.seq = 1}, {.seq = 2}};
	const struct sb_authenticate authenticate = {.session_id = 1, .device_id = 2};
	const struct sb_fetch fetch = {.mailbox_id = 3};
	const struct sb_save_ack ack = {.device_id = 4, .failed_count = 2, .failed = failures};
	const int64_t sent_us[2] = {1, 2};
	const struct sb_sent sent = {.device_id = 5, .first = 1, .count = 2, .us = sent_us};
	const struct sb_presence presence = {.session_id = 6, .device_id = 7};
	static int64_t device = 100;

	switch (kind) {
	case SB_PG_KIND_AUTHENTICATE:
		return store->ops->authenticate(store, &authenticate);
	case SB_PG_KIND_FETCH:
		return store->ops->fetch(store, &fetch);
	case SB_PG_KIND_ACK:
		return store->ops->save_ack(store, &ack);
	case SB_PG_KIND_SENT:
		return store->ops->sent(store, &sent);
	case SB_PG_KIND_PRESENCE:
		return store->ops->presence(store, &presence);
	default:
		return store->ops->recheck(store, device++);
	}
}

static void a_question_without_memory_is_not_asked(void **state)
{
	struct world *world = *state;

	world->pg = sb_pg_new(&world->loop, &world->config, NULL);
	assert_non_null(world->pg);
	for (int kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		const struct sb_pg_kind_counters *counters =
			&sb_pg_counters(world->pg)->kinds[kind];
		long failed = 0;
		int r;

		do {
			countdown = failed;
			r = ask_one(sb_pg_store(world->pg), kind);
			countdown = -1;
			assert_true(r == 0 || r == -ENOMEM);
			assert_int_equal(counters->asked, r == 0);
			failed += r != 0;
		} while (r != 0);
		assert_true(failed >= 1);
	}
	assert_int_equal(sb_pg_open_acks(world->pg), 1);
}

static void more_questions_than_may_wait_are_refused(void **state)
{
	struct world *world = *state;

	world->pg = sb_pg_new(&world->loop, &world->config, NULL);
	assert_non_null(world->pg);
	for (int kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		for (int i = 0; i < 5; i++)
			assert_int_equal(ask_one(sb_pg_store(world->pg), kind), 0);
		assert_int_equal(ask_one(sb_pg_store(world->pg), kind), -ENOMEM);
	}
}

static void a_device_that_waits_already_is_not_asked_twice(void **state)
{
	struct world *world = *state;

	world->pg = sb_pg_new(&world->loop, &world->config, NULL);
	assert_non_null(world->pg);
	assert_int_equal(sb_pg_reconcile(world->pg, 7), 0);
	assert_int_equal(sb_pg_reconcile(world->pg, 7), 0);
	assert_int_equal(sb_pg_counters(world->pg)->kinds[SB_PG_KIND_RECONCILE].asked, 1);
}

static void a_url_that_is_none_makes_no_store(void **state)
{
	struct world *world = *state;
	char why[128] = "";

	world->config.url = "nonsense";
	assert_null(sb_pg_new(&world->loop, &world->config, NULL));
	assert_int_equal(sb_pg_url_check("nonsense", why, sizeof(why)), -EINVAL);
	assert_int_equal(sb_pg_url_check("postgresql://u@h/d", why, sizeof(why)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(making_a_store_fails_cleanly_wherever_memory_ends,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_question_without_memory_is_not_asked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(more_questions_than_may_wait_are_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_device_that_waits_already_is_not_asked_twice,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_url_that_is_none_makes_no_store, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
