/*
 * Instants as RFC 3339 text in UTC, the only spelling on the wire:
 * "2026-11-24T09:00:00Z", with up to six digits of fraction where it matters.
 *
 * Strict: capital T and Z, no offset, no leap second (neither Unix time nor
 * PostgreSQL has any; the server never sends one), proleptic Gregorian
 * calendar, years 0001 to 9999.
 */
#ifndef SB_PROTOCOL_INSTANT_H
#define SB_PROTOCOL_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_INSTANT_MAX	 27		/* characters: "2026-11-23T09:12:44.123456Z" */
#define SB_INSTANT_MIN_S (-62135596800) /* 0001-01-01T00:00:00Z, Unix time in seconds */
#define SB_INSTANT_MAX_S 253402300799	/* 9999-12-31T23:59:59Z */

/* 0 and Unix time in microseconds, or -EINVAL; more than six digits of fraction included. */
int sb_instant_parse(const char *text, size_t len, int64_t *ret_unix_us);

/*
 * Writes the instant with a terminator and returns its length without it. With
 * `micros`: six digits of fraction, else it is cut to the second before. Beyond
 * the years that the text can say it gives the first or last second of them.
 */
size_t sb_instant_format(int64_t unix_us, bool micros, char buffer[SB_INSTANT_MAX + 1]);

/*
 * Whether this is a date and time of day without a zone: "2026-11-24T10:00:00".
 * The year 10000 is one: ahead of UTC it begins in the last hours of 9999.
 */
bool sb_local_time_valid(const char *text, size_t len);

#endif
