/* The log's lines, as a terminal shows them: what others wrote does not steer it. */
#include "daemon/ops/log_sink.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static const char evil[] = "a\x1b[2J\nb\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xf3\xa0\x81\x81\xff";

/* What one line is on standard error. */
static void logged(enum sb_log_format format, const char *words, char *line, size_t size)
{
	int ends[2], kept = dup(STDERR_FILENO);
	ssize_t len;

	assert_true(kept >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	sb_log_start(SB_LOG_INFO, format);
	sb_log(SB_LOG_INFO, "test", "reason=\"%s\" more=1", words);
	sb_log_end();
	sb_log_set_sink(NULL, NULL);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	close(kept);
	close(ends[1]);
	len = read(ends[0], line, size - 1);
	assert_true(len > 0);
	line[len] = '\0';
	close(ends[0]);
}

static void a_text_line_has_escapes_for_what_steers_a_terminal(void **state)
{
	char line[4096];

	(void)state;
	logged(SB_LOG_FORMAT_TEXT, evil, line, sizeof(line));
	assert_non_null(
		strstr(line, "reason=\"a [2J b \\u009b\\u202e\\u2028\\U000e0041\\xff\" more=1\n"));
}

static void a_json_line_has_json_s_escapes(void **state)
{
	char line[4096];
	const char *reason;
	json_t *root;

	(void)state;
	logged(SB_LOG_FORMAT_JSON, evil, line, sizeof(line));
	for (const char *c = line; *c; c++)
		assert_true((*c >= 0x20 && *c < 0x7f) || (*c == '\n' && !c[1]));
	root = json_loads(line, 0, NULL);
	reason = json_string_value(json_object_get(root, "reason"));
	assert_string_equal(reason,
			    "a [2J b \xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xf3\xa0\x81\x81\xef\xbf\xbd");
	json_decref(root);
}

static void a_line_that_is_cut_still_has_its_end(void **state)
{
	char words[900], line[4096];

	(void)state;
	memset(words, 0xff, sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	logged(SB_LOG_FORMAT_TEXT, words, line, sizeof(line));
	assert_true(strlen(line) < 1300);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_line_has_escapes_for_what_steers_a_terminal),
		cmocka_unit_test(a_json_line_has_json_s_escapes),
		cmocka_unit_test(a_line_that_is_cut_still_has_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
