/* Asking, and the life of the query connection; what it sends is in pipeline.c. See queries.h. */
#include "daemon/store/queries_private.h"
#include <errno.h>
#include <stdlib.h>

static struct sb_pg_queries *of_user(struct sb_pg_link_user *user)
{
	return (struct sb_pg_queries *)user;
}

/* ---- for the kinds ---- */

struct sb_hub *sb_pg_queries_hub(struct sb_pg_queries *queries)
{
	return sb_pg_hub(queries->pg);
}

const struct sb_pg_config *sb_pg_queries_config(const struct sb_pg_queries *queries)
{
	return queries->config;
}

struct sb_pg_reconciler *sb_pg_queries_reconciler(struct sb_pg_queries *queries)
{
	return &queries->reconciler;
}

const struct sb_pg_batch *sb_pg_queries_batch(const struct sb_pg_queries *queries,
					      enum sb_pg_kind kind)
{
	return &queries->batches[kind];
}

struct sb_event *sb_pg_queries_events(struct sb_pg_queries *queries)
{
	return queries->events;
}

void sb_pg_queries_add(struct sb_pg_queries *queries, enum sb_pg_kind kind, struct sb_pg_item *item)
{
	sb_pg_batch_add(&queries->batches[kind], item);
	sb_pg_counting(queries->pg)->kinds[kind].asked++;
	sb_pg_pace_asked(&queries->paces[kind], uv_hrtime() / 1000);
	sb_pg_pipeline_schedule(queries);
}

/* ---- for the facade ---- */

void sb_pg_queries_reconcile_all(struct sb_pg_queries *queries)
{
	queries->reconciler.walking = true;
	queries->reconciler.exhausted = false;
	queries->reconciler.after = 0;
	sb_pg_pipeline_schedule(queries);
}

void sb_pg_queries_send(struct sb_pg_queries *queries, const char *statement)
{
	if (queries->ready)
		sb_pg_pipeline_send(queries, SB_PG_SEGMENT_PROOF, statement);
}

void sb_pg_queries_ping(struct sb_pg_queries *queries)
{
	if (queries->ready)
		sb_pg_pipeline_send(queries, SB_PG_SEGMENT_USAGE,
				    "SELECT pg_catalog.pg_notification_queue_usage()");
}

int sb_pg_queries_backend(const struct sb_pg_queries *queries)
{
	return queries->setup.backend_pid;
}

size_t sb_pg_queries_open(const struct sb_pg_queries *queries, enum sb_pg_kind kind)
{
	const struct sb_pg_batch *batch = &queries->batches[kind];

	return batch->waiting + batch->flying_count;
}

void sb_pg_queries_flush_then(struct sb_pg_queries *queries, void (*on_flushed)(void *data),
			      void *data)
{
	queries->on_flushed = on_flushed;
	queries->flushed_data = data;
	sb_pg_pipeline_schedule(queries);
}

void sb_pg_queries_drop(struct sb_pg_queries *queries, const char *why)
{
	sb_pg_pipeline_give_up(queries, why);
}

void sb_pg_queries_start(struct sb_pg_queries *queries)
{
	sb_pg_link_start(queries->link);
}

/* ---- life ---- */

static void release(struct sb_pg_queries *queries)
{
	sb_pg_reconciler_fini(&queries->reconciler);
	for (int kind = 0; kind < SB_PG_KIND_COUNT; kind++)
		sb_pg_batch_fini(&queries->batches[kind]);
	for (int i = 0; i < SB_PG_PARAMS_MAX; i++)
		sb_text_fini(&queries->params[i]);
	PQclear(queries->result);
	free(queries->events);
	free(queries);
}

static int allocate(struct sb_pg_queries *queries, uv_loop_t *loop, const struct sb_pg_url *url)
{
	const struct sb_pg_config *config = queries->config;
	const struct sb_pg_link_timing timing = {config->connect_ms, config->backoff_min_ms,
						 config->backoff_max_ms};
	const size_t max[SB_PG_KIND_COUNT] = {
		[SB_PG_KIND_AUTHENTICATE] = config->max_authenticate,
		[SB_PG_KIND_FETCH] = config->max_fetch,
		[SB_PG_KIND_ACK] = config->max_ack,
		[SB_PG_KIND_RECONCILE] = config->max_reconcile,
		[SB_PG_KIND_SENT] = config->max_news,
		[SB_PG_KIND_PRESENCE] = config->max_news,
	};

	for (int kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		if (sb_pg_batch_init(&queries->batches[kind], max[kind], config->max_waiting) < 0)
			return -ENOMEM;
	}
	queries->events = calloc((size_t)config->max_events, sizeof(struct sb_event));
	queries->reconciler.chunk = calloc(config->max_reconcile, sizeof(int64_t));
	if (!queries->events || !queries->reconciler.chunk)
		return -ENOMEM;
	queries->link = sb_pg_link_new(loop, url, &timing, &queries->user);
	return queries->link ? 0 : -ENOMEM;
}

struct sb_pg_queries *sb_pg_queries_new(uv_loop_t *loop, struct sb_pg *pg,
					const struct sb_pg_url *url)
{
	struct sb_pg_queries *queries = calloc(1, sizeof(*queries));

	if (!queries)
		return NULL;
	queries->user.ops = &sb_pg_pipeline_link_ops;
	queries->pg = pg;
	queries->config = sb_pg_settings(pg);
	for (int i = 0; i < SB_PG_PARAMS_MAX; i++)
		sb_text_init(&queries->params[i]);
	if (allocate(queries, loop, url) < 0) {
		release(queries);
		return NULL;
	}
	(void)uv_check_init(loop, &queries->check);
	(void)uv_idle_init(loop, &queries->idle);
	(void)uv_timer_init(loop, &queries->deadline);
	(void)uv_timer_init(loop, &queries->pacer);
	queries->open_handles = 4;
	queries->check.data = queries->idle.data = queries->deadline.data = queries->pacer.data =
		queries;
	return queries;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_pg_queries *queries = handle->data;
	struct sb_pg *pg = queries->pg;
	void (*on_closed)(struct sb_pg *) = queries->on_closed;

	if (--queries->open_handles > 0)
		return;
	release(queries);
	on_closed(pg);
}

static void on_link_closed(struct sb_pg_link_user *user)
{
	struct sb_pg_queries *queries = of_user(user);

	uv_close((uv_handle_t *)&queries->check, on_handle_closed);
	uv_close((uv_handle_t *)&queries->idle, on_handle_closed);
	uv_close((uv_handle_t *)&queries->deadline, on_handle_closed);
	uv_close((uv_handle_t *)&queries->pacer, on_handle_closed);
}

void sb_pg_queries_close(struct sb_pg_queries *queries, void (*on_closed)(struct sb_pg *pg))
{
	if (!queries)
		return;
	queries->ready = false;
	queries->on_closed = on_closed;
	(void)uv_check_stop(&queries->check);
	(void)uv_idle_stop(&queries->idle);
	(void)uv_timer_stop(&queries->deadline);
	(void)uv_timer_stop(&queries->pacer);
	sb_pg_link_close(queries->link, on_link_closed);
}
