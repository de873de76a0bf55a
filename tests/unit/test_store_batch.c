/* Questions of one kind: waiting, flying, halved, back again. */
#include "daemon/store/batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

struct item {
	struct sb_pg_item item; /* first */
	int number;
};

static void add(struct sb_pg_batch *batch, int from, int to)
{
	for (int i = from; i <= to; i++) {
		struct item *item = calloc(1, sizeof(*item));

		assert_non_null(item);
		item->number = i;
		sb_pg_batch_add(batch, &item->item);
	}
}

static int number_of(const struct sb_pg_item *item)
{
	return ((const struct item *)item)->number;
}

/* The next statement has exactly these. */
static void assert_takes(struct sb_pg_batch *batch, int from, int to)
{
	assert_int_equal(sb_pg_batch_take(batch), to - from + 1);
	for (int i = from; i <= to; i++)
		assert_int_equal(number_of(batch->flying[i - from]), i);
}

static void answer_all(struct sb_pg_batch *batch)
{
	while (batch->flying_count > 0)
		free(batch->flying[--batch->flying_count]);
}

static void what_waits_goes_out_in_order_and_no_more_than_fits(void **state)
{
	struct sb_pg_batch batch;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 3, 100), 0);
	add(&batch, 1, 5);
	assert_takes(&batch, 1, 3);
	answer_all(&batch);
	add(&batch, 6, 6);
	assert_takes(&batch, 4, 6);
	answer_all(&batch);
	assert_int_equal(sb_pg_batch_take(&batch), 0);
	assert_true(sb_pg_batch_idle(&batch));
	add(&batch, 7, 7);
	assert_takes(&batch, 7, 7);
	sb_pg_batch_fini(&batch);
}

static void a_bad_item_is_found_by_halving_and_the_others_pass(void **state)
{
	struct sb_pg_batch batch;
	int statements = 0, passed = 0, failed = 0;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 64, 100), 0);
	add(&batch, 1, 64);
	add(&batch, 100, 104); /* came while it went wrong */
	while (sb_pg_batch_take(&batch) > 0) {
		struct sb_pg_item *alone = NULL;
		bool bad = false;

		statements++;
		for (size_t i = 0; i < batch.flying_count; i++)
			bad = bad || number_of(batch.flying[i]) == 13;
		if (!bad) {
			passed += (int)batch.flying_count;
			answer_all(&batch);
		} else if ((alone = sb_pg_batch_split(&batch)) != NULL) {
			assert_int_equal(number_of(alone), 13);
			free(alone);
			failed++;
		}
	}
	assert_int_equal(failed, 1);
	assert_int_equal(passed, 63 + 5);
	/* 64, 32, 16, 8, 4, 2, 1 with it, as many halves without, and the late ones. */
	assert_int_equal(statements, 7 + 6 + 1);
	sb_pg_batch_fini(&batch);
}

static void halves_of_a_failure_never_mix_with_others(void **state)
{
	struct sb_pg_batch batch;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 10, 100), 0);
	add(&batch, 1, 5);
	assert_takes(&batch, 1, 5);
	assert_null(sb_pg_batch_split(&batch));
	add(&batch, 6, 7);
	assert_takes(&batch, 1, 2);
	answer_all(&batch);
	assert_takes(&batch, 3, 5);
	answer_all(&batch);
	assert_takes(&batch, 6, 7);
	sb_pg_batch_fini(&batch);
}

static void a_lost_connection_puts_what_flew_in_front_of_what_waits(void **state)
{
	struct sb_pg_batch batch;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 3, 100), 0);
	add(&batch, 1, 5);
	assert_takes(&batch, 1, 3);
	batch.flying[0]->answered = true; /* before its Sync that counts for nothing */
	sb_pg_batch_requeue(&batch);
	assert_int_equal(batch.waiting, 5);
	assert_takes(&batch, 1, 3);
	assert_false(batch.flying[0]->answered);
	sb_pg_batch_requeue(&batch);
	sb_pg_batch_fini(&batch);
}

static void an_item_under_which_connections_die_is_halved_in_the_end(void **state)
{
	struct sb_pg_batch batch;
	int losses = 0;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 4, 100), 0);
	add(&batch, 1, 4);
	for (assert_takes(&batch, 1, 4); !sb_pg_batch_cursed(&batch); assert_takes(&batch, 1, 4)) {
		sb_pg_batch_requeue(&batch);
		losses++;
	}
	assert_int_equal(losses, SB_PG_LOSSES_MAX);
	assert_null(sb_pg_batch_split(&batch));
	assert_takes(&batch, 1, 2);
	assert_false(sb_pg_batch_cursed(&batch));
	sb_pg_batch_fini(&batch);
}

static void the_bound_counts_what_flies_too(void **state)
{
	struct sb_pg_batch batch;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 2, 3), 0);
	add(&batch, 1, 2);
	assert_takes(&batch, 1, 2);
	assert_false(sb_pg_batch_full(&batch));
	add(&batch, 3, 3);
	assert_true(sb_pg_batch_full(&batch));
	answer_all(&batch);
	assert_false(sb_pg_batch_full(&batch));
	sb_pg_batch_fini(&batch);
}

static void groups_begin_anew_before_their_numbers_run_out(void **state)
{
	struct sb_pg_batch batch;

	(void)state;
	assert_int_equal(sb_pg_batch_init(&batch, 4, 100), 0);
	batch.last_group = UINT32_MAX - 3;
	add(&batch, 1, 2);
	assert_takes(&batch, 1, 2);
	assert_null(sb_pg_batch_split(&batch));
	assert_int_not_equal(batch.first->group, batch.first->next->group);
	assert_takes(&batch, 1, 1);
	answer_all(&batch);
	add(&batch, 3, 4);
	assert_takes(&batch, 2, 2);
	answer_all(&batch);
	assert_takes(&batch, 3, 4);
	assert_null(sb_pg_batch_split(&batch));
	assert_int_equal(batch.first->group, 1);
	sb_pg_batch_fini(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_goes_out_in_order_and_no_more_than_fits),
		cmocka_unit_test(a_bad_item_is_found_by_halving_and_the_others_pass),
		cmocka_unit_test(halves_of_a_failure_never_mix_with_others),
		cmocka_unit_test(a_lost_connection_puts_what_flew_in_front_of_what_waits),
		cmocka_unit_test(an_item_under_which_connections_die_is_halved_in_the_end),
		cmocka_unit_test(the_bound_counts_what_flies_too),
		cmocka_unit_test(groups_begin_anew_before_their_numbers_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
