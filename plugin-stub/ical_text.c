/* Cleans texts for ical: others wrote them, and a line break or a quote in them would begin a
 * property of theirs. */
#include "plugin-stub/ical_text.h"

#include <stdlib.h>
#include <string.h>

char *sb_ical_clean_text(const char *text)
{
	char *copy = malloc(strlen(text) + 1);
	char *to = copy;

	if (!copy)
		return NULL;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n')
			*to++ = *text;
	}
	*to = '\0';
	return copy;
}

char *sb_ical_clean_parameter(const char *text)
{
	char *copy = sb_ical_clean_text(text);

	for (char *c = copy; c && *c; c++) {
		if (*c == '"')
			*c = '\'';
		else if (*c == '\n' || *c == '\t')
			*c = ' ';
	}
	return copy;
}

char *sb_ical_clean_uri(const char *prefix, const char *text)
{
	static const char forbidden[] = " \"<>\\^`{|}";
	static const char digits[] = "0123456789ABCDEF";
	size_t prefix_len = strlen(prefix);
	char *uri = malloc(prefix_len + 3 * strlen(text) + 1);
	char *to = uri;

	if (!uri)
		return NULL;
	memcpy(to, prefix, prefix_len);
	to += prefix_len;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= 0x20 || c >= 0x7f || strchr(forbidden, c)) {
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
	return uri;
}
