/*
 * Judging cursors: what a mailbox's numbering says of a seq of some epoch.
 * Pure arithmetic; the rules are database.md's "No number is ever used twice".
 */
#ifndef SB_CORE_NUMBERING_H
#define SB_CORE_NUMBERING_H

#include "daemon/core/store.h"

/* How far a new epoch jumps ahead of the last known seq; config/sql has the same number. */
#define SB_EPOCH_JUMP INT64_C(1000000)

enum sb_verdict {
	SB_VERDICT_GOOD,   /* goes on from this seq */
	SB_VERDICT_EPOCH,  /* of a history that is no more */
	SB_VERDICT_BEYOND, /* of this history, but nothing was ever given that number here */
};

/* A cursor of the current epoch is good up to head, one of the previous epoch up to base. */
enum sb_verdict sb_numbering_judge(const struct sb_numbering *numbering,
				   const struct sb_cursor *cursor);

/* How many numbers lie in (from, to], without the jump between two epochs; 0 if to <= from. */
int64_t sb_numbering_distance(const struct sb_numbering *numbering, int64_t from, int64_t to);

#endif
