/*
 * Hears the bell: LISTEN on a connection of its own, never in a transaction.
 *
 * Where it stands: the first step of a booking's way through the daemon. It
 * turns a notification into "look" for the hub, and never believes more of it
 * than the id.
 *
 * A LISTEN that died silently is what nobody notices, so it proves itself: a
 * notification to its own channel every ping_every_ms, which must come back
 * within ping_deadline_ms, else the connection is made anew.
 */
#ifndef SB_STORE_LISTENER_H
#define SB_STORE_LISTENER_H

#include "daemon/store/url.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct sb_pg;
struct sb_pg_listener;

/* Borrows `pg` and `url` until closed. NULL when out of memory. */
struct sb_pg_listener *sb_pg_listener_new(uv_loop_t *loop, struct sb_pg *pg,
					  const struct sb_pg_url *url);
void sb_pg_listener_start(struct sb_pg_listener *listener);

/*
 * Somebody else will send a notification as a proof: writes the statement to
 * send. sb_pg_on_proved() when it comes; else the listener goes down.
 */
void sb_pg_listener_expect(struct sb_pg_listener *listener, char *ret_statement, size_t size);

/* During sb_pg_on_listener_down(): whether it went down because a proof did not come in time. */
bool sb_pg_listener_proof_failed(const struct sb_pg_listener *listener);

/* Whether the server's process has another number than the one we talk to: a pooler stands between.
 */
bool sb_pg_listener_is_pooled(const struct sb_pg_listener *listener);

/* Frees; `on_closed` in a later turn. Accepts NULL: on_closed is not called then. */
void sb_pg_listener_close(struct sb_pg_listener *listener, void (*on_closed)(struct sb_pg *pg));

#endif
