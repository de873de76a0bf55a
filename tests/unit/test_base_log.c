/* How many lines the log takes: each limit at, below and above; and what it tells of the rest. */
#include "daemon/base/log.h"
#include "daemon/base/log_limit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
/* after its standard headers */
#include <cmocka.h>

/* ---- the limit by itself ---- */

static unsigned int take(struct sb_log_limit *limit, unsigned int count, uint64_t now_ms)
{
	unsigned int taken = 0;
	uint64_t suppressed;

	for (unsigned int i = 0; i < count; i++)
		taken += sb_log_limit_take(limit, now_ms, &suppressed);
	return taken;
}

static void so_many_lines_go_out_and_no_more(void **state)
{
	struct sb_log_limit limit = {.max = SB_LOG_LINES_MAX};

	(void)state;
	assert_int_equal(take(&limit, SB_LOG_LINES_MAX - 1, 1000), SB_LOG_LINES_MAX - 1);
	assert_int_equal(take(&limit, 1, 1000), 1);
	assert_int_equal(take(&limit, 1, 1000), 0);
	assert_int_equal(limit.suppressed, 1);
}

static void a_window_ends_and_the_next_one_tells_of_it(void **state)
{
	struct sb_log_limit limit = {.max = SB_LOG_LINES_MAX};
	uint64_t suppressed;

	(void)state;
	(void)take(&limit, SB_LOG_LINES_MAX + 7, 1000);
	assert_false(sb_log_limit_take(&limit, 1000 + SB_LOG_WINDOW_MS - 1, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_true(sb_log_limit_take(&limit, 1000 + SB_LOG_WINDOW_MS, &suppressed));
	assert_int_equal(suppressed, 8);
	/* A whole one again, from there on. */
	assert_int_equal(take(&limit, SB_LOG_LINES_MAX, 1001 + SB_LOG_WINDOW_MS),
			 SB_LOG_LINES_MAX - 1);
}

static void what_was_suppressed_is_told_though_no_line_follows(void **state)
{
	struct sb_log_limit limit = {.max = SB_LOG_LINES_MAX};

	(void)state;
	(void)take(&limit, SB_LOG_LINES_MAX + 3, 1000);
	assert_int_equal(sb_log_limit_settle(&limit, 1000 + SB_LOG_WINDOW_MS - 1), 0);
	assert_int_equal(sb_log_limit_settle(&limit, 1000 + SB_LOG_WINDOW_MS), 3);
	assert_int_equal(sb_log_limit_settle(&limit, 1000 + 9 * SB_LOG_WINDOW_MS), 0);
}

static void lines_that_come_slowly_have_no_limit(void **state)
{
	struct sb_log_limit limit = {.max = SB_LOG_LINES_MAX};

	(void)state;
	for (uint64_t window = 0; window < 10; window++)
		assert_int_equal(take(&limit, SB_LOG_LINES_MAX, 5 + window * SB_LOG_WINDOW_MS),
				 SB_LOG_LINES_MAX);
}

/* ---- the log with it ---- */

static uint64_t the_ms = 1000; /* by the log's clock, which stands still but for pass() */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	(void)clock;
	ret_now->tv_sec = (time_t)(the_ms / 1000);
	ret_now->tv_nsec = (long)(the_ms % 1000) * 1000000;
	return 0;
}

struct seen {
	unsigned int lines;
	enum sb_log_level last_level;
	char last_event[64], last_fields[200];
};

static void note(void *data, enum sb_log_level level, const char *event, const char *fields)
{
	struct seen *seen = data;

	seen->lines++;
	seen->last_level = level;
	(void)snprintf(seen->last_event, sizeof(seen->last_event), "%s", event);
	(void)snprintf(seen->last_fields, sizeof(seen->last_fields), "%s", fields);
}

/* In a window of its own, which has nothing to tell of the one before. */
static void begin(struct seen *seen)
{
	sb_log_set_sink(note, seen);
	the_ms += SB_LOG_WINDOW_MS;
	sb_log_tick();
	*seen = (struct seen){0};
}

static void say(const char *event, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sb_log(SB_LOG_INFO, event, "n=%u", i);
}

static void check_limit(const char *event, unsigned int max)
{
	uint64_t before = sb_log_suppressed();
	struct seen seen;

	begin(&seen);
	say(event, max - 1);
	assert_int_equal(seen.lines, max - 1);
	say(event, 1);
	assert_int_equal(seen.lines, max);
	say(event, 3);
	assert_int_equal(seen.lines, max);
	assert_int_equal(sb_log_suppressed() - before, 3);
	sb_log_set_sink(NULL, NULL);
}

static void lines_of_a_kind_have_a_limit_and_those_of_sessions_a_wider_one(void **state)
{
	(void)state;
	check_limit("client refused", SB_LOG_LINES_MAX);
	check_limit("session ended", SB_LOG_SESSION_LINES_MAX);
}

static void one_kind_of_line_does_not_silence_another(void **state)
{
	struct seen seen;

	(void)state;
	begin(&seen);
	say("client refused", SB_LOG_LINES_MAX + 100);
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX);
	sb_log(SB_LOG_WARNING, "database down", "reason=x");
	assert_string_equal(seen.last_event, "database down");
	sb_log_set_sink(NULL, NULL);
}

