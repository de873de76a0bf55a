/* When statements keep a distance: how many questions come, and how fast the database answers. */
#include "daemon/store/pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define SECOND_US 1000000

/* A kind's questions in virtual time: they come evenly, and the database takes equally long for
 * each statement. */
struct run {
	struct sb_pg_pace pace;
	uint64_t now_us;
	uint32_t waiting;     /* questions */
	uint64_t answered_us; /* when the statement in flight is; 0: none */
	uint32_t statements, questions;
	uint32_t longest_us; /* from a question to its statement */
	uint64_t oldest_us;
};

static void let_go(struct run *run, uint32_t answer_us)
{
	if (run->answered_us && run->now_us >= run->answered_us) {
		sb_pg_pace_answered(&run->pace, run->now_us);
		run->answered_us = 0;
	}
	if (!run->waiting || run->answered_us || sb_pg_pace_wait_us(&run->pace, run->now_us) > 0)
		return;
	if (run->now_us - run->oldest_us > run->longest_us)
		run->longest_us = (uint32_t)(run->now_us - run->oldest_us);
	sb_pg_pace_sent(&run->pace, run->now_us);
	run->answered_us = run->now_us + answer_us;
	run->waiting = 0;
	run->statements++;
}

/* So many questions a second, for so long. Counts from zero; a turn of the loop is 100 us. */
static void ask(struct run *run, uint32_t per_second, uint32_t answer_us, uint32_t seconds)
{
	uint64_t begun_us = run->now_us;
	uint64_t asked = 0;

	run->statements = run->questions = run->longest_us = 0;
	for (; run->now_us < begun_us + (uint64_t)seconds * SECOND_US; run->now_us += 100) {
		while (asked < (run->now_us - begun_us) * per_second / SECOND_US) {
			if (run->waiting++ == 0)
				run->oldest_us = run->now_us;
			sb_pg_pace_asked(&run->pace, run->now_us);
			asked++;
			run->questions++;
		}
		let_go(run, answer_us);
	}
}

static struct run begin(void)
{
	return (struct run){.now_us = SECOND_US};
}

static void few_questions_never_wait(void **state)
{
	struct run run = begin();

	(void)state;
	ask(&run, 680, 300, 10);
	assert_int_equal(run.statements, run.questions);
	assert_true(run.longest_us == 0);
}

static void the_first_after_a_silence_never_waits(void **state)
{
	struct run run = begin();

	(void)state;
	ask(&run, 5000, 300, 2);
	assert_true(run.pace.busy);
	run.now_us += SECOND_US;
	sb_pg_pace_asked(&run.pace, run.now_us);
	assert_int_equal(sb_pg_pace_wait_us(&run.pace, run.now_us), 0);
}

static void many_questions_share_statements_and_wait_30_ms_at_the_most(void **state)
{
	static const uint32_t rates[] = {720, 1000, 2000, 5000, 20000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct run run = begin();

		ask(&run, rates[i], 300, 1); /* it takes a window to see it */
		ask(&run, rates[i], 300, 10);
		/* Two statements for a booking, a fetch and an ack: a tenth of one in all. */
		assert_true(run.statements * 20 <= run.questions);
		assert_true(run.longest_us <= SB_PG_PACE_MIN_US);
		if (rates[i] > 1200) {
			assert_true(run.questions / run.statements >= SB_PG_PACE_ITEMS * 9 / 10);
			assert_true(run.questions / run.statements <=
				    SB_PG_PACE_ITEMS * 11 / 10 + 2);
		}
	}
}

static void a_slow_database_is_asked_as_often_as_it_can_take(void **state)
{
	struct run run = begin();

	(void)state;
	/* 400 a second at 4 ms each: less than two come while one is answered. */
	ask(&run, 400, 4000, 10);
	assert_true(run.statements * 2 > run.questions);
	assert_true(run.longest_us <= 4000);
	/* At 6 ms more than two do. */
	ask(&run, 400, 6000, 1);
	ask(&run, 400, 6000, 10);
	assert_true(run.statements * 20 <= run.questions);
	assert_true(run.longest_us <= 60000);
}

static void nobody_waits_longer_than_100_ms(void **state)
{
	struct run run = begin();

	(void)state;
	ask(&run, 200, 80000, 1);
	ask(&run, 200, 80000, 10);
	assert_true(run.longest_us <= SB_PG_PACE_MAX_US);
	/* Not even behind a database that takes a second: that itself is distance enough. */
	ask(&run, 200, SECOND_US, 10);
	assert_true(run.longest_us <= SECOND_US);
	assert_true(run.statements >= 9);
}

static void it_is_over_when_the_questions_are_fewer(void **state)
{
	struct run run = begin();

	(void)state;
	ask(&run, 3000, 300, 2);
	/* Between the two bounds it stays as it is. */
	ask(&run, 600, 300, 5);
	assert_true(run.pace.busy && run.statements < run.questions / 10);
	ask(&run, 400, 300, 1);
	ask(&run, 400, 300, 5);
	assert_true(!run.pace.busy);
	assert_int_equal(run.statements, run.questions);
	ask(&run, 600, 300, 5);
	assert_true(!run.pace.busy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_questions_never_wait),
		cmocka_unit_test(the_first_after_a_silence_never_waits),
		cmocka_unit_test(many_questions_share_statements_and_wait_30_ms_at_the_most),
		cmocka_unit_test(a_slow_database_is_asked_as_often_as_it_can_take),
		cmocka_unit_test(nobody_waits_longer_than_100_ms),
		cmocka_unit_test(it_is_over_when_the_questions_are_fewer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
