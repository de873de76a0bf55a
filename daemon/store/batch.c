/* Waiting, flying, halved, back again. See batch.h. */
#include "daemon/store/batch.h"
#include <errno.h>
#include <stdlib.h>

int sb_pg_batch_init(struct sb_pg_batch *batch, size_t max_items, size_t max_waiting)
{
	*batch = (struct sb_pg_batch){.max_items = max_items, .max_waiting = max_waiting};
	batch->flying = calloc(max_items, sizeof(struct sb_pg_item *));
	return batch->flying ? 0 : -ENOMEM;
}

void sb_pg_batch_fini(struct sb_pg_batch *batch)
{
	struct sb_pg_item *item;

	while (batch->flying_count > 0)
		free(batch->flying[--batch->flying_count]);
	while ((item = batch->first) != NULL) {
		batch->first = item->next;
		free(item);
	}
	free(batch->flying);
	*batch = (struct sb_pg_batch){0};
}

bool sb_pg_batch_full(const struct sb_pg_batch *batch)
{
	return batch->waiting + batch->flying_count >= batch->max_waiting;
}

bool sb_pg_batch_idle(const struct sb_pg_batch *batch)
{
	return batch->waiting == 0 && batch->flying_count == 0;
}

void sb_pg_batch_add(struct sb_pg_batch *batch, struct sb_pg_item *item)
{
	*item = (struct sb_pg_item){0};
	if (batch->last)
		batch->last->next = item;
	else
		batch->first = item;
	batch->last = item;
	batch->waiting++;
}

size_t sb_pg_batch_take(struct sb_pg_batch *batch)
{
	uint32_t group = batch->first ? batch->first->group : 0;

	while (batch->first && batch->first->group == group &&
	       batch->flying_count < batch->max_items) {
		struct sb_pg_item *item = batch->first;

		batch->first = item->next;
		batch->waiting--;
		item->next = NULL;
		batch->flying[batch->flying_count++] = item;
	}
	if (!batch->first)
		batch->last = NULL;
	return batch->flying_count;
}

/* All that flies goes to the front, in order. */
static void land(struct sb_pg_batch *batch)
{
	while (batch->flying_count > 0) {
		struct sb_pg_item *item = batch->flying[--batch->flying_count];

		item->next = batch->first;
		item->answered = false;
		batch->first = item;
		if (!batch->last)
			batch->last = item;
		batch->waiting++;
	}
}

struct sb_pg_item *sb_pg_batch_split(struct sb_pg_batch *batch)
{
	size_t half = batch->flying_count / 2;

	if (batch->flying_count == 1) {
		batch->flying_count = 0;
		return batch->flying[0];
	}
	for (size_t i = 0; i < batch->flying_count; i++) {
		batch->flying[i]->group = batch->last_group + (i < half ? 1 : 2);
		batch->flying[i]->losses = 0;
	}
	batch->last_group += 2;
	/* After four thousand million failures: not 0, which is the group of those that never
	 * failed. */
	if (batch->last_group > UINT32_MAX - 2)
		batch->last_group = 0;
	land(batch);
	return NULL;
}

void sb_pg_batch_requeue(struct sb_pg_batch *batch)
{
	for (size_t i = 0; i < batch->flying_count; i++) {
		if (batch->flying[i]->losses < SB_PG_LOSSES_MAX)
			batch->flying[i]->losses++;
	}
	land(batch);
}

bool sb_pg_batch_cursed(const struct sb_pg_batch *batch)
{
	for (size_t i = 0; i < batch->flying_count; i++) {
		if (batch->flying[i]->losses >= SB_PG_LOSSES_MAX)
			return true;
	}
	return false;
}
