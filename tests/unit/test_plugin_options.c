/* The command line and the token file: what is taken, and what is said of the rest. */
#include "plugin-stub/options.h"

#include "faults.h"
#include "protocol/version.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define NEEDED "--url", "wss://bell:8443", "--token-file", "token", "--calendar", "calendar"

struct result {
	struct sb_options options; /* borrows argv */
	bool go_on;
	enum sb_exit exit;
	char *out, *err; /* what was said */
	int argc;
	char *argv[32];
};

static struct result *parse(const char *const *words)
{
	struct result *result = calloc(1, sizeof(*result));
	size_t out_len, err_len;
	FILE *out, *err;

	assert_non_null(result);
	out = open_memstream(&result->out, &out_len);
	err = open_memstream(&result->err, &err_len);
	result->argv[result->argc++] = strdup("slotbell-plugin");
	for (; *words; words++)
		result->argv[result->argc++] = strdup(*words);
	result->go_on = sb_options_parse(result->argc, result->argv, out, err, &result->options,
					 &result->exit);
	fclose(out);
	fclose(err);
	return result;
}

static void finish(struct result *result)
{
	while (result->argc > 0)
		free(result->argv[--result->argc]);
	free(result->out);
	free(result->err);
	free(result);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void what_is_needed_is_enough(void **state)
{
	struct result *result = PARSE(NEEDED);
	const struct sb_options *options = &result->options;

	(void)state;
	assert_true(result->go_on);
	assert_string_equal(result->err, "");
	assert_string_equal(options->url.host, "bell");
	assert_string_equal(options->url_text, "wss://bell:8443");
	assert_string_equal(options->token_file, "token");
	assert_string_equal(options->calendar, "calendar");
	assert_string_equal(options->state, "calendar/.slotbell-state.json");
	assert_null(options->ca);
	assert_string_equal(options->proxy.host, "");
	assert_false(options->once || options->json || options->token_in_hello);
	finish(result);
}

static void assert_refused(struct result *result, const char *words)
{
	assert_false(result->go_on);
	assert_int_equal(result->exit, SB_EXIT_USAGE);
	if (!strstr(result->err, words))
		fail_msg("\"%s\" is not in \"%s\"", words, result->err);
	assert_non_null(strstr(result->err, "slotbell-plugin --help"));
	assert_string_equal(result->out, "");
	finish(result);
}

static void everything_is_taken(void **state)
{
	struct result *result =
		PARSE(NEEDED, "--state", "s.json", "--ca", "ca.pem", "--proxy", "http://p:3128",
		      "--transport", "websocket", "--token-in-hello", "--once", "--json");
	const struct sb_options *options = &result->options;

	(void)state;
	assert_true(result->go_on);
	assert_string_equal(options->state, "s.json");
	assert_string_equal(options->ca, "ca.pem");
	assert_string_equal(options->proxy.host, "p");
	assert_true(options->once && options->json && options->token_in_hello);
	finish(result);
}

static void each_transport_can_be_named(void **state)
{
	static const struct {
		const char *name;
		enum sb_way_option way;
	} cases[] = {{"auto", SB_USE_AUTO},
		     {"websocket", SB_USE_WEBSOCKET},
		     {"stream", SB_USE_STREAM},
		     {"poll", SB_USE_POLL}};
	struct result *result = PARSE(NEEDED, "--json");

	(void)state;
	assert_int_equal(result->options.transport, SB_USE_AUTO);
	assert_int_equal(result->options.websocket_again_s, 600);
	finish(result);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		result = PARSE(NEEDED, "--transport", cases[i].name);
		assert_true(result->go_on);
		assert_int_equal(result->options.transport, cases[i].way);
		finish(result);
	}
	assert_refused(PARSE(NEEDED, "--transport", "pigeon"),
		       "--transport: is auto, websocket, stream or poll");
}

