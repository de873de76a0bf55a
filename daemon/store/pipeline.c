/*
 * The pipeline: what goes out when, in which order the answers come, and what
 * becomes of a statement that fails or is lost. See queries.h.
 */
#include "daemon/base/log.h"
#include "daemon/store/queries_private.h"
#include "daemon/store/words.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sb_pg_queries *of_user(struct sb_pg_link_user *user)
{
	return (struct sb_pg_queries *)user;
}

static struct sb_pg_kind_counters *counters_of(struct sb_pg_queries *queries, enum sb_pg_kind kind)
{
	return &sb_pg_counting(queries->pg)->kinds[kind];
}

static void count_in_bucket(uint64_t buckets[SB_PG_BUCKETS + 1],
			    const uint32_t bounds[SB_PG_BUCKETS], uint64_t value)
{
	int i = 0;

	while (i < SB_PG_BUCKETS && value > bounds[i])
		i++;
	buckets[i]++;
}

void sb_pg_pipeline_give_up(struct sb_pg_queries *queries, const char *why)
{
	queries->ready = false;
	sb_pg_link_drop(queries->link, why);
}

/* ---- the end of the turn ---- */

static void on_idle(uv_idle_t *idle)
{
	(void)idle; /* only there so that the loop does not sleep before its check */
}

static void on_check(uv_check_t *check);

void sb_pg_pipeline_schedule(struct sb_pg_queries *queries)
{
	if (uv_is_active((uv_handle_t *)&queries->check) || queries->on_closed)
		return;
	(void)uv_idle_start(&queries->idle, on_idle);
	(void)uv_check_start(&queries->check, on_check);
}

/* ---- answers ---- */

static void finish_item(struct sb_pg_queries *queries, enum sb_pg_kind kind,
			struct sb_pg_item *item)
{
	const struct sb_pg_kind_table *table = sb_pg_kind_tables[kind];

	if (item->answered) {
		counters_of(queries, kind)->answered++;
	} else {
		counters_of(queries, kind)->failed++;
		table->fail(queries, item);
	}
	if (table->retire && table->retire(queries, item))
		sb_pg_queries_add(queries, kind, item);
	else
		free(item);
}

static void split(struct sb_pg_queries *queries, enum sb_pg_kind kind, const char *state,
		  const char *message)
{
	struct sb_pg_batch *batch = &queries->batches[kind];
	size_t count = batch->flying_count;
	struct sb_pg_item *item = sb_pg_batch_split(batch);

	sb_log(item ? SB_LOG_WARNING : SB_LOG_NOTICE, "database statement failed",
	       "query=%s items=%zu sqlstate=%s message=\"%s\"", sb_pg_kind_word(kind), count, state,
	       message);
	if (item)
		finish_item(queries, kind, item);
	sb_pg_pipeline_schedule(queries);
}

/* The statement is committed, and its rows are of the shape that was asked for. */
static void answer(struct sb_pg_queries *queries, enum sb_pg_kind kind, const PGresult *result)
{
	struct sb_pg_batch *batch = &queries->batches[kind];
	struct sb_pg_kind_counters *counters = counters_of(queries, kind);
	uint64_t us = (uv_hrtime() - queries->sent_ns[kind]) / 1000;

	sb_pg_pace_answered(&queries->paces[kind], uv_hrtime() / 1000);
	counters->busy_us += us;
	count_in_bucket(counters->seconds, sb_pg_seconds_bounds, us);
	sb_pg_kind_tables[kind]->answer(queries, batch->flying, batch->flying_count, result);
	for (size_t i = 0; i < batch->flying_count; i++)
		finish_item(queries, kind, batch->flying[i]);
	batch->flying_count = 0;
	sb_pg_pipeline_schedule(queries);
}

static void end_kind(struct sb_pg_queries *queries, enum sb_pg_kind kind, const PGresult *result)
{
	const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	char words[256];

	if (result && PQresultStatus(result) == PGRES_TUPLES_OK &&
	    PQnfields(result) == sb_pg_kind_tables[kind]->column_count) {
		answer(queries, kind, result);
		return;
	}
	counters_of(queries, kind)->errors++;
	if (result && sb_pg_error_ends_connection(result)) {
		sb_pg_words(words, sizeof(words), sb_pg_link_conn(queries->link), result);
		sb_pg_pipeline_give_up(queries, words); /* on_down puts the items back */
		return;
	}
	split(queries, kind, result ? sb_pg_sqlstate(result) : "-----",
	      message ? message : "no result");
}

