/* The table: found is what was put in, also after thousands came and went. */
#include "daemon/core/table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
/* after its standard headers */
#include <cmocka.h>

#define THINGS 5000

struct thing {
	char other;
	int64_t id;
	bool in;
};

static struct thing things[THINGS];

static void number_them(int64_t first, int64_t step)
{
	for (int i = 0; i < THINGS; i++)
		things[i] = (struct thing){.id = first + i * step};
}

/* The same numbers every time. */
static uint32_t next_random(void)
{
	static uint32_t value = 1;

	value = value * 1664525 + 1013904223;
	return value >> 8;
}

static void an_empty_table_has_nothing(void **state)
{
	struct sb_table table;

	(void)state;
	sb_table_init(&table, offsetof(struct thing, id));
	assert_null(sb_table_find(&table, 1));
	assert_null(sb_table_next(&table, NULL));
	sb_table_fini(&table);
}

/* Finds exactly those that are in, and walks over each of them once. */
static void check(const struct sb_table *table)
{
	size_t in = 0, walked = 0;

	for (int i = 0; i < THINGS; i++) {
		in += things[i].in;
		assert_ptr_equal(sb_table_find(table, (uint64_t)things[i].id),
				 things[i].in ? &things[i] : NULL);
	}
	for (struct thing *thing = sb_table_next(table, NULL); thing;
	     thing = sb_table_next(table, thing)) {
		assert_true(thing->in);
		walked++;
	}
	assert_int_equal(walked, in);
	assert_int_equal(table->count, in);
}

static void whatever_comes_and_goes_is_found(void **state)
{
	static const struct {
		int64_t first, step;
	} ids[] = {{1, 1}, {-100, 1}, {1, 4096}, {1, INT64_C(1) << 32}, {INT64_MAX - THINGS, 1}};
	struct sb_table table;

	(void)state;
	for (size_t n = 0; n < sizeof(ids) / sizeof(*ids); n++) {
		number_them(ids[n].first, ids[n].step);
		sb_table_init(&table, offsetof(struct thing, id));
		for (int turn = 0; turn < 4 * THINGS; turn++) {
			struct thing *thing = &things[next_random() % THINGS];

			if (thing->in)
				sb_table_remove(&table, thing);
			else
				assert_int_equal(sb_table_add(&table, thing), 0);
			thing->in = !thing->in;
			if (turn % 5000 == 0)
				check(&table);
		}
		check(&table);
		/* and when all have gone, none is left behind */
		for (int i = 0; i < THINGS; i++) {
			if (things[i].in)
				sb_table_remove(&table, &things[i]);
			things[i].in = false;
		}
		check(&table);
		sb_table_fini(&table);
	}
}

static void another_of_the_same_id_takes_the_place(void **state)
{
	struct thing first = {.id = 7}, heir = {.id = 7};
	struct sb_table table;

	(void)state;
	sb_table_init(&table, offsetof(struct thing, id));
	assert_int_equal(sb_table_add(&table, &first), 0);
	sb_table_replace(&table, &first, &heir);
	assert_ptr_equal(sb_table_find(&table, 7), &heir);
	assert_int_equal(table.count, 1);
	sb_table_remove(&table, &heir);
	assert_null(sb_table_find(&table, 7));
	sb_table_fini(&table);
}

static void a_place_takes_eight_bytes_and_there_are_at_most_three_for_a_thing(void **state)
{
	struct sb_table table;

	(void)state;
	number_them(1, 1);
	sb_table_init(&table, offsetof(struct thing, id));
	for (int i = 0; i < THINGS; i++) {
		assert_int_equal(sb_table_add(&table, &things[i]), 0);
		assert_true(i < 16 || table.size <= 3 * table.count);
		assert_true(table.size > table.count);
	}
	sb_table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_has_nothing),
		cmocka_unit_test(whatever_comes_and_goes_is_found),
		cmocka_unit_test(another_of_the_same_id_takes_the_place),
		cmocka_unit_test(a_place_takes_eight_bytes_and_there_are_at_most_three_for_a_thing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
