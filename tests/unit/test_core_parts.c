/* Core's small parts: numbering, deadlines, frames. */
#include "daemon/core/deadline.h"
#include "daemon/core/frame.h"
#include "daemon/core/numbering.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* after its standard headers */
#include <cmocka.h>

static const struct sb_numbering after_a_failover = {
	.epoch.text = "bbb", .previous_epoch.text = "aaa", .base = 40, .head = 1000043};

static enum sb_verdict judge(const char *epoch, int64_t seq)
{
	struct sb_cursor cursor = {.seq = seq};

	(void)snprintf(cursor.epoch.text, sizeof(cursor.epoch.text), "%s", epoch);
	return sb_numbering_judge(&after_a_failover, &cursor);
}

static void a_cursor_is_good_up_to_head_and_of_the_previous_epoch_up_to_base(void **state)
{
	(void)state;
	assert_int_equal(judge("bbb", 0), SB_VERDICT_GOOD);
	assert_int_equal(judge("bbb", 1000043), SB_VERDICT_GOOD);
	assert_int_equal(judge("bbb", 1000044), SB_VERDICT_BEYOND);
	assert_int_equal(judge("aaa", 39), SB_VERDICT_GOOD);
	assert_int_equal(judge("aaa", 40), SB_VERDICT_GOOD);
	assert_int_equal(judge("aaa", 41), SB_VERDICT_EPOCH);
	assert_int_equal(judge("zzz", 0), SB_VERDICT_EPOCH);
}

static void a_distance_leaves_out_the_jump(void **state)
{
	(void)state;
	assert_int_equal(sb_numbering_distance(&after_a_failover, 38, 40), 2);
	assert_int_equal(sb_numbering_distance(&after_a_failover, 40, 1000041), 1);
	assert_int_equal(sb_numbering_distance(&after_a_failover, 40, 1000040), 0);
	assert_int_equal(sb_numbering_distance(&after_a_failover, 1000041, 1000043), 2);
	assert_int_equal(sb_numbering_distance(&after_a_failover, 43, 40), 0);
}

static void the_first_in_a_queue_is_the_first_due(void **state)
{
	struct sb_deadlines queue = {.wait_ms = 100};
	struct sb_deadline a = {0}, b = {0}, c = {0};

	(void)state;
	sb_deadline_start(&a, &queue, 0);
	sb_deadline_start(&b, &queue, 10);
	sb_deadline_start(&c, &queue, 20);
	sb_deadline_stop(&b);
	sb_deadline_stop(&b);
	assert_null(sb_deadlines_take(&queue, 99));
	assert_ptr_equal(sb_deadlines_take(&queue, 100), &a);
	assert_null(sb_deadlines_take(&queue, 119));
	assert_ptr_equal(sb_deadlines_take(&queue, 120), &c);
	assert_null(sb_deadlines_take(&queue, 1000));
}

static void a_queue_knows_when_it_is_due(void **state)
{
	struct sb_deadlines queue = {.wait_ms = 100};
	struct sb_deadline a = {0}, b = {0};

	(void)state;
	assert_true(sb_deadlines_due_ms(&queue) == UINT64_MAX);
	sb_deadline_start(&a, &queue, 5);
	sb_deadline_start(&b, &queue, 10);
	assert_int_equal(sb_deadlines_due_ms(&queue), 105);
	sb_deadline_start(&a, &queue, 20);
	assert_int_equal(sb_deadlines_due_ms(&queue), 110);
	sb_deadline_stop(&b);
	assert_int_equal(sb_deadlines_due_ms(&queue), 120);
}

static void a_shorter_wait_counts_for_those_that_wait_already(void **state)
{
	struct sb_deadlines queue = {.wait_ms = 300000};
	struct sb_deadline a = {0}, b = {0}, c = {0};

	(void)state;
	sb_deadline_start(&a, &queue, 0);
	sb_deadline_start(&b, &queue, 299500);
	sb_deadlines_set_wait(&queue, 1000, 299600);
	sb_deadline_start(&c, &queue, 299700);
	assert_ptr_equal(sb_deadlines_take(&queue, 300000), &a); /* not later than before */
	assert_null(sb_deadlines_take(&queue, 300599));
	assert_ptr_equal(sb_deadlines_take(&queue, 300600), &b);
	assert_ptr_equal(sb_deadlines_take(&queue, 300700), &c); /* held up by nobody */

	sb_deadline_start(&a, &queue, 400000);
	sb_deadlines_set_wait(&queue, 5000, 400500);
	sb_deadline_start(&b, &queue, 400500);
	assert_ptr_equal(sb_deadlines_take(&queue, 401000),
			 &a); /* a longer one counts from then on */
	assert_null(sb_deadlines_take(&queue, 405499));
	assert_ptr_equal(sb_deadlines_take(&queue, 405500), &b);
}

static void a_frame_goes_with_its_last_reference(void **state)
{
	struct sb_text text;
	struct sb_frame *frame;

	(void)state;
	sb_text_init(&text);
	sb_text_append_string(&text, "{}");
	frame = sb_frame_new(&text);
	sb_text_fini(&text);
	assert_non_null(frame);
	assert_int_equal(frame->len, 2);
	assert_memory_equal(frame->bytes, "{}", 2);
	assert_ptr_equal(sb_frame_ref(frame), frame);
	sb_frame_unref(frame);
	assert_int_equal(frame->references, 1);
	sb_frame_unref(frame);
	sb_frame_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cursor_is_good_up_to_head_and_of_the_previous_epoch_up_to_base),
		cmocka_unit_test(a_distance_leaves_out_the_jump),
		cmocka_unit_test(the_first_in_a_queue_is_the_first_due),
		cmocka_unit_test(a_queue_knows_when_it_is_due),
		cmocka_unit_test(a_shorter_wait_counts_for_those_that_wait_already),
		cmocka_unit_test(a_frame_goes_with_its_last_reference),
	};

	return cmocka_run_group_tests_name("core: parts", tests, NULL, NULL);
}
