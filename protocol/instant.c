/*
 * RFC 3339 in and out. Our own arithmetic: timegm() takes nonsense dates and
 * gmtime_r() may read the zone files.
 */
#include "protocol/instant.h"
#include <errno.h>
#include <string.h>

#define DAY_S	    86400
#define MICROS	    1000000
#define LOCAL_CHARS 19 /* "2026-11-24T10:00:00" */

struct moment {
	int year, month, day, hour, minute, second;
};

/* Days from 1970-01-01. The year is counted from March, so that the leap day is its last. */
static int64_t days_from_date(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = y / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The way back, for days of the years 1 to 9999. */
static void date_from_days(int64_t days, struct moment *m)
{
	int64_t d = days + 719468;
	int64_t era = d / 146097;
	int64_t day_of_era = d - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	m->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	m->month = (int)(month < 10 ? month + 3 : month - 9);
	m->year = (int)(year_of_era + era * 400 + (m->month <= 2));
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* A number of exactly `n` digits, or -1. */
static int digits(const char *text, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + text[i] - '0';
	}
	return value;
}

static int parse_local(const char text[LOCAL_CHARS], struct moment *m)
{
	*m = (struct moment){digits(text, 4),	   digits(text + 5, 2),	 digits(text + 8, 2),
			     digits(text + 11, 2), digits(text + 14, 2), digits(text + 17, 2)};
	if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
	    text[16] != ':')
		return -EINVAL;
	if (m->year < 1 || m->month < 1 || m->month > 12 || m->day < 1 ||
	    m->day > days_in_month(m->year, m->month))
		return -EINVAL;
	if (m->hour < 0 || m->hour > 23 || m->minute < 0 || m->minute > 59 || m->second < 0 ||
	    m->second > 59)
		return -EINVAL;
	return 0;
}

bool sb_local_time_valid(const char *text, size_t len)
{
	struct moment m;

	/* publish() of 0.1.0 took instants whose local time was hours beyond the year 9999. */
	if (len == LOCAL_CHARS + 1 && strncmp(text, "10000-", 6) == 0) {
		char within[LOCAL_CHARS + 1] = "9999";

		memcpy(within + 4, text + 5, LOCAL_CHARS - 4);
		return parse_local(within, &m) == 0;
	}
	return len == LOCAL_CHARS && parse_local(text, &m) == 0;
}

int sb_instant_parse(const char *text, size_t len, int64_t *ret_unix_us)
{
	struct moment m;
	int64_t seconds, fraction = 0;

	if (len < LOCAL_CHARS + 1 || len > SB_INSTANT_MAX || text[len - 1] != 'Z' ||
	    parse_local(text, &m) < 0)
		return -EINVAL;
	if (len > LOCAL_CHARS + 1) {
		int n = (int)len - LOCAL_CHARS - 2;

		fraction =
			n > 0 && text[LOCAL_CHARS] == '.' ? digits(text + LOCAL_CHARS + 1, n) : -1;
		if (fraction < 0)
			return -EINVAL;
		for (; n < 6; n++)
			fraction *= 10;
	}
	seconds = days_from_date(m.year, m.month, m.day) * DAY_S + m.hour * 3600 + m.minute * 60 +
		  m.second;
	*ret_unix_us = seconds * MICROS + fraction;
	return 0;
}

/* Writes `value` as exactly `n` digits and returns what follows them. */
static char *put(char *at, int value, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		at[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + n;
}

size_t sb_instant_format(int64_t unix_us, bool micros, char buffer[SB_INSTANT_MAX + 1])
{
	int64_t fraction = unix_us % MICROS, seconds = unix_us / MICROS, of_day;
	struct moment m;
	char *at = buffer;

	if (fraction < 0) {
		fraction += MICROS;
		seconds--;
	}
	if (seconds < SB_INSTANT_MIN_S)
		seconds = SB_INSTANT_MIN_S;
	else if (seconds > SB_INSTANT_MAX_S)
		seconds = SB_INSTANT_MAX_S;
	/* Days count from 0001-01-01 here, so that the division rounds down. */
	of_day = (seconds - SB_INSTANT_MIN_S) % DAY_S;
	date_from_days((seconds - of_day) / DAY_S, &m);
	at = put(at, m.year, 4);
	*at++ = '-';
	at = put(at, m.month, 2);
	*at++ = '-';
	at = put(at, m.day, 2);
	*at++ = 'T';
	at = put(at, (int)(of_day / 3600), 2);
	*at++ = ':';
	at = put(at, (int)(of_day / 60 % 60), 2);
	*at++ = ':';
	at = put(at, (int)(of_day % 60), 2);
	if (micros) {
		*at++ = '.';
		at = put(at, (int)fraction, 6);
	}
	*at++ = 'Z';
	*at = '\0';
	return (size_t)(at - buffer);
}
