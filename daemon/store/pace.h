/*
 * When to ask again: a busy database is asked less often, and more at once.
 *
 * Normally a statement goes out at the end of the turn that asked, for nothing
 * is gained by waiting. But when questions come by the hundreds each second, or
 * faster than the database answers, each statement would carry one or two of
 * them, and the database would spend its time on statements instead of on
 * bookings. Then statements of a kind keep a distance, so that about
 * SB_PG_PACE_ITEMS questions share one. The distance is bounded by how fast the
 * database answers: who waits for a slow one waits ten times its answer, who
 * waits for a quick one 30 ms at the most.
 *
 * Pure arithmetic over times that are given to it, in microseconds.
 */
#ifndef SB_STORE_PACE_H
#define SB_STORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define SB_PG_PACE_ITEMS 32
/* The distance is never more than the larger of this and ten times an answer's time... */
#define SB_PG_PACE_MIN_US 30000
/* ...and never more than this. */
#define SB_PG_PACE_MAX_US 100000

/* All zero is a good beginning. */
struct sb_pg_pace {
	uint64_t window_us;	  /* when the present window began */
	uint32_t count, previous; /* questions in it, and in the one before */
	uint64_t sent_us;	  /* the newest statement */
	uint32_t answer_us;	  /* from sent to answered, smoothed */
	bool busy;
};

void sb_pg_pace_asked(struct sb_pg_pace *pace, uint64_t now_us);
void sb_pg_pace_sent(struct sb_pg_pace *pace, uint64_t now_us);
void sb_pg_pace_answered(struct sb_pg_pace *pace, uint64_t now_us);

/* How long the next statement is to wait. 0: not at all. */
uint32_t sb_pg_pace_wait_us(struct sb_pg_pace *pace, uint64_t now_us);

#endif
