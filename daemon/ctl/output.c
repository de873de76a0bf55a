/* Printing for people and for programs; see output.h. */
#include "daemon/ctl/output.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

void sb_need(bool there)
{
	if (there)
		return;
	fputs("slotbellctl: out of memory\n", stderr);
	exit(1);
}

/*
 * Reads one character (RFC 3629: no surrogates, nothing overlong) and returns
 * how many bytes it has; 0 when there is no valid one.
 */
static size_t decode(const char *text, uint32_t *ret_character)
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

static bool is_harmless(uint32_t character)
{
	static const struct {
		uint32_t first, last;
	} harmful[] = {
		{0x00, 0x1f},	  {0x7f, 0x9f},	    {0x061c, 0x061c}, {0x200e, 0x200f},
		{0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
	};

	for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++) {
		if (character >= harmful[i].first && character <= harmful[i].last)
			return false;
	}
	return true;
}

static void print_escaped(FILE *out, uint32_t character)
{
	if (character == '\n')
		fputs("\\n", out);
	else if (character == '\t')
		fputs("\\t", out);
	else if (character < 0x80)
		fprintf(out, "\\x%02x", character);
	else
		fprintf(out, "\\u%04x", character);
}

char *sb_clean(const char *text, bool lines)
{
	char *clean = NULL;
	size_t size;
	FILE *out = open_memstream(&clean, &size);

	sb_need(out);
	while (*text) {
		uint32_t character = 0;
		size_t length = decode(text, &character);

		if (length == 0)
			fprintf(out, "\\x%02x", (unsigned char)*text);
		else if (is_harmless(character) ||
			 (lines && (character == '\n' || character == '\t')))
			fwrite(text, 1, length, out);
		else
			print_escaped(out, character);
		text += length > 0 ? length : 1;
	}
	sb_need(fclose(out) == 0 && clean);
	return clean;
}

size_t sb_width(const char *clean)
{
	size_t width = 0;

	while (*clean) {
		uint32_t character = 0;
		size_t length = decode(clean, &character);
		int columns = length > 0 ? wcwidth((wchar_t)character) : 1;

		width += columns > 0 ? (size_t)columns : 0;
		clean += length > 0 ? length : 1;
	}
	return width;
}

void sb_print_table(const char *align, size_t rows, const char *const *cells)
{
	size_t columns = strlen(align);
	char **clean = calloc(rows * columns, sizeof(*clean));
	size_t *widths = calloc(columns, sizeof(*widths));

	sb_need(clean && widths);
	for (size_t i = 0; i < rows * columns; i++) {
		size_t width;

		clean[i] = sb_clean(cells[i] ? cells[i] : "-", false);
		width = sb_width(clean[i]);
		if (width > widths[i % columns])
			widths[i % columns] = width;
	}
	for (size_t i = 0; i < rows * columns; i++) {
		size_t column = i % columns;
		bool last = column == columns - 1;
		int pad = (int)(widths[column] - sb_width(clean[i]));

		if (align[column] == 'r')
			printf("%*s%s", pad, "", clean[i]);
		else
			printf("%s%*s", clean[i], last ? 0 : pad, "");
		fputs(last ? "\n" : "  ", stdout);
		free(clean[i]);
	}
	free(widths);
	free(clean);
}

void sb_print_json(json_t *value)
{
	size_t flags = JSON_COMPACT;
	char *line;

	/* JSON leaves DEL and the C1 controls as they are: pure ASCII for a terminal. */
	if (isatty(STDOUT_FILENO))
		flags |= JSON_ENSURE_ASCII;
	sb_need(value);
	line = json_dumps(value, flags);
	sb_need(line);
	puts(line);
	free(line);
	json_decref(value);
}
