/*
 * EPOCH.SEQ: the last event that a device has dealt with.
 *
 * epoch names the history that seq counts in; a new one after a failover or a
 * restore. seq 0 is "before the first event".
 */
#ifndef SB_PROTOCOL_CURSOR_H
#define SB_PROTOCOL_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_EPOCH_MAX  15		      /* 1 to 15 of [a-z0-9] */
#define SB_CURSOR_MAX (SB_EPOCH_MAX + 1 + 19) /* and seq has no sign and no leading zero */

struct sb_epoch {
	char text[SB_EPOCH_MAX + 1]; /* NUL-terminated */
};

struct sb_cursor {
	struct sb_epoch epoch;
	int64_t seq;
};

/* 0, or -EINVAL when `text` (`len` bytes, no terminator needed) is no epoch. */
int sb_epoch_parse(const char *text, size_t len, struct sb_epoch *ret_epoch);

bool sb_epoch_equal(const struct sb_epoch *a, const struct sb_epoch *b);

/* 0, or -EINVAL: not EPOCH.SEQ; seq beyond 2^63-1 included. *ret_cursor is untouched then. */
int sb_cursor_parse(const char *text, size_t len, struct sb_cursor *ret_cursor);

/* Writes the cursor with a terminator and returns its length without it. */
size_t sb_cursor_format(const struct sb_cursor *cursor, char buffer[SB_CURSOR_MAX + 1]);

#endif