static void what_was_suppressed_is_told_by_the_next_line_or_a_tick_and_once(void **state)
{
	struct seen seen;

	(void)state;
	begin(&seen);
	say("client refused", SB_LOG_LINES_MAX + 7);
	the_ms += SB_LOG_WINDOW_MS - 1;
	sb_log_tick();
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX);
	the_ms++;
	sb_log_tick();
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 1);
	assert_int_equal(seen.last_level, SB_LOG_WARNING);
	assert_string_equal(seen.last_event, "log lines suppressed");
	assert_string_equal(seen.last_fields, "kind=\"client refused\" count=7 seconds=5");
	sb_log_tick();
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 1);

	begin(&seen);
	say("client refused", SB_LOG_LINES_MAX + 1);
	the_ms += SB_LOG_WINDOW_MS;
	say("client refused", 1);
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 2);
	assert_string_equal(seen.last_event, "client refused");
	sb_log_tick();
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 2);
	sb_log_set_sink(NULL, NULL);
}

/* Last, for the kinds of a process are never forgotten. */
static void a_kind_beyond_those_that_are_counted_has_no_limit(void **state)
{
	static char events[SB_LOG_KINDS_MAX + 1][16];
	struct seen seen;
	unsigned int counted = 0;

	(void)state;
	begin(&seen);
	for (size_t i = 0; i <= SB_LOG_KINDS_MAX; i++) {
		(void)snprintf(events[i], sizeof(events[i]), "kind %zu", i);
		seen.lines = 0;
		say(events[i], SB_LOG_LINES_MAX + 1);
		if (seen.lines == SB_LOG_LINES_MAX)
			assert_int_equal(++counted, i + 1);
		else
			assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 1);
	}
	/* The tests before had a few of the places. */
	assert_in_range(counted, SB_LOG_KINDS_MAX - 10, SB_LOG_KINDS_MAX - 1);
	sb_log_set_sink(NULL, NULL);
}

static void debug_lines_have_no_limit(void **state)
{
	struct seen seen;

	(void)state;
	begin(&seen);
	sb_log_set_level(SB_LOG_DEBUG);
	for (unsigned int i = 0; i < SB_LOG_LINES_MAX + 100; i++)
		sb_log(SB_LOG_DEBUG, "detail", "n=%u", i);
	assert_int_equal(seen.lines, SB_LOG_LINES_MAX + 100);
	sb_log_set_level(SB_LOG_INFO);
	sb_log_set_sink(NULL, NULL);
}

static void control_characters_cannot_begin_another_line(void **state)
{
	struct seen seen;

	(void)state;
	begin(&seen);
	sb_log(SB_LOG_INFO, "words", "text=\"a\nMESSAGE=b\t\x7f\"");
	assert_string_equal(seen.last_fields, "text=\"a MESSAGE=b  \"");
	sb_log_set_sink(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_lines_go_out_and_no_more),
		cmocka_unit_test(a_window_ends_and_the_next_one_tells_of_it),
		cmocka_unit_test(what_was_suppressed_is_told_though_no_line_follows),
		cmocka_unit_test(lines_that_come_slowly_have_no_limit),
		cmocka_unit_test(lines_of_a_kind_have_a_limit_and_those_of_sessions_a_wider_one),
		cmocka_unit_test(one_kind_of_line_does_not_silence_another),
		cmocka_unit_test(what_was_suppressed_is_told_by_the_next_line_or_a_tick_and_once),
		cmocka_unit_test(debug_lines_have_no_limit),
		cmocka_unit_test(control_characters_cannot_begin_another_line),
		cmocka_unit_test(a_kind_beyond_those_that_are_counted_has_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
