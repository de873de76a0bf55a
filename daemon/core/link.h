/*
 * What core asks of a client's connection.
 *
 * One of core's two seams (the other is store.h). Implemented by edge/ws, by
 * edge/stream, by edge/answer (whatever HTTP answers once) and by the unit
 * tests' world.
 *
 * Pull, not push: a session only wakes its link; the carrier takes what is
 * next with sb_session_pull() when its socket can be written. So a slow socket
 * holds a cursor, never a queue, and core is never entered twice.
 */
#ifndef SB_CORE_LINK_H
#define SB_CORE_LINK_H

#include <stdint.h>

struct sb_link;

/*   name        word in metrics and in /v1/reconnect */
#define SB_TRANSPORTS(X)          \
	X(WEBSOCKET, "websocket") \
	X(STREAM, "stream")       \
	X(POLL, "poll")

enum sb_transport {
#define SB_TRANSPORT_ENUM(name, word) SB_TRANSPORT_##name,
	SB_TRANSPORTS(SB_TRANSPORT_ENUM)
#undef SB_TRANSPORT_ENUM
		SB_TRANSPORT_COUNT
};

struct sb_link_ops {
	enum sb_transport transport;
	/*
	 * There may be something to pull. Remembered, not acted on: the carrier
	 * pulls later in the same turn of the loop or when the socket can be
	 * written, never from inside this call.
	 */
	void (*wake)(struct sb_link *link);
	/*
	 * The peer does not take its close: drop the connection without one.
	 * Remembered, not acted on, like a wake; sb_session_gone() follows.
	 */
	void (*cut)(struct sb_link *link);
	/*
	 * When one should come back of whom nobody knows who it is: a time of
	 * the hub's (sb_hub_return_ms()), unless it takes too many of them.
	 * NULL: always one of the hub's.
	 */
	uint32_t (*return_ms)(struct sb_link *link);
};

/* Implementers put it first in their own struct, which outlives the session. */
struct sb_link {
	const struct sb_link_ops *ops;
};

#endif
