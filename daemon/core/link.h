/*
 * What core asks of a client's connection.
 *
 * One of core's two seams (the other is store.h). Implemented by edge/ws (and,
 * to come, edge/sse and edge/poll) and by the unit tests' world.
 *
 * Pull, not push: a session only wakes its link; the carrier takes what is
 * next with sb_session_pull() when its socket can be written. So a slow socket
 * holds a cursor, never a queue, and core is never entered twice.
 */
#ifndef SB_CORE_LINK_H
#define SB_CORE_LINK_H

struct sb_link;

struct sb_link_ops {
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
};

/* Implementers put it first in their own struct, which outlives the session. */
struct sb_link {
	const struct sb_link_ops *ops;
};

#endif
