/* EPOCH.SEQ: one spelling, every bound, nothing read past the end. */
#include "protocol/cursor.h"
#include "test_protocol_help.h"

static int parse(const char *text, struct sb_cursor *ret_cursor)
{
	size_t len = strlen(text);
	/* An exact copy without terminator: a sanitizer sees a read past the end. */
	char *exact = malloc(len ? len : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, text, len);
	result = sb_cursor_parse(exact, len, ret_cursor);
	free(exact);
	return result;
}

static void what_is_parsed_is_written_the_same(void **state)
{
	const char *const good[] = {"k3f9q2.41", "a.0",
				    "0.1",	 "zzzzzzzzzzzzzzz.1",
				    "7.1000000", "k3f9q2xy.9223372036854775807"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char buffer[SB_CURSOR_MAX + 1];
		struct sb_cursor cursor;

		assert_int_equal(parse(good[i], &cursor), 0);
		assert_int_equal(sb_cursor_format(&cursor, buffer), strlen(good[i]));
		assert_string_equal(buffer, good[i]);
	}
}

static void what_is_no_cursor_is_refused_and_changes_nothing(void **state)
{
	const char *const bad[] = {
		"",
		".",
		"k",
		"k.",
		".1",
		"41",
		"k.01",
		"k.00",
		"k.-1",
		"k.+1",
		"k.1 ",
		" k.1",
		"k .1",
		"k. 1",
		"K.1",
		"k_.1",
		"k-1",
		"k.1.2",
		"k..1",
		"k.1e3",
		"k.0x1",
		"\xc3.1",
		"k.1\n",
		"k.9223372036854775808",
		"k.18446744073709551617",
		"k.99999999999999999999999999",
		"aaaaaaaaaaaaaaaa.1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct sb_cursor cursor = {.epoch.text = "before", .seq = 7};

		assert_int_equal(parse(bad[i], &cursor), -EINVAL);
		assert_string_equal(cursor.epoch.text, "before");
		assert_int_equal(cursor.seq, 7);
	}
}

static void a_nul_inside_is_refused(void **state)
{
	struct sb_cursor cursor;

	(void)state;
	assert_int_equal(sb_cursor_parse("k\0.1", 4, &cursor), -EINVAL);
	assert_int_equal(sb_cursor_parse("k.1\0", 4, &cursor), -EINVAL);
}

static void the_longest_cursor_fits_its_buffer(void **state)
{
	char buffer[SB_CURSOR_MAX + 1];
	struct sb_cursor cursor;

	(void)state;
	assert_int_equal(parse("abcdefghijklmno.9223372036854775807", &cursor), 0);
	assert_int_equal(cursor.seq, INT64_MAX);
	assert_int_equal(sb_cursor_format(&cursor, buffer), SB_CURSOR_MAX);
}

static void an_epoch_is_one_to_fifteen_letters_and_digits(void **state)
{
	struct sb_epoch epoch;

	(void)state;
	assert_int_equal(sb_epoch_parse("", 0, &epoch), -EINVAL);
	assert_int_equal(sb_epoch_parse("a", 1, &epoch), 0);
	assert_int_equal(sb_epoch_parse("0123456789abcde", 15, &epoch), 0);
	assert_string_equal(epoch.text, "0123456789abcde");
	assert_int_equal(sb_epoch_parse("0123456789abcdef", 16, &epoch), -EINVAL);
	assert_int_equal(sb_epoch_parse("aB", 2, &epoch), -EINVAL);
	assert_int_equal(sb_epoch_parse("a.b", 3, &epoch), -EINVAL);
}

static void epochs_are_equal_by_their_text(void **state)
{
	struct sb_epoch a, b;

	(void)state;
	assert_int_equal(sb_epoch_parse("k3f9q2", 6, &a), 0);
	assert_int_equal(sb_epoch_parse("k3f9q2", 6, &b), 0);
	assert_true(sb_epoch_equal(&a, &b));
	assert_int_equal(sb_epoch_parse("k3f9q", 5, &b), 0);
	assert_false(sb_epoch_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_parsed_is_written_the_same),
		TEST(what_is_no_cursor_is_refused_and_changes_nothing),
		TEST(a_nul_inside_is_refused),
		TEST(the_longest_cursor_fits_its_buffer),
		TEST(an_epoch_is_one_to_fifteen_letters_and_digits),
		TEST(epochs_are_equal_by_their_text),
	};

	return cmocka_run_group_tests_name("protocol/cursor", tests, NULL, NULL);
}
