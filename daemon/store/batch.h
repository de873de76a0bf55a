/*
 * The questions of one kind: those that wait and those in the statement in
 * flight. Pure bookkeeping, no database here.
 *
 * A statement that failed is tried again halved, so that one bad question
 * hurts itself only: its items go back to the front in two groups, and a
 * statement never mixes groups. Group 0 is all that never failed.
 */
#ifndef SB_STORE_BATCH_H
#define SB_STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So often may a connection die under one item before that counts against the item. */
#define SB_PG_LOSSES_MAX 5

/* Kinds put it first in their own item. */
struct sb_pg_item {
	struct sb_pg_item *next;
	uint32_t group;
	uint8_t losses;
	bool answered;
};

struct sb_pg_batch {
	struct sb_pg_item *first, *last; /* waiting */
	size_t waiting;
	struct sb_pg_item **flying; /* of the statement in flight, in its order */
	size_t flying_count;
	uint32_t last_group;
	size_t max_items, max_waiting;
};

/* 0 or -ENOMEM. */
int sb_pg_batch_init(struct sb_pg_batch *batch, size_t max_items, size_t max_waiting);
/* Frees every item with free(). Accepts one that is all zero. */
void sb_pg_batch_fini(struct sb_pg_batch *batch);

bool sb_pg_batch_full(const struct sb_pg_batch *batch);
bool sb_pg_batch_idle(const struct sb_pg_batch *batch);

/* Takes the item, which begins as one that never failed: last in the queue, full or not. */
void sb_pg_batch_add(struct sb_pg_batch *batch, struct sb_pg_item *item);

/* Moves the next group's items, at most max_items, to flying, and returns how many. Nothing may
 * fly. */
size_t sb_pg_batch_take(struct sb_pg_batch *batch);

/*
 * The statement failed. Several items: back to the front in two halves; NULL.
 * One: returns it, for its failure to be answered and its memory to be freed.
 */
struct sb_pg_item *sb_pg_batch_split(struct sb_pg_batch *batch);

/* The connection died: all that flew is back at the front as it was, and waits for the next one. */
void sb_pg_batch_requeue(struct sb_pg_batch *batch);

/* Whether the items in flight lost too many connections to go on so. */
bool sb_pg_batch_cursed(const struct sb_pg_batch *batch);

#endif
