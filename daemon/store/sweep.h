/*
 * Retention: deletes what is past its time, on a connection of its own.
 *
 * Where it stands: beside listener and queries, and in nobody's way. It calls
 * slotbell.sweep_step() again and again, each a small transaction that waits for
 * no publisher, and rests after each for several times as long as that took.
 *
 * Of all daemons at a database one sweeps: the one whose session has the lease,
 * which each step renews. The steps of the others do nothing, until the lease
 * ends or its session does. The server ends a sweeper's session that it has not
 * heard of for a minute.
 */
#ifndef SB_STORE_SWEEP_H
#define SB_STORE_SWEEP_H

#include "daemon/store/url.h"
#include <uv.h>

struct sb_pg;
struct sb_pg_sweep;

/* Borrows `pg` and `url` until closed. NULL when out of memory. */
struct sb_pg_sweep *sb_pg_sweep_new(uv_loop_t *loop, struct sb_pg *pg, const struct sb_pg_url *url);

/* Begins when the schema is known to be ours; again is nothing. */
void sb_pg_sweep_start(struct sb_pg_sweep *sweep);

/* Frees; `on_closed` in a later turn. Accepts NULL: on_closed is not called then. */
void sb_pg_sweep_close(struct sb_pg_sweep *sweep, void (*on_closed)(struct sb_pg *pg));

#endif
