/*
 * What queries.c (asking, life) and pipeline.c (sending, answering) share.
 */
#ifndef SB_STORE_QUERIES_PRIVATE_H
#define SB_STORE_QUERIES_PRIVATE_H

#include "daemon/store/kind.h"
#include "daemon/store/link.h"
#include "daemon/store/pace.h"
#include "daemon/store/parts.h"
#include "daemon/store/setup.h"
#include <stdbool.h>
#include <uv.h>

/* What a Sync ends: a statement of a kind, or one of these. */
enum { SB_PG_SEGMENT_SETUP = SB_PG_KIND_COUNT, SB_PG_SEGMENT_PROOF, SB_PG_SEGMENT_USAGE };

/* One of each kind, and as many of the others as a listener may want that comes and goes meanwhile.
 */
#define SB_PG_SEGMENTS_MAX 16

struct sb_pg_queries {
	struct sb_pg_link_user user; /* first */
	struct sb_pg *pg;
	struct sb_pg_link *link;
	const struct sb_pg_config *config;
	struct sb_pg_batch batches[SB_PG_KIND_COUNT];
	struct sb_pg_reconciler reconciler;
	struct sb_event *events; /* room for one mailbox's */
	struct sb_text params[SB_PG_PARAMS_MAX];

	bool ready; /* set up, and not given up */
	struct sb_pg_setup setup;
	char excess[sizeof(((struct sb_pg_setup *)NULL)->excess)]; /* as it was last told */
	int segments[SB_PG_SEGMENTS_MAX]; /* in flight, in the order sent */
	size_t segment_count;
	PGresult *result; /* of the first one's statement, kept until its Sync */
	uint64_t sent_ns[SB_PG_KIND_COUNT];
	struct sb_pg_pace paces[SB_PG_KIND_COUNT];

	/* What one turn of the loop asks goes out at its end: check runs then, idle hurries it. */
	uv_check_t check;
	uv_idle_t idle;
	uv_timer_t deadline; /* of the first segment in flight */
	uv_timer_t pacer;    /* when a statement that keeps its distance may go */
	unsigned int open_handles;
	void (*on_flushed)(void *data);
	void *flushed_data;
	void (*on_closed)(struct sb_pg *pg);
};

/* Sends what waits at the end of this turn of the loop. */
void sb_pg_pipeline_schedule(struct sb_pg_queries *queries);

/* Sends this statement as a segment of its own, PROOF or USAGE. */
void sb_pg_pipeline_send(struct sb_pg_queries *queries, int segment, const char *statement);

/* This connection is no good: nothing more goes out on it, and the link's on_down follows. */
void sb_pg_pipeline_give_up(struct sb_pg_queries *queries, const char *why);

/* What the link calls. */
extern const struct sb_pg_link_ops sb_pg_pipeline_link_ops;

#endif
