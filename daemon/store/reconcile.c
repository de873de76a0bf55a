/*
 * The kind "reconcile": what do these devices' rows say now? See kind.h.
 *
 * Asked for one device at a time (a control notification) and for all that the
 * hub holds (the walk). A device waits at most once. One that is asked for
 * while its answer is on the way is asked again after it, for that answer may
 * be older than what the question is about.
 */
#include "daemon/core/hub.h"
#include "daemon/store/kind.h"
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

struct sb_pg_recheck {
	struct sb_pg_item item; /* first */
	int64_t device_id;
	bool flying;
	bool again;  /* asked for while flying */
	bool walked; /* counted in reconciler->open */
	UT_hash_handle hh;
};

enum column { DEVICE_ID, OUTCOME, SESSION_NO, ACKED, NUMBERING, COLUMNS = NUMBERING + 5 };

/* The device's item, found or made; NULL when out of memory. */
static struct sb_pg_recheck *ask(struct sb_pg_queries *queries, int64_t device_id)
{
	struct sb_pg_reconciler *reconciler = sb_pg_queries_reconciler(queries);
	struct sb_pg_recheck *recheck;

	HASH_FIND(hh, reconciler->by_device, &device_id, sizeof(device_id), recheck);
	if (recheck) {
		recheck->again = recheck->flying;
		return recheck;
	}
	recheck = calloc(1, sizeof(*recheck));
	if (!recheck)
		return NULL;
	recheck->device_id = device_id;
	HASH_ADD(hh, reconciler->by_device, device_id, sizeof(recheck->device_id), recheck);
	if (!recheck->hh.tbl) {
		free(recheck);
		return NULL;
	}
	sb_pg_queries_add(queries, SB_PG_KIND_RECONCILE, &recheck->item);
	return recheck;
}

int sb_pg_queries_recheck(struct sb_pg_queries *queries, int64_t device_id)
{
	if (sb_pg_batch_full(sb_pg_queries_batch(queries, SB_PG_KIND_RECONCILE)))
		return -ENOMEM;
	return ask(queries, device_id) ? 0 : -ENOMEM;
}

/* ---- the walk ---- */

int sb_pg_reconciler_step(struct sb_pg_queries *queries)
{
	const struct sb_pg_batch *batch = sb_pg_queries_batch(queries, SB_PG_KIND_RECONCILE);
	struct sb_pg_reconciler *reconciler = sb_pg_queries_reconciler(queries);
	size_t room, count;

	if (!reconciler->walking || reconciler->exhausted || batch->flying_count > 0 ||
	    batch->waiting >= batch->max_items)
		return 0;
	room = batch->max_items - batch->waiting;
	count = sb_hub_held_devices(sb_pg_queries_hub(queries), reconciler->after,
				    reconciler->chunk, room);
	for (size_t i = 0; i < count; i++) {
		struct sb_pg_recheck *recheck = ask(queries, reconciler->chunk[i]);

		if (!recheck)
			return -ENOMEM;
		if (!recheck->walked)
			reconciler->open++;
		recheck->walked = true;
		reconciler->after = recheck->device_id;
	}
	reconciler->exhausted = count < room;
	return 0;
}

bool sb_pg_reconciler_finished(struct sb_pg_queries *queries)
{
	struct sb_pg_reconciler *reconciler = sb_pg_queries_reconciler(queries);

	if (!reconciler->walking || !reconciler->exhausted || reconciler->open > 0)
		return false;
	reconciler->walking = false;
	return true;
}

void sb_pg_reconciler_fini(struct sb_pg_reconciler *reconciler)
{
	HASH_CLEAR(hh, reconciler->by_device);
	free(reconciler->chunk);
}

/* ---- the kind ---- */

static void write_params(struct sb_pg_queries *queries, struct sb_pg_item *const *items,
			 size_t count, struct sb_text params[SB_PG_PARAMS_MAX])
{
	(void)queries;
	sb_pg_array_begin(&params[0], SB_PG_INT8, count);
	for (size_t i = 0; i < count; i++) {
		struct sb_pg_recheck *recheck = (struct sb_pg_recheck *)items[i];

		recheck->flying = true;
		sb_pg_array_int8(&params[0], recheck->device_id);
	}
}

static int read_row(struct sb_pg_row *row, struct sb_device_state *ret_state)
{
	*ret_state = (struct sb_device_state){.device_id = sb_pg_row_int(row, DEVICE_ID)};
	if (sb_pg_outcome_parse(sb_pg_row_text(row, OUTCOME), &ret_state->outcome) < 0)
		return -EPROTO;
	if (ret_state->outcome == SB_AUTH_OK) {
		ret_state->session_no = sb_pg_row_int(row, SESSION_NO);
		ret_state->acked = sb_pg_row_int(row, ACKED);
		if (sb_pg_row_numbering(row, NUMBERING, &ret_state->numbering) < 0)
			return -EPROTO;
	}
	return row->bad ? -EPROTO : 0;
}

static void answer(struct sb_pg_queries *queries, struct sb_pg_item *const *items, size_t count,
		   const PGresult *result)
{
	(void)items;
	(void)count;
	for (int i = 0; i < PQntuples(result); i++) {
		struct sb_pg_row row = {.result = result, .row = i};
		struct sb_device_state state;
		struct sb_pg_recheck *recheck;

		if (read_row(&row, &state) < 0)
			continue;
		HASH_FIND(hh, sb_pg_queries_reconciler(queries)->by_device, &state.device_id,
			  sizeof(state.device_id), recheck);
		if (!recheck || !recheck->flying || recheck->item.answered)
			continue;
		recheck->item.answered = true;
		sb_hub_device_state(sb_pg_queries_hub(queries), &state);
	}
}

static void fail(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	/* Nobody waits for it; the walk asks again within a minute. queries.c has logged it. */
	(void)queries;
	(void)item;
}

static bool retire(struct sb_pg_queries *queries, struct sb_pg_item *item)
{
	struct sb_pg_reconciler *reconciler = sb_pg_queries_reconciler(queries);
	struct sb_pg_recheck *recheck = (struct sb_pg_recheck *)item;

	recheck->flying = false;
	if (recheck->again) {
		recheck->again = false;
		return true;
	}
	if (recheck->walked)
		reconciler->open--;
	HASH_DELETE(hh, reconciler->by_device, recheck);
	return false;
}

const struct sb_pg_kind_table sb_pg_kind_reconcile = {
	.signature = "slotbell.reconcile(bigint[])",
	.sql = "SELECT device_id, outcome, session_no, acked, head, epoch, previous_epoch, base, "
	       "floor "
	       "FROM slotbell.reconcile($1)",
	.param_count = 1,
	.param_types = {SB_PG_INT8_ARRAY},
	.column_count = COLUMNS,
	.bind = write_params,
	.answer = answer,
	.fail = fail,
	.retire = retire,
};
