/* A log line taken apart, and as an entry of the journal. */
#include "daemon/ops/journal.h"
#include "daemon/ops/log_events.h"
#include "daemon/ops/log_fields.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

/* The fields of a line as "key[value]key[value]". */
static const char *apart(const char *line)
{
	static char found[512];
	struct sb_log_field field;
	size_t len = 0;

	*found = '\0';
	while (sb_log_field_next(&line, &field))
		len += (size_t)snprintf(found + len, sizeof(found) - len, "%.*s[%.*s]",
					(int)field.key_len, field.key, (int)field.value_len,
					field.value);
	return found;
}

static void fields_are_taken_apart(void **state)
{
	(void)state;
	assert_string_equal(apart(""), "");
	assert_string_equal(apart("a=1"), "a[1]");
	assert_string_equal(apart("a=1 b=two  c="), "a[1]b[two]c[]");
	assert_string_equal(apart("a=\"one two\" b=\"\" c=3"), "a[one two]b[]c[3]");
	assert_string_equal(apart("words alone a=1 and more"), "a[1]");
	assert_string_equal(apart(" a=b=c "), "a[b=c]");
}

static void quotes_within_a_value_do_not_end_it(void **state)
{
	(void)state;
	assert_string_equal(apart("reason=\"the role \"x\" lacks rights; GRANT y TO \"x\"\" z=1"),
			    "reason[the role \"x\" lacks rights; GRANT y TO \"x\"]z[1]");
	assert_string_equal(apart("reason=\"database \"a b\" is gone\""),
			    "reason[database \"a b\" is gone]");
	assert_string_equal(apart("a=\"say \"=\" or not\" b=2"), "a[say \"=\" or not]b[2]");
	/* Cut at its end: the quote is missing. */
	assert_string_equal(apart("a=\"one tw"), "a[one tw]");
}

static char *entry(enum sb_log_level level, const char *event, const char *fields)
{
	struct sb_text text;
	char *copy;

	sb_text_init(&text);
	sb_journal_entry(&text, level, event, fields);
	assert_false(sb_text_failed(&text));
	copy = strndup(text.data, text.len);
	assert_non_null(copy);
	sb_text_fini(&text);
	return copy;
}

static void an_entry_has_message_priority_id_and_fields(void **state)
{
	char *text = entry(SB_LOG_WARNING, "database down", "reason=\"it is \"away\"\" n=2");
	char expected[512];

	(void)state;
	(void)snprintf(expected, sizeof(expected),
		       "MESSAGE=database down: reason=\"it is \"away\"\" n=2\nPRIORITY=4\n"
		       "SYSLOG_IDENTIFIER=slotbelld\nMESSAGE_ID=%s\nSLOTBELL_EVENT=database down\n"
		       "SLOTBELL_REASON=it is \"away\"\nSLOTBELL_N=2\n",
		       sb_log_event_id("database down"));
	assert_string_equal(text, expected);
	free(text);
}

static void an_event_of_no_note_has_no_id_and_one_without_fields_no_colon(void **state)
{
	char *text = entry(SB_LOG_DEBUG, "session began", "");

	(void)state;
	assert_null(sb_log_event_id("session began"));
	assert_string_equal(text, "MESSAGE=session began\nPRIORITY=7\nSYSLOG_IDENTIFIER=slotbelld\n"
				  "SLOTBELL_EVENT=session began\n");
	free(text);
}

static void names_are_what_the_journal_takes(void **state)
{
	char *text;

	(void)state;
	text = entry(SB_LOG_INFO, "e", "Some.key-1=x");
	assert_non_null(strstr(text, "\nSLOTBELL_SOME_KEY_1=x\n"));
	free(text);
}

/* It takes 64 at most; ours are one shorter. */
static void a_name_that_is_too_long_is_cut(void **state)
{
	static const size_t lengths[] = {53, 54, 55, 150};
	const size_t most = 63;
	const size_t before = strlen("SLOTBELL_");

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		char line[200] = "", expected[100] = "\nSLOTBELL_", *text;
		size_t len = before + lengths[i] < most ? lengths[i] : most - before;

		memset(line, 'k', lengths[i]);
		memcpy(line + lengths[i], "=x", 3);
		memset(expected + 1 + before, 'K', len);
		memcpy(expected + 1 + before + len, "=x\n", 4);
		text = entry(SB_LOG_INFO, "e", line);
		assert_non_null(strstr(text, expected));
		free(text);
	}
}

/* stderr of a test is none of the journal's. */
static void the_variable_alone_is_not_believed(void **state)
{
	(void)state;
	(void)unsetenv("JOURNAL_STREAM");
	assert_false(sb_journal_is_stderr());
	(void)setenv("JOURNAL_STREAM", "1:2", 1);
	assert_false(sb_journal_is_stderr());
	(void)setenv("JOURNAL_STREAM", "", 1);
	assert_false(sb_journal_is_stderr());
	(void)unsetenv("JOURNAL_STREAM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_taken_apart),
		cmocka_unit_test(quotes_within_a_value_do_not_end_it),
		cmocka_unit_test(an_entry_has_message_priority_id_and_fields),
		cmocka_unit_test(an_event_of_no_note_has_no_id_and_one_without_fields_no_colon),
		cmocka_unit_test(names_are_what_the_journal_takes),
		cmocka_unit_test(a_name_that_is_too_long_is_cut),
		cmocka_unit_test(the_variable_alone_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