static void the_websocket_is_tried_again_after_a_second_to_a_day(void **state)
{
	static const struct {
		const char *text;
		uint32_t seconds; /* 0: refused */
	} cases[] = {{"0", 0},	    {"1", 1}, {"86400", 86400}, {"86401", 0}, {"99999", 0},
		     {"100000", 0}, {"", 0},  {"-1", 0},	{"1s", 0},    {" 1", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result *result = PARSE(NEEDED, "--websocket-again", cases[i].text);

		if (cases[i].seconds) {
			assert_true(result->go_on);
			assert_int_equal(result->options.websocket_again_s, cases[i].seconds);
			finish(result);
		} else {
			assert_refused(result, "--websocket-again: is 1 to 86400 seconds");
		}
	}
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	assert_refused(PARSE("--token-file", "t", "--calendar", "c"), "--url: is missing");
	assert_refused(PARSE("--url", "wss://b", "--calendar", "c"), "--token-file: is missing");
	assert_refused(PARSE("--url", "wss://b", "--token-file", "t"), "--calendar: is missing");
	assert_refused(PARSE("--url", "wss://b", "--token-file", "t", "--calendar", ""),
		       "--calendar: is missing");
}

static void what_cannot_be_meant_is_named(void **state)
{
	(void)state;
	assert_refused(PARSE(NEEDED, "--url", "ws://b"), "--url: ws:// would send");
	assert_refused(PARSE(NEEDED, "--proxy", "p:1"), "--proxy: it does not begin");
	assert_refused(PARSE(NEEDED, "extra"), "extra: there are no arguments");
	assert_refused(PARSE(NEEDED, "--url", "wss://[::1]", "--proxy", "http://p:1"),
		       "cannot reach an IPv6 literal");
}

static void paths_have_a_limit(void **state)
{
	char path[PATH_MAX + 8];

	(void)state;
	for (size_t len = PATH_MAX - 2; len <= PATH_MAX; len++) {
		struct result *result;

		memset(path, 'a', len);
		path[len] = '\0';
		result = PARSE(NEEDED, "--state", path);
		if (len < PATH_MAX) {
			assert_true(result->go_on);
			finish(result);
		} else {
			assert_refused(result, "--state: the path is too long");
		}
	}
	assert_refused(PARSE("--url", "wss://b", "--token-file", "t", "--calendar", path),
		       "--calendar: the path is too long");
}

static void help_and_version_go_to_standard_output(void **state)
{
	struct result *result = PARSE("--help");

	(void)state;
	assert_false(result->go_on);
	assert_int_equal(result->exit, SB_EXIT_DONE);
	assert_int_equal(strncmp(result->out, "Usage: ", 7), 0);
	assert_string_equal(result->err, "");
	finish(result);
	result = PARSE("--version");
	assert_int_equal(result->exit, SB_EXIT_DONE);
	assert_string_equal(result->out, "slotbell-plugin " SB_VERSION "\n");
	finish(result);
}

/* ---- the token file ---- */

/* What is said of a file with these bytes; "" when the token is taken. */
static const char *said_of(const char *folder, const char *bytes, size_t len,
			   struct sb_options *options)
{
	static char said[512];
	char path[PATH_MAX], *words;
	size_t words_len;
	FILE *file, *err;
	int result;

	snprintf(path, sizeof(path), "%s/token", folder);
	if (bytes) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(bytes, 1, len, file), len);
		fclose(file);
	}
	memset(options, 0, sizeof(*options));
	options->token_file = path;
	err = open_memstream(&words, &words_len);
	result = sb_options_read_token(options, err);
	fclose(err);
	assert_int_equal(result, *words ? -1 : 0);
	snprintf(said, sizeof(said), "%s", words);
	free(words);
	return said;
}

static void a_token_is_one_line(void **state)
{
	static const char *const good[] = {"sbd_7_x", "sbd_7_x\n", "sbd_7_x\r\n", "sbd_7_x\n\n"};
	char *folder = folder_new();
	struct sb_options options;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_string_equal(said_of(folder, good[i], strlen(good[i]), &options), "");
		assert_string_equal(options.token, "sbd_7_x");
	}
	folder_free(folder);
}

static void what_is_no_token_is_said(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words;
	} cases[] = {
		{"", 0, "is empty"},
		{"\n", 1, "is empty"},
		{"a\nb\n", 4, "more than one line"},
		{"a\0b", 3, "more than one line"},
		{"a b", 3, "no token"},
		{" a", 2, "no token"},
		{"a\t", 2, "no token"},
		{"\xc3\xa4", 2, "no token"},
	};
	char *folder = folder_new();
	struct sb_options options;

	(void)state;
	assert_non_null(strstr(said_of(folder, NULL, 0, &options), "No such file"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *said = said_of(folder, cases[i].bytes, cases[i].len, &options);

		if (!strstr(said, cases[i].words))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].words, said);
	}
	folder_free(folder);
}

static void token_and_file_have_a_limit(void **state)
{
	char *folder = folder_new();
	struct sb_options options;
	char text[4098];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_string_equal(said_of(folder, text, SB_TOKEN_MAX - 1, &options), "");
	assert_string_equal(said_of(folder, text, SB_TOKEN_MAX, &options), "");
	assert_int_equal(strlen(options.token), SB_TOKEN_MAX);
	assert_non_null(strstr(said_of(folder, text, SB_TOKEN_MAX + 1, &options), "too long"));
	memset(text + 1, '\n', sizeof(text) - 1);
	assert_string_equal(said_of(folder, text, 4095, &options), "");
	assert_string_equal(said_of(folder, text, 4096, &options), "");
	assert_non_null(strstr(said_of(folder, text, 4097, &options), "File too large"));
	folder_free(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_needed_is_enough),
		cmocka_unit_test(everything_is_taken),
		cmocka_unit_test(each_transport_can_be_named),
		cmocka_unit_test(the_websocket_is_tried_again_after_a_second_to_a_day),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(what_cannot_be_meant_is_named),
		cmocka_unit_test(paths_have_a_limit),
		cmocka_unit_test(help_and_version_go_to_standard_output),
		cmocka_unit_test(a_token_is_one_line),
		cmocka_unit_test(what_is_no_token_is_said),
		cmocka_unit_test(token_and_file_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
