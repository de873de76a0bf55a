/*
 * Messages between two processes of slotbellctl over pipes: a kind, a length
 * and bytes. Neither side waits beyond its deadline, and neither takes a message
 * that is longer than it expects: the other one may be in a stranger's hands.
 */
#ifndef SB_CTL_CHANNEL_H
#define SB_CTL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_channel {
	int in, out; /* neither blocks; -1: closed */
};

/* False: it is broken, or the deadline has passed. */
bool sb_channel_send(const struct sb_channel *channel, char kind, const void *bytes, size_t len,
		     int64_t deadline_ms);

/* A message's bytes with a terminator behind them, to be freed; NULL: as above, or too long. */
char *sb_channel_receive(const struct sb_channel *channel, size_t max, char *ret_kind,
			 size_t *ret_len, int64_t deadline_ms);

#endif