static void end_setup(struct sb_pg_queries *queries)
{
	if (queries->setup.problem[0]) {
		sb_pg_pipeline_give_up(queries, queries->setup.problem);
		return;
	}
	queries->ready = true;
	/* Of each connection, but the same words once. */
	if (*queries->setup.excess && strcmp(queries->excess, queries->setup.excess) != 0)
		sb_log(SB_LOG_WARNING, "database rights", "problem=\"%s\"", queries->setup.excess);
	memcpy(queries->excess, queries->setup.excess, sizeof(queries->excess));
	sb_pg_link_established(queries->link);
	sb_pg_on_queries_ready(queries->pg);
	sb_pg_pipeline_schedule(queries);
}

/* ---- the pipeline ---- */

static void on_deadline(uv_timer_t *timer)
{
	sb_pg_pipeline_give_up(timer->data, "a statement got no answer in time");
}

/* The server's own time-out should come first; this one is for a server that is no more. */
static void start_deadline(struct sb_pg_queries *queries)
{
	const struct sb_pg_config *config = queries->config;

	(void)uv_timer_start(&queries->deadline, on_deadline,
			     config->statement_timeout_ms + config->ping_deadline_ms, 0);
}

static void push_segment(struct sb_pg_queries *queries, int segment)
{
	queries->segments[queries->segment_count++] = segment;
	if (queries->segment_count == 1)
		start_deadline(queries);
}

/* Who may not ask is told nothing, and that is all. */
static void note_usage(struct sb_pg_queries *queries, const PGresult *result)
{
	if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
	    PQnfields(result) == 1)
		sb_pg_counting(queries->pg)->notify_queue_usage =
			strtod(PQgetvalue(result, 0, 0), NULL);
}

static void end_segment(struct sb_pg_queries *queries)
{
	int segment = queries->segments[0];
	PGresult *result = queries->result;

	queries->result = NULL;
	queries->segment_count--;
	memmove(queries->segments, queries->segments + 1,
		queries->segment_count * sizeof(queries->segments[0]));
	if (queries->segment_count > 0)
		start_deadline(queries);
	else
		(void)uv_timer_stop(&queries->deadline);
	if (segment == SB_PG_SEGMENT_SETUP)
		end_setup(queries);
	else if (segment == SB_PG_SEGMENT_PROOF && result &&
		 PQresultStatus(result) == PGRES_FATAL_ERROR)
		sb_pg_pipeline_give_up(queries, "cannot send a notification");
	else if (segment == SB_PG_SEGMENT_USAGE)
		note_usage(queries, result);
	else if (segment < SB_PG_KIND_COUNT)
		end_kind(queries, (enum sb_pg_kind)segment, result);
	PQclear(result);
}

static void on_result(struct sb_pg_link_user *user, PGresult *result)
{
	struct sb_pg_queries *queries = of_user(user);

	if (!result)
		return; /* a statement's end; we go by the Sync behind it */
	if (queries->segment_count > 0 && PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
		end_segment(queries);
	} else if (queries->segment_count > 0 && queries->segments[0] == SB_PG_SEGMENT_SETUP) {
		sb_pg_setup_result(&queries->setup, sb_pg_link_conn(queries->link), result);
	} else if (queries->segment_count > 0 && !queries->result) {
		queries->result = result;
		return;
	}
	PQclear(result);
}

/* Writes the flying items' statement out. 0; -ENOMEM: not sent; -EIO: the connection is given up.
 */
