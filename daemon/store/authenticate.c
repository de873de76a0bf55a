/* The kind "authenticate": who is this? See kind.h. */
#include "daemon/core/hub.h"
#include "daemon/store/kind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct sb_pg_item item; /* first */
	struct sb_authenticate question;
};

enum column {
	ITEM,
	OUTCOME,
	MAILBOX_ID,
	ADDRESS,
	SESSION_NO,
	ACKED,
	EXPIRES_AT,
	NUMBERING,
	COLUMNS = NUMBERING + 5
};

int sb_pg_queries_authenticate(struct sb_pg_queries *queries,
			       const struct sb_authenticate *question)
{
	struct item *item;

	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_AUTHENTICATE)))
		return -ENOMEM;
	item = calloc(1, sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->question = *question;
	sb_pg_queries_add(queries, SB_PG_KIND_AUTHENTICATE, &item->item);
	return 0;
}

static const struct sb_authenticate *question_of(struct sb_pg_item *item)
{
	return &((struct item *)item)->question;
}

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	(void)queries;
	sb_pg_array_begin(&params[0], SB_PG_INT8, count);
	sb_pg_array_begin(&params[1], SB_PG_BYTEA, count);
	sb_pg_array_begin(&params[2], SB_PG_BOOL, count);
	for (size_t i = 0; i < count; i++) {
		const struct sb_authenticate *question = question_of(items[i]);

		sb_pg_array_int8(&params[0], question->device_id);
		sb_pg_array_bytes(&params[1], question->proof, sizeof(question->proof));
		sb_pg_array_bool(&params[2], question->takes_over);
	}
}

static int read_row(struct sb_pg_row *row, struct sb_authenticated *ret_answer)
{
	*ret_answer = (struct sb_authenticated){0};
	if (sb_pg_outcome_parse(sb_pg_row_text(row, OUTCOME), &ret_answer->outcome) < 0)
		return -EPROTO;
	if (ret_answer->outcome != SB_AUTH_OK)
		return 0;
	ret_answer->mailbox_id = sb_pg_row_int(row, MAILBOX_ID);
	ret_answer->address = sb_pg_row_text(row, ADDRESS);
	ret_answer->session_no = sb_pg_row_int(row, SESSION_NO);
	ret_answer->acked = sb_pg_row_int(row, ACKED);
	ret_answer->expires_at_s = sb_pg_row_int(row, EXPIRES_AT);
	if (sb_pg_row_numbering(row, NUMBERING, &ret_answer->numbering) < 0 || !ret_answer->address)
		return -EPROTO;
	return row->bad ? -EPROTO : 0;
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++) {
		struct sb_pg_row row = {.result = result, .row = i};
		int64_t n = sb_pg_row_int(&row, ITEM);
		struct sb_authenticated authenticated;

		if (n < 1 || (uint64_t)n > count || items[n - 1]->answered ||
		    read_row(&row, &authenticated) < 0)
			continue;
		items[n - 1]->answered = true;
		sb_hub_authenticated(sb_pg_queries_hub(queries),
				     question_of(items[n - 1])->session_id, &authenticated);
	}
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	sb_hub_authenticate_failed(sb_pg_queries_hub(queries), question_of(item)->session_id);
}

static bool retire(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	(void)queries;
	explicit_bzero(((struct item *)item)->question.proof, SB_TOKEN_PROOF_BYTES);
	return false;
}

const struct sb_pg_kind_table sb_pg_kind_authenticate = {
	.signature = "slotbell.authenticate(bigint[],bytea[],boolean[])",
	.sql = "SELECT item, outcome, mailbox_id, address, session_no, acked, expires_at_s, "
	       "head, epoch, previous_epoch, base, floor FROM slotbell.authenticate($1, $2, $3)",
	.param_count = 3,
	.param_types = {SB_PG_INT8_ARRAY, SB_PG_BYTEA_ARRAY, SB_PG_BOOL_ARRAY},
	.column_count = COLUMNS,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
	.retire = retire,
};
