/* What others wrote, escaped for a terminal; see clean.h. */
#include "protocol/clean.h"
#include "protocol/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct range {
	uint32_t first, last;
};

static const struct range controls[] = {{0x00, 0x1f}, {0x7f, 0x9f}, {0x2028, 0x2029}};

/* Default_Ignorable_Code_Point of Unicode 15 without the presentation selectors, and U+FFF9 to
 * U+FFFB. */
static const struct range invisible[] = {
	{0xad, 0xad},	    {0x34f, 0x34f},   {0x61c, 0x61c},	  {0x115f, 0x1160},
	{0x17b4, 0x17b5},   {0x180b, 0x180f}, {0x200b, 0x200f},	  {0x202a, 0x202e},
	{0x2060, 0x206f},   {0x3164, 0x3164}, {0xfe00, 0xfe0d},	  {0xfeff, 0xfeff},
	{0xffa0, 0xffa0},   {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
};

size_t sb_utf8_read(const char *text, uint32_t *ret_character)
{
	const unsigned char *byte = (const unsigned char *)text;
	uint32_t character, least;
	size_t length;

	if (byte[0] < 0x80) {
		*ret_character = byte[0];
		return 1;
	}
	if (byte[0] >= 0xc2 && byte[0] < 0xe0) {
		length = 2;
		least = 0x80;
		character = byte[0] & 0x1f;
	} else if (byte[0] >= 0xe0 && byte[0] < 0xf0) {
		length = 3;
		least = 0x800;
		character = byte[0] & 0x0f;
	} else if (byte[0] >= 0xf0 && byte[0] < 0xf5) {
		length = 4;
		least = 0x10000;
		character = byte[0] & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < length; i++) {
		if ((byte[i] & 0xc0) != 0x80) /* the terminator included */
			return 0;
		character = character << 6 | (byte[i] & 0x3f);
	}
	if (character < least || character > 0x10ffff ||
	    (character >= 0xd800 && character < 0xe000))
		return 0;
	*ret_character = character;
	return length;
}

static bool is_among(uint32_t character, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (character >= ranges[i].first && character <= ranges[i].last)
			return true;
	}
	return false;
}

bool sb_is_control(uint32_t character)
{
	return is_among(character, controls, sizeof(controls) / sizeof(*controls));
}

bool sb_is_printable(uint32_t character)
{
	return !sb_is_control(character) &&
	       !is_among(character, invisible, sizeof(invisible) / sizeof(*invisible));
}

/* Writes one character that is not printable. `length` 0: a byte that is not UTF-8. */
typedef void escaper(struct sb_text *to, uint32_t character, size_t length, bool lines);

static void append_format(struct sb_text *to, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append_format(struct sb_text *to, const char *format, ...)
{
	char escaped[16];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(escaped, sizeof(escaped), format, args);
	va_end(args);
	sb_text_append_string(to, escaped);
}

static void escape_words(struct sb_text *to, uint32_t character, size_t length, bool lines)
{
	if (lines && length > 0 && (character == '\n' || character == '\t'))
		append_format(to, "%c", (char)character);
	else if (length > 0 && (character == '\n' || character == '\t'))
		sb_text_append_string(to, character == '\n' ? "\\n" : "\\t");
	else if (length == 0 || character < 0x80)
		append_format(to, "\\x%02x", character);
	else if (character < 0x10000)
		append_format(to, "\\u%04x", character);
	else
		append_format(to, "\\U%08x", character);
}

static void escape_json(struct sb_text *to, uint32_t character, size_t length, bool lines)
{
	uint32_t above = character - 0x10000;

	(void)lines;
	if (length == 0)
		sb_text_append_string(to, "\\uFFFD");
	else if (character < 0x20) /* between values: a string has none of them */
		append_format(to, "%c", (char)character);
	else if (character < 0x10000)
		append_format(to, "\\u%04X", character);
	else
		append_format(to, "\\u%04X\\u%04X", 0xd800 + (above >> 10),
			      0xdc00 + (above & 0x3ff));
}

static char *clean(const char *text, escaper *escape, bool lines)
{
	const char *start = text; /* of what is copied in one piece */
	struct sb_text to;

	sb_text_init(&to);
	while (*text) {
		uint32_t character = 0;
		size_t length = sb_utf8_read(text, &character);

		if (length == 0)
			character = (unsigned char)*text;
		else if (sb_is_printable(character)) {
			text += length;
			continue;
		}
		sb_text_append(&to, start, (size_t)(text - start));
		escape(&to, character, length, lines);
		text += length > 0 ? length : 1;
		start = text;
	}
	sb_text_append(&to, start, (size_t)(text - start) + 1);
	if (sb_text_failed(&to))
		sb_text_fini(&to);
	return to.data;
}

char *sb_clean_words(const char *text, bool lines)
{
	return clean(text, escape_words, lines);
}

char *sb_clean_json(const char *json)
{
	return clean(json, escape_json, false);
}
