/*
 * What the query connection asks before it is used: is this the primary, is
 * the schema ours, may we. Private to queries.c.
 */
#ifndef SB_STORE_SETUP_H
#define SB_STORE_SETUP_H

#include "daemon/store/kind.h"

struct sb_pg_setup {
	int step;	   /* whose result comes next */
	int backend_pid;   /* the server's process, as it says itself */
	char problem[256]; /* in words; "": none so far */
	char excess[320];  /* in words: rights of the role that it should not have; "": none */
};

/* The kinds' tables, by enum sb_pg_kind. */
extern const struct sb_pg_kind_table *const sb_pg_kind_tables[SB_PG_KIND_COUNT];

/* Sends all questions and the PREPAREs, and one Sync. 0, or -EIO: libpq refuses. */
int sb_pg_setup_send(struct sb_pg_setup *setup, PGconn *conn, const struct sb_pg_config *config);

/* Judges the current step's result (borrowed); `problem` has what is wrong. */
void sb_pg_setup_result(struct sb_pg_setup *setup, const PGconn *conn, const PGresult *result);

#endif
