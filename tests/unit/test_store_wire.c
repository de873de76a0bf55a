/* PostgreSQL's binary formats, against bytes that a server's own array_send gave. */
#include "daemon/store/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static void assert_bytes(struct sb_text *text, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	char found[512];

	assert_false(sb_text_failed(text));
	assert_true(text->len * 2 < sizeof(found));
	for (size_t i = 0; i < text->len; i++) {
		found[2 * i] = digits[(unsigned char)text->data[i] >> 4];
		found[2 * i + 1] = digits[text->data[i] & 15];
	}
	found[2 * text->len] = '\0';
	assert_string_equal(found, hex);
	sb_text_clear(text);
}

/* SELECT array_send(ARRAY[…]) on PostgreSQL 15. */
static void arrays_are_what_the_server_itself_writes(void **state)
{
	struct sb_text text;

	(void)state;
	sb_text_init(&text);
	sb_pg_array_begin(&text, SB_PG_INT8, 2);
	sb_pg_array_int8(&text, 1);
	sb_pg_array_int8(&text, -2);
	assert_bytes(&text,
		     "00000001000000000000001400000002000000010000000800000000000000010000000"
		     "8fffffffffffffffe");
	sb_pg_array_begin(&text, SB_PG_BOOL, 2);
	sb_pg_array_bool(&text, true);
	sb_pg_array_bool(&text, false);
	assert_bytes(&text, "0000000100000000000000100000000200000001000000010100000001"
			    "00");
	sb_pg_array_begin(&text, SB_PG_TEXT, 1);
	sb_pg_array_string(&text, "ab");
	assert_bytes(&text, "0000000100000000000000190000000100000001000000026162");
	sb_pg_array_begin(&text, SB_PG_INT4, 1);
	sb_pg_array_int4(&text, 7);
	assert_bytes(&text, "0000000100000000000000170000000100000001"
			    "0000000400000007");
	sb_pg_array_begin(&text, SB_PG_INT8, 0);
	assert_bytes(&text, "000000000000000000000014");
	sb_text_fini(&text);
}

/* A one-row result with these values, as libpq gives it. */
static PGresult *row_of(int count, const char *const *values, const int *lengths)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	static char name[] = "c";
	PGresAttDesc columns[8] = {{0}};

	assert_true(count <= 8);
	for (int i = 0; i < count; i++)
		columns[i].name = name;
	assert_int_equal(PQsetResultAttrs(result, count, columns), 1);
	for (int i = 0; i < count; i++) {
		char copy[16] = ""; /* PQsetvalue wants a value that may be written to */

		if (values[i])
			memcpy(copy, values[i], (size_t)lengths[i]);
		assert_int_equal(PQsetvalue(result, 0, i, values[i] ? copy : NULL, lengths[i]), 1);
	}
	return result;
}

static void integers_are_read_by_their_width(void **state)
{
	const char *values[] = {"\xff\xff\xff\xff\xff\xff\xff\xfe", "\x7f\xff\xff\xff", "\xff\xff",
				NULL};
	const int lengths[] = {8, 4, 2, -1};
	struct sb_pg_row row = {.result = row_of(4, values, lengths)};

	(void)state;
	assert_int_equal(sb_pg_row_int(&row, 0), -2);
	assert_int_equal(sb_pg_row_int(&row, 1), INT32_MAX);
	assert_int_equal(sb_pg_row_int(&row, 2), -1);
	assert_int_equal(sb_pg_row_int(&row, 3), 0);
	assert_true(sb_pg_row_is_null(&row, 3));
	assert_false(row.bad);
	PQclear((PGresult *)(uintptr_t)row.result);
}

static void a_number_of_another_width_makes_the_row_bad(void **state)
{
	const char *values[] = {"12345"};
	const int lengths[] = {5};
	struct sb_pg_row row = {.result = row_of(1, values, lengths)};

	(void)state;
	assert_int_equal(sb_pg_row_int(&row, 0), 0);
	assert_true(row.bad);
	PQclear((PGresult *)(uintptr_t)row.result);
}

static void text_is_read_and_null_stays_null(void **state)
{
	const char *values[] = {"abc", NULL, ""};
	const int lengths[] = {3, -1, 0};
	struct sb_pg_row row = {.result = row_of(3, values, lengths)};

	(void)state;
	assert_string_equal(sb_pg_row_text(&row, 0), "abc");
	assert_null(sb_pg_row_text(&row, 1));
	assert_string_equal(sb_pg_row_text(&row, 2), "");
	PQclear((PGresult *)(uintptr_t)row.result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_are_what_the_server_itself_writes),
		cmocka_unit_test(integers_are_read_by_their_width),
		cmocka_unit_test(a_number_of_another_width_makes_the_row_bad),
		cmocka_unit_test(text_is_read_and_null_stays_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