static int send_batch(struct sb_pg_queries *queries, enum sb_pg_kind kind)
{
	static const int binary[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	const struct sb_pg_kind_table *table = sb_pg_kind_tables[kind];
	struct sb_pg_batch *batch = &queries->batches[kind];
	PGconn *conn = sb_pg_link_conn(queries->link);
	const char *values[SB_PG_PARAMS_MAX];
	int lengths[SB_PG_PARAMS_MAX];

	_Static_assert(sizeof(binary) / sizeof(binary[0]) == SB_PG_PARAMS_MAX, "one each");

	for (int i = 0; i < table->param_count; i++)
		sb_text_clear(&queries->params[i]);
	table->bind(queries, batch->flying, batch->flying_count, queries->params);
	for (int i = 0; i < table->param_count; i++) {
		if (sb_text_failed(&queries->params[i])) {
			/* The failure sticks to the text; the next statement begins with a new one.
			 */
			sb_text_fini(&queries->params[i]);
			sb_text_init(&queries->params[i]);
			return -ENOMEM;
		}
		values[i] = queries->params[i].data;
		lengths[i] = (int)queries->params[i].len;
	}
	if (PQsendQueryPrepared(conn, sb_pg_kind_word(kind), table->param_count, values, lengths,
				binary, 1) != 1 ||
	    PQpipelineSync(conn) != 1) {
		sb_pg_pipeline_give_up(queries, PQerrorMessage(conn));
		return -EIO;
	}
	push_segment(queries, (int)kind);
	return 0;
}

static void send_kind(struct sb_pg_queries *queries, enum sb_pg_kind kind)
{
	struct sb_pg_batch *batch = &queries->batches[kind];
	struct sb_pg_kind_counters *counters = counters_of(queries, kind);

	while (queries->ready && batch->flying_count == 0 && sb_pg_batch_take(batch) > 0) {
		int r = send_batch(queries, kind);

		if (r == -ENOMEM) {
			split(queries, kind, "-----", "out of memory");
		} else if (r == 0) {
			counters->statements++;
			counters->items += batch->flying_count;
			count_in_bucket(counters->sizes, sb_pg_size_bounds, batch->flying_count);
			queries->sent_ns[kind] = uv_hrtime();
			sb_pg_pace_sent(&queries->paces[kind], queries->sent_ns[kind] / 1000);
		}
	}
}

static void on_pacer(uv_timer_t *timer)
{
	sb_pg_pipeline_schedule(timer->data);
}

/* How long what waits of this kind is to wait on, in milliseconds; 0: not at all. */
static uint64_t wait_ms(struct sb_pg_queries *queries, enum sb_pg_kind kind)
{
	const struct sb_pg_batch *batch = &queries->batches[kind];

	/* Reconciling is no storm's business; who goes home waits for nothing; and a full one is
	 * full. */
	if (batch->waiting == 0 || batch->flying_count > 0 || kind == SB_PG_KIND_RECONCILE ||
	    (kind == SB_PG_KIND_ACK && queries->on_flushed) || batch->waiting >= batch->max_items)
		return 0;
	return (sb_pg_pace_wait_us(&queries->paces[kind], uv_hrtime() / 1000) + 999) / 1000;
}

/* Sends of each kind what may go now, and comes again when the next may. */
static void send_all(struct sb_pg_queries *queries)
{
	uint64_t next_ms = 0;

	for (enum sb_pg_kind kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		uint64_t ms = wait_ms(queries, kind);

		if (ms == 0)
			send_kind(queries, kind);
		else if (next_ms == 0 || ms < next_ms)
			next_ms = ms;
	}
	if (next_ms > 0)
		(void)uv_timer_start(&queries->pacer, on_pacer, next_ms, 0);
}

static void on_check(uv_check_t *check)
{
	struct sb_pg_queries *queries = check->data;
	void (*on_flushed)(void *) = queries->on_flushed;

	(void)uv_check_stop(&queries->check);
	(void)uv_idle_stop(&queries->idle);
	if (queries->ready && sb_pg_reconciler_step(queries) < 0)
		sb_pg_pipeline_give_up(queries, "out of memory");
	send_all(queries);
	sb_pg_link_flush(queries->link);
	if (queries->ready && sb_pg_reconciler_finished(queries))
		sb_pg_on_reconciled(queries->pg);
	if (on_flushed && sb_pg_batch_idle(&queries->batches[SB_PG_KIND_ACK])) {
		queries->on_flushed = NULL;
		on_flushed(queries->flushed_data);
	}
}

void sb_pg_pipeline_send(struct sb_pg_queries *queries, int segment, const char *statement)
{
	PGconn *conn = sb_pg_link_conn(queries->link);

	if (queries->segment_count == SB_PG_SEGMENTS_MAX - SB_PG_KIND_COUNT) {
		sb_pg_pipeline_give_up(queries, "statements get no answer");
		return;
	}
	if (PQsendQueryParams(conn, statement, 0, NULL, NULL, NULL, NULL, 0) != 1 ||
	    PQpipelineSync(conn) != 1) {
		sb_pg_pipeline_give_up(queries, PQerrorMessage(conn));
		return;
	}
	push_segment(queries, segment);
	sb_pg_link_flush(queries->link);
}

/* ---- the link's calls ---- */

static void on_connected(struct sb_pg_link_user *user)
{
	struct sb_pg_queries *queries = of_user(user);

	push_segment(queries, SB_PG_SEGMENT_SETUP);
	if (sb_pg_setup_send(&queries->setup, sb_pg_link_conn(queries->link), queries->config) < 0)
		sb_pg_pipeline_give_up(queries, "cannot send the first statements");
	sb_pg_link_flush(queries->link);
}

static void on_down(struct sb_pg_link_user *user, const char *why)
{
	struct sb_pg_queries *queries = of_user(user);

	queries->ready = false;
	queries->segment_count = 0;
	queries->setup.backend_pid = 0;
	PQclear(queries->result);
	queries->result = NULL;
	(void)uv_timer_stop(&queries->deadline);
	for (enum sb_pg_kind kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		if (sb_pg_batch_cursed(&queries->batches[kind]))
			split(queries, kind, "-----", "connections die of it");
		else
			sb_pg_batch_requeue(&queries->batches[kind]);
	}
	sb_pg_on_queries_down(queries->pg, why);
}

const struct sb_pg_link_ops sb_pg_pipeline_link_ops = {
	.on_connected = on_connected,
	.on_result = on_result,
	.on_down = on_down,
};
