/*
 * What the door has counted: who was turned away, and why. For status and
 * metrics.
 *
 * "Told": over TLS, with a time to come back: goodbye and close code on a
 * websocket, status and Retry-After in HTTP. "Closed": before TLS, without a
 * word, for a word would cost more than there is.
 */
#ifndef SB_EDGE_DOOR_STATS_H
#define SB_EDGE_DOOR_STATS_H

#include <stddef.h>
#include <stdint.h>

/*   name             word                 what was the matter */
#define SB_TURNED_AWAY(X)                                                                         \
	X(UNAUTHENTICATED, "unauthenticated", "told: sessions.unauthenticated_per_address")       \
	X(PER_ADDRESS, "per-address", "told: sessions.per_address")                               \
	X(FLOOD, "flood", "closed: more of its address wait than could come from all others")     \
	X(FULL, "full", "closed: far more connections than sessions.max")                         \
	X(ADDRESSES, "addresses", "closed: sessions.addresses")                                   \
	X(DESCRIPTORS, "descriptors", "closed: the process has no descriptor left")               \
	X(MEMORY, "memory", "closed: out of memory")                                              \
	X(PROXY_HEADER, "proxy-header", "closed: a trusted proxy sent no PROXY header version 2") \
	X(SLOW, "slow", "closed: no request in sessions.hello_seconds")

enum sb_turned_away {
#define SB_TURNED_AWAY_ENUM(name, word, what) SB_TURNED_AWAY_##name,
	SB_TURNED_AWAY(SB_TURNED_AWAY_ENUM)
#undef SB_TURNED_AWAY_ENUM
		SB_TURNED_AWAY_COUNT
};

struct sb_door_stats {
	size_t handshakes;	/* now: between accept and a request, in its place among them */
	size_t handshakes_peak; /* the most there were at once */
	size_t queued;		/* now: in the kernel, not accepted yet */
	size_t addresses;	/* now: in the table */
	uint64_t accepted;	/* since the start, as all below */
	uint64_t turned_away[SB_TURNED_AWAY_COUNT];
	uint64_t tokens_refused; /* bad, revoked or over */
	uint64_t tokens_held; /* of them: answered late, for there were too many of its address */
};

/* The word for metrics and log: a constant. */
const char *sb_turned_away_word(enum sb_turned_away reason);

#endif
