/*
 * All kinds of questions on one pipelined connection.
 *
 * Where it stands: core asks through pg.c; answers go straight to the hub.
 * Of each kind at most one statement is in flight; what arrives meanwhile, and
 * all that one turn of the loop asks, shares the next. When there is much to
 * ask, statements keep a distance (pace.h). Each statement has its
 * own Sync, so an error rolls back that statement alone, and nothing is
 * answered before its Sync, for only then is it committed.
 *
 * Never drops a question: a lost connection puts those in flight back in front.
 */
#ifndef SB_STORE_QUERIES_H
#define SB_STORE_QUERIES_H

#include "daemon/core/store.h"
#include "daemon/store/pg.h"
#include "daemon/store/url.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct sb_pg;
struct sb_pg_queries;

/* Borrows `pg` and `url` until closed. NULL when out of memory. */
struct sb_pg_queries *sb_pg_queries_new(uv_loop_t *loop, struct sb_pg *pg,
					const struct sb_pg_url *url);
void sb_pg_queries_start(struct sb_pg_queries *queries);

/* As struct sb_store_ops has them. */
int sb_pg_queries_authenticate(struct sb_pg_queries *queries,
			       const struct sb_authenticate *question);
int sb_pg_queries_fetch(struct sb_pg_queries *queries, const struct sb_fetch *question);
int sb_pg_queries_save_ack(struct sb_pg_queries *queries, const struct sb_save_ack *question);
int sb_pg_queries_recheck(struct sb_pg_queries *queries, int64_t device_id);
int sb_pg_queries_sent(struct sb_pg_queries *queries, const struct sb_sent *news);
int sb_pg_queries_presence(struct sb_pg_queries *queries, const struct sb_presence *news);
/* Renews the lease under which our sessions are on, unless news of them are about to. */
void sb_pg_queries_renew(struct sb_pg_queries *queries);

/* Rechecks all that the hub holds, from the start, in chunks; sb_pg_on_reconciled() at the end. */
void sb_pg_queries_reconcile_all(struct sb_pg_queries *queries);

/* Sends a statement of its own, a proof for the listener. Only while ready. */
void sb_pg_queries_send(struct sb_pg_queries *queries, const char *statement);

/* Asks how full the queue of notifications is: of interest in itself, and a sign of life, so that a
 * silent death is noticed before it matters. Only while ready. */
void sb_pg_queries_ping(struct sb_pg_queries *queries);

/* The server process that makes our notifications; 0 while not ready. */
int sb_pg_queries_backend(const struct sb_pg_queries *queries);

size_t sb_pg_queries_open(const struct sb_pg_queries *queries, enum sb_pg_kind kind);
/* As sb_pg_flush_then(). */
void sb_pg_queries_flush_then(struct sb_pg_queries *queries, void (*on_flushed)(void *data),
			      void *data);

void sb_pg_queries_drop(struct sb_pg_queries *queries, const char *why);

/* Frees; `on_closed` in a later turn. Accepts NULL: on_closed is not called then. */
void sb_pg_queries_close(struct sb_pg_queries *queries, void (*on_closed)(struct sb_pg *pg));

#endif
