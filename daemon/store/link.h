/*
 * One asynchronous connection to PostgreSQL that comes back by itself.
 *
 * Where it stands: the lowest part of the store. listener and queries have one
 * each; both are told of it by the four calls below.
 *
 * A *round* tries every address of every host of the URL, one at a time, each
 * with a deadline of ours; between rounds it waits with full jitter. An attempt
 * has succeeded only when its user has set the connection up and said so
 * (sb_pg_link_established), so a server that accepts and stays mute, a standby
 * and a database without our schema are all just one failed attempt more.
 *
 * Never blocks: names are looked up in libuv's threads, and PQconnectPoll is
 * stepped strictly by readiness. Never logs a password.
 */
#ifndef SB_STORE_LINK_H
#define SB_STORE_LINK_H

#include "daemon/store/url.h"
#include <libpq-fe.h>
#include <stdint.h>
#include <uv.h>

struct sb_pg_link;
struct sb_pg_link_user;

struct sb_pg_link_ops {
	/* The server let us in. Set the connection up, then sb_pg_link_established() or _drop(). */
	void (*on_connected)(struct sb_pg_link_user *user);
	/* What PQgetResult gave; takes the result. NULL: the end of one statement's results. */
	void (*on_result)(struct sb_pg_link_user *user, PGresult *result);
	/* A notification, borrowed. NULL where nobody listens. */
	void (*on_notify)(struct sb_pg_link_user *user, const PGnotify *notify);
	/*
	 * An attempt failed, or the connection is lost; `why` in words, borrowed.
	 * What was sent and not answered never will be. The link tries again by itself.
	 */
	void (*on_down)(struct sb_pg_link_user *user, const char *why);
};

/* Users put it first in their own struct, which outlives the link. */
struct sb_pg_link_user {
	const struct sb_pg_link_ops *ops;
};

struct sb_pg_link_timing {
	uint32_t connect_ms; /* one attempt, from its first packet until established */
	uint32_t backoff_min_ms,
		backoff_max_ms; /* between rounds: random(0, min(max, min * 2^n)) */
};

/* Borrows `url` and `user` until closed. NULL when out of memory. */
struct sb_pg_link *sb_pg_link_new(uv_loop_t *loop, const struct sb_pg_url *url,
				  const struct sb_pg_link_timing *timing,
				  struct sb_pg_link_user *user);

/* Begins the first round in the loop's next turn. */
void sb_pg_link_start(struct sb_pg_link *link);

/* libpq's connection, from on_connected until on_down; else NULL. Nobody but the link reads from
 * it. */
PGconn *sb_pg_link_conn(struct sb_pg_link *link);

/* The user has set the connection up: the attempt's deadline is over. */
void sb_pg_link_established(struct sb_pg_link *link);

/*
 * Something was sent: give it to the socket, and go on when the socket takes
 * more. To be called after every PQsend*; a failure comes as on_down later.
 */
void sb_pg_link_flush(struct sb_pg_link *link);

/*
 * This connection is not good: on_down with this `why` follows in a later turn,
 * then the next host is tried. After an established one the next round begins
 * at the URL's first host. Nothing happens if there is no connection.
 */
void sb_pg_link_drop(struct sb_pg_link *link, const char *why);

/*
 * Ends all and frees the link; no callback after this but `on_closed`, in a
 * later turn. Accepts NULL: `on_closed` is not called then.
 */
void sb_pg_link_close(struct sb_pg_link *link, void (*on_closed)(struct sb_pg_link_user *user));

#endif
