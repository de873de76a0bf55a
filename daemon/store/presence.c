/*
 * The kind "presence": live sessions that began or ended, and the lease that
 * all of them are under. See kind.h.
 *
 * An item without a session is a renewal of the lease. Should the database say
 * that it had no lease of ours (it crashed, it is another one, we were asleep
 * for too long), then it knows nothing of our sessions, and is told of all.
 */
#include "daemon/core/hub.h"
#include "daemon/store/kind.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct item {
	struct sb_pg_item item; /* first */
	struct sb_presence news;
};

static int add(struct sb_pg_queries *queries, const struct sb_presence *news)
{
	struct item *item;

	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_PRESENCE)))
		return -ENOMEM;
	item = calloc(1, sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->news = *news;
	sb_pg_queries_add(queries, SB_PG_KIND_PRESENCE, &item->item);
	return 0;
}

int sb_pg_queries_presence(struct sb_pg_queries *queries, const struct sb_presence *news)
{
	return add(queries, news);
}

void sb_pg_queries_renew(struct sb_pg_queries *queries)
{
	if (sb_pg_batch_idle(sb_pg_queries_batch(queries, SB_PG_KIND_PRESENCE)))
		(void)add(queries, &(struct sb_presence){0});
}

static const struct sb_presence *news_of(const struct sb_pg_item *item)
{
	return &((const struct item *)item)->news;
}

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	char instance[16];
	size_t sessions = 0;

	for (size_t i = 0; i < count; i++)
		sessions += news_of(items[i])->session_id != 0;
	(void)snprintf(instance, sizeof(instance), "%08" PRIx32,
		       sb_hub_instance(sb_pg_queries_hub(queries)));
	sb_text_append_string(&params[0], instance);
	sb_pg_param_int4(&params[1],
			 (int32_t)(3 * sb_pg_queries_config(queries)->lease_ms / 1000 + 1));
	sb_pg_array_begin(&params[2], SB_PG_INT8, sessions);
	sb_pg_array_begin(&params[3], SB_PG_INT8, sessions);
	sb_pg_array_begin(&params[4], SB_PG_BOOL, sessions);
	for (size_t i = 0; i < count; i++) {
		const struct sb_presence *news = news_of(items[i]);

		if (!news->session_id)
			continue;
		sb_pg_array_int8(&params[2], (int64_t)news->session_id);
		sb_pg_array_int8(&params[3], news->device_id);
		sb_pg_array_bool(&params[4], news->on);
	}
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	for (size_t i = 0; i < count; i++)
		items[i]->answered = true;
	if (PQntuples(result) == 1 && PQgetlength(result, 0, 0) == 1 &&
	    PQgetvalue(result, 0, 0)[0] == 0)
		sb_hub_tell_presence(sb_pg_queries_hub(queries));
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	/* Nobody waits for it. pipeline.c has logged it. */
	(void)queries;
	(void)item;
}

const struct sb_pg_kind_table sb_pg_kind_presence = {
	.signature = "slotbell.attend(text,integer,bigint[],bigint[],boolean[])",
	.sql = "SELECT slotbell.attend($1, $2, $3, $4, $5)",
	.param_count = 5,
	.param_types = {SB_PG_TEXT, SB_PG_INT4, SB_PG_INT8_ARRAY, SB_PG_INT8_ARRAY,
			SB_PG_BOOL_ARRAY},
	.column_count = 1,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
};
