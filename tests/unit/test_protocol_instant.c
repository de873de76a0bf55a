/* RFC 3339, strictly. The C library's calendar is the judge of ours. */
#include "protocol/instant.h"
#include "test_protocol_help.h"
#include <time.h>

static int parse(const char *text, int64_t *ret_us)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, text, len);
	result = sb_instant_parse(exact, len, ret_us);
	free(exact);
	return result;
}

static void an_instant_is_read_to_the_microsecond(void **state)
{
	const struct {
		const char *text;
		int64_t us;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-24T09:00:00Z", 1795510800000000},
		{"2026-11-23T09:12:44.123456Z", 1795425164123456},
		{"2026-11-23T09:12:44.5Z", 1795425164500000},
		{"1969-12-31T23:59:59.999999Z", -1},
		{"2000-02-29T00:00:00Z", 951782400000000},
		{"0001-01-01T00:00:00Z", SB_INSTANT_MIN_S * 1000000},
		{"9999-12-31T23:59:59Z", SB_INSTANT_MAX_S * 1000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		int64_t us = 0;

		assert_int_equal(parse(good[i].text, &us), 0);
		assert_int_equal(us, good[i].us);
	}
}

static void what_is_no_instant_in_utc_is_refused(void **state)
{
	const char *const bad[] = {
		"",
		"Z",
		"2026-11-24",
		"2026-11-24T09:00:00",
		"2026-11-24T09:00Z",
		"2026-11-24 09:00:00Z",
		"2026-11-24t09:00:00Z",
		"2026-11-24T09:00:00z",
		"2026-11-24T09:00:00+00:00",
		"2026-11-24T09:00:00-00:00",
		"2026-11-24T09:00:00.Z",
		"2026-11-24T09:00:00,5Z",
		"2026-11-24T09:00:00.1234567Z",
		"2026-11-24T09:00:00.12a456Z",
		"2026-11-24T24:00:00Z",
		"2026-11-24T23:60:00Z",
		"2026-12-31T23:59:60Z",
		"2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-00-10T00:00:00Z",
		"2026-13-10T00:00:00Z",
		"2026-10-00T00:00:00Z",
		"2026-10-32T00:00:00Z",
		"0000-01-01T00:00:00Z",
		"-001-01-01T00:00:00Z",
		"02026-1-01T00:00:00Z",
		" 2026-11-24T09:00:00Z",
		"2026-11-24T09:00:00ZZ",
		"2026-11-24T+9:00:00Z",
		"2026/11/24T09:00:00Z",
		"2026-11-24T09.00.00Z",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int64_t us = 7;

		assert_int_equal(parse(bad[i], &us), -EINVAL);
		assert_int_equal(us, 7);
	}
}

static void every_day_of_ten_thousand_years_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t s = SB_INSTANT_MIN_S; s <= SB_INSTANT_MAX_S; s += 86400) {
		/* another time of day every day, and its last second now and then */
		int64_t at = s + (s / 86400 % 86400 + 86400) % 86400, us = 0;
		time_t t = (time_t)at;
		char expected[64], buffer[SB_INSTANT_MAX + 1];
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		(void)snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			       tm.tm_sec);
		(void)sb_instant_format(at * 1000000, false, buffer);
		if (strcmp(buffer, expected) != 0)
			fail_msg("%s instead of %s", buffer, expected);
		if (sb_instant_parse(buffer, strlen(buffer), &us) < 0 || us != at * 1000000)
			fail_msg("%s does not come back", buffer);
	}
}

static void microseconds_come_back_the_same(void **state)
{
	const int64_t instants[] = {0, -1, 1, 999999, -1000000, -999999, 1795425164123456};

	(void)state;
	for (size_t i = 0; i < sizeof(instants) / sizeof(*instants); i++) {
		char buffer[SB_INSTANT_MAX + 1];
		int64_t us = 0;

		assert_int_equal(sb_instant_format(instants[i], true, buffer), SB_INSTANT_MAX);
		assert_int_equal(sb_instant_parse(buffer, SB_INSTANT_MAX, &us), 0);
		assert_int_equal(us, instants[i]);
	}
}

static void without_micros_the_second_before_is_written(void **state)
{
	char buffer[SB_INSTANT_MAX + 1];

	(void)state;
	assert_int_equal(sb_instant_format(999999, false, buffer), 20);
	assert_string_equal(buffer, "1970-01-01T00:00:00Z");
	(void)sb_instant_format(-1, false, buffer);
	assert_string_equal(buffer, "1969-12-31T23:59:59Z");
}

static void what_no_text_can_say_is_held_to_the_years_that_it_can(void **state)
{
	char buffer[SB_INSTANT_MAX + 1];

	(void)state;
	(void)sb_instant_format(INT64_MAX, false, buffer);
	assert_string_equal(buffer, "9999-12-31T23:59:59Z");
	(void)sb_instant_format(INT64_MIN, false, buffer);
	assert_string_equal(buffer, "0001-01-01T00:00:00Z");
}

static void a_local_time_has_no_zone(void **state)
{
	(void)state;
	assert_true(sb_local_time_valid("2026-11-24T10:00:00", 19));
	assert_false(sb_local_time_valid("2026-11-24T10:00:00Z", 20));
	assert_false(sb_local_time_valid("2026-11-24T10:00", 16));
	assert_false(sb_local_time_valid("2026-11-24T25:00:00", 19));
	assert_false(sb_local_time_valid("", 0));
	assert_true(sb_local_time_valid("10000-01-01T13:59:59", 20));
	assert_false(sb_local_time_valid("10000-01-01T13:59:5", 19));
	assert_false(sb_local_time_valid("10000-01-01T24:59:59", 20));
	assert_false(sb_local_time_valid("10001-01-01T13:59:59", 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_instant_is_read_to_the_microsecond),
		TEST(what_is_no_instant_in_utc_is_refused),
		TEST(every_day_of_ten_thousand_years_agrees_with_the_c_library),
		TEST(microseconds_come_back_the_same),
		TEST(without_micros_the_second_before_is_written),
		TEST(what_no_text_can_say_is_held_to_the_years_that_it_can),
		TEST(a_local_time_has_no_zone),
	};

	return cmocka_run_group_tests_name("protocol/instant", tests, NULL, NULL);
}
