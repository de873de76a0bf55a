/*
 * What the store's parts tell their owner, the facade in pg.c. Private to
 * daemon/store: core and main see pg.h only.
 */
#ifndef SB_STORE_PARTS_H
#define SB_STORE_PARTS_H

#include "daemon/store/pg.h"
#include <stdint.h>

/* Whom answers go to. */
struct sb_hub *sb_pg_hub(struct sb_pg *pg);
const struct sb_pg_config *sb_pg_settings(const struct sb_pg *pg);
/* To be written by the part whose event it counts. */
struct sb_pg_counters *sb_pg_counting(struct sb_pg *pg);

/* The listener's LISTEN is committed. */
void sb_pg_on_listening(struct sb_pg *pg);
/* A notification that the listener was to await has come. */
void sb_pg_on_proved(struct sb_pg *pg);
void sb_pg_on_wake(struct sb_pg *pg, int64_t mailbox_id);
void sb_pg_on_control(struct sb_pg *pg, int64_t device_id, int backend_pid);
void sb_pg_on_listener_down(struct sb_pg *pg, const char *why);

/* Checked, prepared: statements go out from now on. */
void sb_pg_on_queries_ready(struct sb_pg *pg);
void sb_pg_on_queries_down(struct sb_pg *pg, const char *why);
/* Everything that the hub held when the walk began was answered for. */
void sb_pg_on_reconciled(struct sb_pg *pg);

#endif
