/* The kind "sent": these events were sent to this device, and are not acked yet. See kind.h. */
#include "daemon/store/kind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct sb_pg_item item; /* first */
	int64_t device_id;
	int64_t first;
	size_t count;
	int64_t us[];
};

int sb_pg_queries_sent(struct sb_pg_queries *queries, const struct sb_sent *news)
{
	struct item *item;

	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_SENT)))
		return -ENOMEM;
	item = calloc(1, sizeof(*item) + news->count * sizeof(item->us[0]));
	if (!item)
		return -ENOMEM;
	item->device_id = news->device_id;
	item->first = news->first;
	item->count = news->count;
	memcpy(item->us, news->us, news->count * sizeof(item->us[0]));
	sb_pg_queries_add(queries, SB_PG_KIND_SENT, &item->item);
	return 0;
}

static const struct item *of(const struct sb_pg_item *item)
{
	return (const struct item *)item;
}

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	size_t events = 0;

	(void)queries;
	for (size_t i = 0; i < count; i++)
		events += of(items[i])->count;
	for (int p = 0; p < 3; p++)
		sb_pg_array_begin(&params[p], SB_PG_INT8, events);
	for (size_t i = 0; i < count; i++) {
		for (size_t e = 0; e < of(items[i])->count; e++) {
			sb_pg_array_int8(&params[0], of(items[i])->device_id);
			sb_pg_array_int8(&params[1], of(items[i])->first + (int64_t)e);
			sb_pg_array_int8(&params[2], of(items[i])->us[e]);
		}
	}
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	(void)queries;
	(void)result;
	for (size_t i = 0; i < count; i++)
		items[i]->answered = true;
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	/* Nobody waits for it, and its ack brings the times again. pipeline.c has logged it. */
	(void)queries;
	(void)item;
}

const struct sb_pg_kind_table sb_pg_kind_sent = {
	.signature = "slotbell.sent(bigint[],bigint[],bigint[])",
	.sql = "SELECT slotbell.sent($1, $2, $3)",
	.param_count = 3,
	.param_types = {SB_PG_INT8_ARRAY, SB_PG_INT8_ARRAY, SB_PG_INT8_ARRAY},
	.column_count = 1,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
};
