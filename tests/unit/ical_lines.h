/* An appointment's text, line by line. */
#ifndef SB_TEST_ICAL_LINES_H
#define SB_TEST_ICAL_LINES_H

#include "plugin-stub/ical.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

/* The text with its folds undone (section 3.1), each line ended by one '\n'. */
static inline char *unfold(char *text)
{
	char *to = text;

	for (char *c = text; *c; c++) {
		if (!strncmp(c, "\r\n ", 3))
			c += 2;
		else if (*c != '\r')
			*to++ = *c;
	}
	*to = '\0';
	return text;
}

static inline char *written(const struct sb_server_message *message, const char *old)
{
	char *text;

	assert_int_equal(sb_ical_write(message, old, &text), 0);
	return unfold(text);
}

static inline bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *found = text; (found = strstr(found, line)); found++) {
		if ((found == text || found[-1] == '\n') && found[len] == '\n')
			return true;
	}
	return false;
}

static inline void assert_line(const char *text, const char *line)
{
	if (!has_line(text, line))
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

static inline size_t count_lines(const char *text, const char *beginning)
{
	size_t count = 0, len = strlen(beginning);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		count += !strncmp(line, beginning, len);
		if (!*line)
			break;
	}
	return count;
}

#endif
