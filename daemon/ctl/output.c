/* Printing for people and for programs; see output.h. */
#include "daemon/ctl/output.h"
#include "protocol/clean.h"
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

char *sb_clean(const char *text, bool lines)
{
	char *clean = sb_clean_words(text, lines);

	sb_need(clean);
	return clean;
}

size_t sb_width(const char *clean)
{
	size_t width = 0;

	while (*clean) {
		uint32_t character = 0;
		size_t length = sb_utf8_read(clean, &character);
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
	char *line, *clean;

	/* A terminal may not be in UTF-8. */
	if (isatty(STDOUT_FILENO))
		flags |= JSON_ENSURE_ASCII;
	sb_need(value);
	line = json_dumps(value, flags);
	sb_need(line);
	clean = sb_clean_json(line);
	sb_need(clean);
	puts(clean);
	free(clean);
	free(line);
	json_decref(value);
}
