/* What others wrote, on a terminal: nothing in it steers, turns round or hides, and JSON keeps its
 * value. */
#include "protocol/clean.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static void assert_words(const char *text, bool lines, const char *expected)
{
	char *clean = sb_clean_words(text, lines);

	assert_non_null(clean);
	assert_string_equal(clean, expected);
	free(clean);
}

static void what_steers_turns_or_hides_is_escaped(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", ""},
		{"Intro call", "Intro call"},
		{"a\x1b[2Jb", "a\\x1b[2Jb"},
		{"a\r\nb\tc", "a\\x0d\\nb\\tc"},
		{"\x7f", "\\x7f"},
		{"\xc2\x80\xc2\x85\xc2\x9b\xc2\x9f", "\\u0080\\u0085\\u009b\\u009f"},
		{"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
		{"\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae",
		 "\\u202a\\u202b\\u202c\\u202d\\u202e"},
		{"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9",
		 "\\u2066\\u2067\\u2068\\u2069"},
		{"\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "\\u061c\\u200e\\u200f"},
		{"\xc2\xad\xe2\x80\x8b\xe2\x80\x8c\xe2\x80\x8d\xe2\x81\xa0\xef\xbb\xbf",
		 "\\u00ad\\u200b\\u200c\\u200d\\u2060\\ufeff"},
		{"\xf3\xa0\x80\x81\xf3\xa0\x81\x81\xf3\xa0\x84\x80",
		 "\\U000e0001\\U000e0041\\U000e0100"},
		{"\xff\xc3", "\\xff\\xc3"},
		{"\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_words(cases[i].text, false, cases[i].words);
}

static void letters_of_every_script_stay(void **state)
{
	static const char text[] =
		"\xc3\xa4\xc2\xa0\xe4\xba\x88\xd7\xa4\xf0\x9f\x94\x94\xe2\x9d\xa4\xef\xb8\x8f"
		"e\xcc\x81\xf4\x8f\xbf\xbd";

	(void)state;
	assert_words(text, false, text);
}

static void messages_of_several_lines_keep_them(void **state)
{
	(void)state;
	assert_words("a\n\tb\r\x1b\xc2\x85", true, "a\n\tb\\x0d\\x1b\\u0085");
}

/* All characters there are, but NUL and surrogates: as text it holds nothing that is not printable,
 * as JSON it still has its value. */
static void of_all_characters_nothing_harmful_is_left(void **state)
{
	(void)state;
	for (uint32_t character = 1; character <= 0x10ffff; character++) {
		json_t *value, *again;
		char text[5] = "", *json, *clean;
		uint32_t found = 0;

		if (character >= 0xd800 && character < 0xe000)
			continue;
		if (character < 0x80) {
			text[0] = (char)character;
		} else if (character < 0x800) {
			text[0] = (char)(0xc0 | character >> 6);
			text[1] = (char)(0x80 | (character & 0x3f));
		} else if (character < 0x10000) {
			text[0] = (char)(0xe0 | character >> 12);
			text[1] = (char)(0x80 | (character >> 6 & 0x3f));
			text[2] = (char)(0x80 | (character & 0x3f));
		} else {
			text[0] = (char)(0xf0 | character >> 18);
			text[1] = (char)(0x80 | (character >> 12 & 0x3f));
			text[2] = (char)(0x80 | (character >> 6 & 0x3f));
			text[3] = (char)(0x80 | (character & 0x3f));
		}
		assert_int_equal(sb_utf8_read(text, &found), strlen(text));
		assert_int_equal(found, character);
		/* The rest of the planes has neither: every 251st is enough of it. */
		if (character > 0x20000 && character < 0xdff00 && character % 251)
			continue;
		if (character > 0xe1100 && character % 251)
			continue;
		value = json_pack("{s:s}", "v", text);
		json = json_dumps(value, JSON_COMPACT);
		clean = sb_clean_json(json);
		assert_non_null(clean);
		again = json_loads(clean, 0, NULL);
		assert_true(json_equal(value, again));
		for (const char *at = clean; *at;) {
			size_t length = sb_utf8_read(at, &found);

			assert_true(length > 0 && sb_is_printable(found));
			at += length;
		}
		free(clean);
		clean = sb_clean_words(text, false);
		assert_int_equal(sb_is_printable(character), !strcmp(clean, text));
		free(clean);
		free(json);
		json_decref(value);
		json_decref(again);
	}
}

static void json_is_escaped_as_json_escapes(void **state)
{
	static const struct {
		const char *json, *clean;
	} cases[] = {
		{"{\"a\":\"\x7f\xc2\x9b\xe2\x80\xae\"}", "{\"a\":\"\\u007F\\u009B\\u202E\"}"},
		{"[\"\xf3\xa0\x81\x81\"]", "[\"\\uDB40\\uDC41\"]"},
		{"[\"\xff\"]", "[\"\\uFFFD\"]"},
		{"[\n\t1]", "[\n\t1]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *clean = sb_clean_json(cases[i].json);

		assert_string_equal(clean, cases[i].clean);
		free(clean);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_steers_turns_or_hides_is_escaped),
		cmocka_unit_test(letters_of_every_script_stay),
		cmocka_unit_test(messages_of_several_lines_keep_them),
		cmocka_unit_test(of_all_characters_nothing_harmful_is_left),
		cmocka_unit_test(json_is_escaped_as_json_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
