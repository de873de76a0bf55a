/* The list of reasons keeps what RFC 6455 and the documents promise. */
#include "protocol/reason.h"
#include "test_protocol_help.h"

static void every_reason_has_a_code_and_a_word_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		const char *word = sb_reason_word((enum sb_reason)i);
		int code = sb_reason_close_code((enum sb_reason)i);

		assert_true(word[0] != '\0');
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz-"), strlen(word));
		assert_true((code >= 1000 && code <= 1015) || (code >= 4400 && code <= 4499));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(word, sb_reason_word((enum sb_reason)j));
	}
}

static void the_codes_are_the_documented_ones(void **state)
{
	(void)state;
	assert_int_equal(sb_reason_close_code(SB_REASON_BYE), 1000);
	assert_int_equal(sb_reason_close_code(SB_REASON_GOING_AWAY), 1001);
	assert_int_equal(sb_reason_close_code(SB_REASON_BAD_FRAME), 1002);
	assert_int_equal(sb_reason_close_code(SB_REASON_BAD_ENCODING), 1007);
	assert_int_equal(sb_reason_close_code(SB_REASON_TOO_BIG), 1009);
	assert_int_equal(sb_reason_close_code(SB_REASON_DRAINING), 1012);
	assert_int_equal(sb_reason_close_code(SB_REASON_BUSY), 1013);
	assert_int_equal(sb_reason_close_code(SB_REASON_DEGRADED), 1013);
	assert_int_equal(sb_reason_close_code(SB_REASON_STALLED), 1013);
	assert_int_equal(sb_reason_close_code(SB_REASON_BAD_MESSAGE), 4400);
	assert_int_equal(sb_reason_close_code(SB_REASON_BAD_TOKEN), 4401);
	assert_int_equal(sb_reason_close_code(SB_REASON_REVOKED), 4403);
	assert_int_equal(sb_reason_close_code(SB_REASON_EXPIRED), 4403);
	assert_int_equal(sb_reason_close_code(SB_REASON_NO_HELLO), 4408);
	assert_int_equal(sb_reason_close_code(SB_REASON_REPLACED), 4409);
	assert_int_equal(sb_reason_close_code(SB_REASON_TOO_MANY), 4429);
}

static void a_goodbye_goes_before_each_close_that_names_a_time(void **state)
{
	(void)state;
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		int code = sb_reason_close_code((enum sb_reason)i);

		assert_int_equal(sb_reason_says_goodbye((enum sb_reason)i),
				 code == 1012 || code == 1013 || code == 4429);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_reason_has_a_code_and_a_word_of_its_own),
		TEST(the_codes_are_the_documented_ones),
		TEST(a_goodbye_goes_before_each_close_that_names_a_time),
	};

	return cmocka_run_group_tests_name("protocol/reason", tests, NULL, NULL);
}
