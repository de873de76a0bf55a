/* The kind "ack": this device has dealt with everything up to there. See kind.h. */
#include "daemon/core/hub.h"
#include "daemon/store/kind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct sb_pg_item item; /* first */
	uint64_t session_id;
	int64_t device_id, session_no;
	struct sb_cursor cursor;
	bool announce;
	int64_t sent_first;
	size_t failed_count, sent_count;
	const int64_t *sent_us; /* behind failed */
	struct sb_failure failed[];
};

enum column { ITEM, OUTCOME, ACKED, COLUMNS };

int sb_pg_queries_save_ack(struct sb_pg_queries *queries, const struct sb_save_ack *question)
{
	struct item *item;

	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_ACK)))
		return -ENOMEM;
	item = calloc(1, sizeof(*item) + question->failed_count * sizeof(item->failed[0]) +
				 question->sent_count * sizeof(item->sent_us[0]));
	if (!item)
		return -ENOMEM;
	item->session_id = question->session_id;
	item->device_id = question->device_id;
	item->session_no = question->session_no;
	item->cursor = question->cursor;
	item->announce = question->announce;
	item->failed_count = question->failed_count;
	if (question->failed_count > 0)
		memcpy(item->failed, question->failed,
		       question->failed_count * sizeof(item->failed[0]));
	item->sent_first = question->sent_first;
	item->sent_count = question->sent_count;
	item->sent_us = (int64_t *)(void *)(item->failed + item->failed_count);
	if (question->sent_count > 0)
		memcpy(item->failed + item->failed_count, question->sent_us,
		       question->sent_count * sizeof(item->sent_us[0]));
	sb_pg_queries_add(queries, SB_PG_KIND_ACK, &item->item);
	return 0;
}

static const struct item *of(const struct sb_pg_item *item)
{
	return (const struct item *)item;
}

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	size_t failures = 0, announced = 0, sent = 0;

	(void)queries;
	for (size_t i = 0; i < count; i++) {
		failures += of(items[i])->failed_count;
		announced += of(items[i])->announce;
		sent += of(items[i])->sent_count;
	}
	sb_pg_array_begin(&params[0], SB_PG_INT8, count);
	sb_pg_array_begin(&params[1], SB_PG_TEXT, count);
	sb_pg_array_begin(&params[2], SB_PG_INT8, count);
	sb_pg_array_begin(&params[3], SB_PG_INT4, failures);
	sb_pg_array_begin(&params[4], SB_PG_INT8, failures);
	sb_pg_array_begin(&params[5], SB_PG_TEXT, failures);
	sb_pg_array_begin(&params[6], SB_PG_INT4, announced);
	sb_pg_array_begin(&params[7], SB_PG_INT8, count);
	sb_pg_array_begin(&params[8], SB_PG_INT4, count);
	sb_pg_array_begin(&params[9], SB_PG_INT8, sent);
	sb_pg_array_begin(&params[10], SB_PG_INT8, count);
	for (size_t i = 0; i < count; i++) {
		const struct item *ack = of(items[i]);

		sb_pg_array_int8(&params[0], ack->device_id);
		sb_pg_array_string(&params[1], ack->cursor.epoch.text);
		sb_pg_array_int8(&params[2], ack->cursor.seq);
		for (size_t f = 0; f < ack->failed_count; f++) {
			sb_pg_array_int4(&params[3], (int32_t)i + 1);
			sb_pg_array_int8(&params[4], ack->failed[f].seq);
			sb_pg_array_string(&params[5], sb_failure_word(ack->failed[f].reason));
		}
		if (ack->announce)
			sb_pg_array_int4(&params[6], (int32_t)i + 1);
		sb_pg_array_int8(&params[7], ack->sent_first);
		sb_pg_array_int4(&params[8], (int32_t)ack->sent_count);
		for (size_t s = 0; s < ack->sent_count; s++)
			sb_pg_array_int8(&params[9], ack->sent_us[s]);
		sb_pg_array_int8(&params[10], ack->session_no);
	}
}

/* One row of an answer; leaves the item unmarked when the row makes no sense. */
static void answer_one(struct sb_pg_queries *queries, struct sb_pg_item *item,
		       struct sb_pg_row *row)
{
	const char *outcome = sb_pg_row_text(row, OUTCOME);
	struct sb_ack_saved saved = {.acked = sb_pg_row_int(row, ACKED)};

	if (!outcome || row->bad)
		return;
	/* stale: of a history that is no more; gone: no live device. Core looks at both. */
	saved.saved = strcmp(outcome, "saved") == 0;
	saved.replaced = strcmp(outcome, "replaced") == 0;
	if (!saved.saved && !saved.replaced && strcmp(outcome, "stale") != 0 &&
	    strcmp(outcome, "gone") != 0)
		return;
	item->answered = true;
	sb_hub_ack_saved(sb_pg_queries_hub(queries), of(item)->session_id, &saved);
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++) {
		struct sb_pg_row row = {.result = result, .row = i};
		int64_t n = sb_pg_row_int(&row, ITEM);

		if (n >= 1 && (uint64_t)n <= count && !items[n - 1]->answered)
			answer_one(queries, items[n - 1], &row);
	}
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	sb_hub_ack_failed(sb_pg_queries_hub(queries), of(item)->session_id);
}

const struct sb_pg_kind_table sb_pg_kind_ack = {
	.signature = "slotbell.ack(bigint[],text[],bigint[],integer[],bigint[],text[],integer[],"
		     "bigint[],integer[],bigint[],bigint[])",
	.sql = "SELECT item, outcome, acked FROM slotbell.ack($1, $2, $3, $4, $5, $6, $7, $8, $9, "
	       "$10, $11)",
	.param_count = 11,
	.param_types = {SB_PG_INT8_ARRAY, SB_PG_TEXT_ARRAY, SB_PG_INT8_ARRAY, SB_PG_INT4_ARRAY,
			SB_PG_INT8_ARRAY, SB_PG_TEXT_ARRAY, SB_PG_INT4_ARRAY, SB_PG_INT8_ARRAY,
			SB_PG_INT4_ARRAY, SB_PG_INT8_ARRAY, SB_PG_INT8_ARRAY},
	.column_count = COLUMNS,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
};
