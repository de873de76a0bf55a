/*
 * Times as people type them. Only their form is read here; what they mean, and
 * whether there is such a day, is PostgreSQL's to say.
 */
#ifndef SB_CTL_WHEN_H
#define SB_CTL_WHEN_H

#include <stdbool.h>

enum sb_time_form {
	SB_TIME_BAD,
	SB_TIME_INSTANT, /* RFC 3339: 2026-11-24T10:00:00+01:00, with Z, or a space for T */
	SB_TIME_LOCAL,	 /* the same without an offset: the time on a clock somewhere */
};

/* Seconds may be left out, and may have a fraction. */
enum sb_time_form sb_time_form(const char *text);

/* When a token ends. Both NULL: never. */
struct sb_expiry {
	const char *instant; /* RFC 3339; borrowed from what was typed */
	char interval[32];   /* "90 days", from now on; or "" */
};

/* "never", RFC 3339, or a number of days or hours from now: 90d, 12h. False: none of these. */
bool sb_expiry_parse(const char *text, struct sb_expiry *ret_expiry);

/*
 * The name of this system's time zone, from TZ, /etc/timezone or
 * /etc/localtime; "UTC" when it cannot be known. Valid until the next call.
 */
const char *sb_system_time_zone(void);

#endif
