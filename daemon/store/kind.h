/*
 * What differs between the kinds of questions: the statement, how its
 * parameters are written and its rows read. Private to queries.c and the
 * files that fill such a table, one each.
 */
#ifndef SB_STORE_KIND_H
#define SB_STORE_KIND_H

#include "daemon/store/batch.h"
#include "daemon/store/pg.h"
#include "daemon/store/queries.h"
#include "daemon/store/wire.h"
#include <libpq-fe.h>

#define SB_PG_PARAMS_MAX 11

struct sb_pg_kind_table {
	const char *signature; /* of the function, for the check of rights */
	const char *sql;       /* prepared under the kind's word */
	int param_count;
	Oid param_types[SB_PG_PARAMS_MAX];
	int column_count; /* of the result */
	/* Writes the items as parameters; errors stick to them. */
	void (*bind)(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		     struct sb_text params[SB_PG_PARAMS_MAX]);
	/*
	 * Tells the hub what the rows say and marks each item it told of as
	 * answered; what it leaves unmarked fails.
	 */
	void (*answer)(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		       const PGresult *result);
	/* Tells the hub that this item got no answer. */
	void (*fail)(struct sb_pg_queries *queries, struct sb_pg_item *item);
	/* The item is answered for. Returns whether to ask the same again instead of freeing it.
	 * NULL: no. */
	bool (*retire)(struct sb_pg_queries *queries, struct sb_pg_item *item);
};

extern const struct sb_pg_kind_table sb_pg_kind_authenticate;
extern const struct sb_pg_kind_table sb_pg_kind_fetch;
extern const struct sb_pg_kind_table sb_pg_kind_ack;
extern const struct sb_pg_kind_table sb_pg_kind_reconcile;
extern const struct sb_pg_kind_table sb_pg_kind_sent;
extern const struct sb_pg_kind_table sb_pg_kind_presence;

/* Who is being reconciled: what keeps one device from being asked twice at a time, and the walk. */
struct sb_pg_reconciler {
	struct sb_pg_recheck *by_device; /* hash of all that wait or fly */
	int64_t *chunk;			 /* max_reconcile ids, room for the walk */
	bool walking;
	bool exhausted; /* the hub has no more after `after` */
	int64_t after;	/* the walk's last device */
	size_t open;	/* devices of the walk that are not yet answered for */
};

/* Gives the batch the walk's next chunk, if there is a walk and nothing flies. 0 or -ENOMEM. */
int sb_pg_reconciler_step(struct sb_pg_queries *queries);
/* Whether the walk is through; says so once. */
bool sb_pg_reconciler_finished(struct sb_pg_queries *queries);
/* Forgets the items, which somebody else frees. */
void sb_pg_reconciler_fini(struct sb_pg_reconciler *reconciler);

/* ---- for the kinds ---- */

struct sb_pg_reconciler *sb_pg_queries_reconciler(struct sb_pg_queries *queries);
const struct sb_pg_batch *sb_pg_queries_batch(const struct sb_pg_queries *queries,
					      enum sb_pg_kind kind);

struct sb_hub *sb_pg_queries_hub(struct sb_pg_queries *queries);
const struct sb_pg_config *sb_pg_queries_config(const struct sb_pg_queries *queries);
/* Takes the item; it goes out at the end of this turn or with the next statement. */
void sb_pg_queries_add(struct sb_pg_queries *queries, enum sb_pg_kind kind,
		       struct sb_pg_item *item);
/* Room for max_events events; only during an answer. */
struct sb_event *sb_pg_queries_events(struct sb_pg_queries *queries);

/* What the outcome words of authenticate and reconcile have in common. 0, or -EPROTO. */
int sb_pg_outcome_parse(const char *word, enum sb_auth_outcome *ret_outcome);
/* Columns head, epoch, previous_epoch, base, floor from `column` on. 0, or -EPROTO. */
int sb_pg_row_numbering(struct sb_pg_row *row, int column, struct sb_numbering *ret_numbering);

#endif
