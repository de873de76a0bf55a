/* Coming back: the answers together hold the rate, each lies between the two bounds. */
#include "daemon/core/admission.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define ANSWERS 10000

/* Reproducible chance. */
static uint32_t chance(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* The most that come within any span of `ms` (the first included), of all that come at `times`. */
static size_t busiest(uint64_t *times, size_t count, uint64_t ms)
{
	size_t most = 0, from = 0;

	qsort(times, count, sizeof(*times), compare);
	for (size_t to = 0; to < count; to++) {
		while (times[to] - times[from] >= ms)
			from++;
		if (to - from + 1 > most)
			most = to - from + 1;
	}
	return most;
}

/*
 * Ten thousand ask, each at a time of its own up to `within_ms`. The rate holds
 * in every second, with the one more that jitter can move over its edge.
 */
static void holds_the_rate(uint32_t per_second, uint32_t within_ms, uint32_t seed)
{
	struct sb_admission admission = {0};
	uint64_t asked[ANSWERS], come[ANSWERS];
	uint64_t last = 0;

	for (size_t i = 0; i < ANSWERS; i++)
		asked[i] = 1000 + (within_ms ? chance(&seed) % within_ms : 0);
	qsort(asked, ANSWERS, sizeof(*asked), compare);
	for (size_t i = 0; i < ANSWERS; i++) {
		uint32_t answer =
			sb_admission_return_ms(&admission, asked[i], per_second, chance(&seed));

		assert_in_range(answer, SB_RETURN_MIN_MS, SB_RETURN_MAX_MS);
		come[i] = asked[i] + answer;
		assert_true(come[i] >= last); /* first asked, first back */
		last = come[i];
	}
	assert_in_range(busiest(come, ANSWERS, 1000), 1, per_second + 1);
}

static void any_ten_thousand_answers_hold_the_rate(void **state)
{
	const uint32_t rates[] = {17, 20, 333, 500, 1000, 3000, 60000, 100000};
	const uint32_t times[] = {0, 1, 1000, 20000, 600000};

	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(*rates); r++) {
		for (size_t t = 0; t < sizeof(times) / sizeof(*times); t++) {
			for (uint32_t seed = 1; seed <= 3; seed++)
				holds_the_rate(rates[r], times[t], seed);
		}
	}
}

/* No slot is left empty while somebody waits: ten thousand at 500/s are back after 20 seconds. */
static void a_crowd_is_back_as_soon_as_the_rate_allows(void **state)
{
	struct sb_admission admission = {0};
	uint32_t answer = 0;

	(void)state;
	for (size_t i = 0; i < ANSWERS; i++)
		answer = sb_admission_return_ms(&admission, 5000, 500, UINT32_MAX);
	assert_int_equal(answer, SB_RETURN_MIN_MS + 20000 - 1);
}

static void one_alone_waits_the_least_there_is(void **state)
{
	struct sb_admission admission = {0};

	(void)state;
	assert_int_equal(sb_admission_return_ms(&admission, 0, 500, 0), SB_RETURN_MIN_MS);
	/* long after: slots that nobody took are not owed */
	assert_int_equal(sb_admission_return_ms(&admission, 86400000, 500, 0), SB_RETURN_MIN_MS);
	assert_int_equal(sb_admission_return_ms(&admission, 86400000, 500, 0),
			 SB_RETURN_MIN_MS + 2);
}

static void jitter_stays_within_the_slot(void **state)
{
	struct sb_admission admission = {0};

	(void)state;
	assert_int_equal(sb_admission_return_ms(&admission, 0, 10, UINT32_MAX),
			 SB_RETURN_MIN_MS + 99);
	assert_int_equal(sb_admission_return_ms(&admission, 0, 10, 0), SB_RETURN_MIN_MS + 100);
	assert_int_equal(sb_admission_return_ms(&admission, 0, 10, UINT32_MAX / 2),
			 SB_RETURN_MIN_MS + 249);
}

/* At one a second the last slot that ends within ten minutes is the 599th; then no more are given.
 */
static void when_the_timetable_is_full_answers_are_late_and_take_no_slot(void **state)
{
	struct sb_admission admission = {0};
	uint32_t answer = 0;
	uint64_t next_us;

	(void)state;
	for (size_t i = 0; i < 599; i++)
		answer = sb_admission_return_ms(&admission, 0, 1, 0);
	assert_int_equal(answer, SB_RETURN_MIN_MS + 598000);
	next_us = admission.next_us;
	assert_int_equal(sb_admission_return_ms(&admission, 0, 1, 0), SB_RETURN_MAX_MS / 2);
	assert_int_equal(sb_admission_return_ms(&admission, 0, 1, UINT32_MAX), SB_RETURN_MAX_MS);
	assert_int_equal(admission.next_us, next_us);
	/* a second later the next slot is within reach */
	assert_int_equal(sb_admission_return_ms(&admission, 1000, 1, 0), SB_RETURN_MIN_MS + 598000);
}

static void a_changed_rate_holds_for_what_is_given_from_then_on(void **state)
{
	struct sb_admission admission = {0};

	(void)state;
	(void)sb_admission_return_ms(&admission, 0, 1, 0);
	assert_int_equal(sb_admission_return_ms(&admission, 0, 1000, 0), SB_RETURN_MIN_MS + 1000);
	assert_int_equal(sb_admission_return_ms(&admission, 0, 1000, 0), SB_RETURN_MIN_MS + 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_ten_thousand_answers_hold_the_rate),
		cmocka_unit_test(a_crowd_is_back_as_soon_as_the_rate_allows),
		cmocka_unit_test(one_alone_waits_the_least_there_is),
		cmocka_unit_test(jitter_stays_within_the_slot),
		cmocka_unit_test(when_the_timetable_is_full_answers_are_late_and_take_no_slot),
		cmocka_unit_test(a_changed_rate_holds_for_what_is_given_from_then_on),
	};

	return cmocka_run_group_tests_name("core: coming back when told", tests, NULL, NULL);
}
