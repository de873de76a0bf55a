/* The kind "fetch": what lies after this seq in this mailbox? See kind.h. */
#include "daemon/core/hub.h"
#include "daemon/store/kind.h"
#include <errno.h>
#include <stdlib.h>

struct item {
	struct sb_pg_item item; /* first */
	struct sb_fetch question;
};

enum column {
	MAILBOX_ID,
	AFTER,
	NUMBERING,
	SEQ = NUMBERING + 5,
	VERSION,
	CHANGE,
	PUBLISHED_AT,
	UID,
	STARTS_AT,
	STARTS_LOCAL,
	TIME_ZONE,
	DURATION,
	SUBJECT,
	ATTENDEES,
	DETAILS,
	COLUMNS
};

int sb_pg_queries_fetch(struct sb_pg_queries *queries, const struct sb_fetch *question)
{
	struct item *item;

	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_FETCH)))
		return -ENOMEM;
	item = calloc(1, sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->question = *question;
	sb_pg_queries_add(queries, SB_PG_KIND_FETCH, &item->item);
	return 0;
}

static const struct sb_fetch *question_of(const struct sb_pg_item *item)
{
	return &((const struct item *)item)->question;
}

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	const struct sb_pg_config *config = sb_pg_queries_config(queries);

	sb_pg_array_begin(&params[0], SB_PG_INT8, count);
	sb_pg_array_begin(&params[1], SB_PG_INT8, count);
	for (size_t i = 0; i < count; i++) {
		sb_pg_array_int8(&params[0], question_of(items[i])->mailbox_id);
		sb_pg_array_int8(&params[1], question_of(items[i])->after);
	}
	sb_pg_param_int4(&params[2], config->max_events);
	sb_pg_param_int4(&params[3], config->max_bytes);
}

static int read_event(struct sb_pg_row *row, int64_t after, struct sb_event *ret_event)
{
	*ret_event = (struct sb_event){
		.seq = sb_pg_row_int(row, SEQ),
		.version = sb_pg_row_int(row, VERSION),
		.published_at_us = sb_pg_row_int(row, PUBLISHED_AT),
		.uid = sb_pg_row_text(row, UID),
		.has_starts_at = !sb_pg_row_is_null(row, STARTS_AT),
		.starts_at_s = sb_pg_row_int(row, STARTS_AT),
		.starts_local = sb_pg_row_text(row, STARTS_LOCAL),
		.time_zone = sb_pg_row_text(row, TIME_ZONE),
		.duration_minutes = (int)sb_pg_row_int(row, DURATION),
		.subject = sb_pg_row_text(row, SUBJECT),
		.attendees = sb_pg_row_text(row, ATTENDEES),
		.details = sb_pg_row_text(row, DETAILS),
	};
	if (!ret_event->uid)
		return -EPROTO;
	/* Not CANCELLED, whatever it was meant to be: that would take an appointment away. */
	if (sb_pg_row_is_null(row, CHANGE) ||
	    sb_change_parse(sb_pg_row_text(row, CHANGE), &ret_event->change) < 0) {
		ret_event->change = SB_CHANGE_UPDATED;
		ret_event->is_spoiled = true;
	}
	return row->bad || ret_event->seq <= after ? -EPROTO : 0;
}

/*
 * Reads one mailbox's rows, from `first` on, and returns the row after them.
 * *ret_error: 0, or -EPROTO when they are not what fetch promises.
 */
static int read_rows(struct sb_pg_queries *queries, const PGresult *result, int first,
		     struct sb_fetched *ret_fetched, int *ret_error)
{
	struct sb_event *events = sb_pg_queries_events(queries);
	const int max = sb_pg_queries_config(queries)->max_events;
	struct sb_pg_row row = {.result = result, .row = first};
	int64_t mailbox_id = sb_pg_row_int(&row, MAILBOX_ID);
	int64_t last = sb_pg_row_int(&row, AFTER);

	*ret_fetched = (struct sb_fetched){.after = last, .events = events};
	*ret_error = sb_pg_row_numbering(&row, NUMBERING, &ret_fetched->numbering);
	for (; row.row < PQntuples(result); row.row++) {
		if (sb_pg_row_int(&row, MAILBOX_ID) != mailbox_id ||
		    sb_pg_row_int(&row, AFTER) != ret_fetched->after)
			break;
		if (sb_pg_row_is_null(&row, SEQ) || *ret_error < 0)
			continue;
		if (ret_fetched->count == (size_t)max ||
		    read_event(&row, last, &events[ret_fetched->count]) < 0)
			*ret_error = -EPROTO;
		else
			last = events[ret_fetched->count++].seq;
	}
	return row.row;
}

/* Rows mostly come in the order asked: `hint` is where the last one was found. */
static struct sb_pg_item *find(struct sb_pg_item *const *items, size_t count, int64_t mailbox_id,
			       int64_t after, size_t *hint)
{
	for (size_t tried = 0; tried < count; tried++) {
		size_t i = (*hint + tried) % count;

		if (!items[i]->answered && question_of(items[i])->mailbox_id == mailbox_id &&
		    question_of(items[i])->after == after) {
			*hint = i;
			return items[i];
		}
	}
	return NULL;
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	size_t hint = 0;
	int next = 0;

	while (next < PQntuples(result)) {
		struct sb_pg_row row = {.result = result, .row = next};
		int64_t mailbox_id = sb_pg_row_int(&row, MAILBOX_ID);
		struct sb_fetched fetched;
		struct sb_pg_item *item;
		int error;

		next = read_rows(queries, result, next, &fetched, &error);
		item = find(items, count, mailbox_id, fetched.after, &hint);
		if (!item || error < 0)
			continue;
		item->answered = true;
		sb_hub_fetched(sb_pg_queries_hub(queries), mailbox_id, &fetched);
	}
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	sb_hub_fetch_failed(sb_pg_queries_hub(queries), question_of(item)->mailbox_id);
}

const struct sb_pg_kind_table sb_pg_kind_fetch = {
	.signature = "slotbell.next_events(bigint[],bigint[],integer,integer)",
	.sql = "SELECT mailbox_id, after, head, epoch, previous_epoch, base, floor, seq, "
	       "version, change, published_at_us, "
	       "uid, starts_at_s, starts_local, time_zone, duration_minutes, subject, attendees, "
	       "details "
	       "FROM slotbell.next_events($1, $2, $3, $4)",
	.param_count = 4,
	.param_types = {SB_PG_INT8_ARRAY, SB_PG_INT8_ARRAY, SB_PG_INT4, SB_PG_INT4},
	.column_count = COLUMNS,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
};
