/* Full jitter: ceilings, ends of the range, no overflow. */
#include "protocol/backoff.h"
#include "test_protocol_help.h"

static void the_ceiling_doubles_up_to_the_maximum(void **state)
{
	const uint32_t ceilings[] = {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 500, 60000);
	for (size_t i = 0; i < sizeof(ceilings) / sizeof(*ceilings); i++)
		assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX), ceilings[i]);
}

static void the_least_wait_is_none_at_all(void **state)
{
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 500, 60000);
	for (int i = 0; i < 40; i++)
		assert_int_equal(sb_backoff_next(&backoff, 0), 0);
}

static void the_wait_is_spread_evenly(void **state)
{
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 1000, 60000);
	assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX / 2), 500);
	sb_backoff_reset(&backoff);
	assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX / 4), 250);
}

static void a_success_begins_anew(void **state)
{
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 500, 60000);
	for (int i = 0; i < 5; i++)
		(void)sb_backoff_next(&backoff, 1);
	sb_backoff_reset(&backoff);
	assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX), 500);
}

static void a_million_failures_do_not_overflow(void **state)
{
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 1, UINT32_MAX);
	for (int i = 0; i < 1000000; i++) {
		uint32_t wait = sb_backoff_next(&backoff, UINT32_MAX);

		assert_int_equal(wait, i < 32 ? (uint32_t)(1ULL << i) : UINT32_MAX);
	}
	backoff.failures = UINT32_MAX;
	assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX), UINT32_MAX);
	assert_int_equal(backoff.failures, UINT32_MAX);
}

static void a_minimum_above_the_maximum_is_held_to_it(void **state)
{
	struct sb_backoff backoff;

	(void)state;
	sb_backoff_init(&backoff, 5000, 100);
	assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX), 100);
	sb_backoff_init(&backoff, 0, 100);
	for (int i = 0; i < 40; i++)
		assert_int_equal(sb_backoff_next(&backoff, UINT32_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_ceiling_doubles_up_to_the_maximum),
		TEST(the_least_wait_is_none_at_all),
		TEST(the_wait_is_spread_evenly),
		TEST(a_success_begins_anew),
		TEST(a_million_failures_do_not_overflow),
		TEST(a_minimum_above_the_maximum_is_held_to_it),
	};

	return cmocka_run_group_tests_name("protocol/backoff", tests, NULL, NULL);
}
