/* Cleans texts for ical: others wrote them, and a line break or a quote in them would begin a
 * property of theirs. */
#include "plugin-stub/ical_text.h"

#include "protocol/clean.h"
#include <stdlib.h>
#include <string.h>

/*
 * Readers of calendars take more than CR LF for the end of a line: some U+0085,
 * U+2028 and U+2029. As line breaks of the text they are escaped by libical.
 */
static bool is_line_break(uint32_t character)
{
	return character == '\n' || character == 0x85 || character == 0x2028 || character == 0x2029;
}

char *sb_ical_clean_text(const char *text)
{
	char *copy = malloc(strlen(text) + 1);
	char *to = copy;

	if (!copy)
		return NULL;
	while (*text) {
		uint32_t character = 0;
		size_t length = sb_utf8_read(text, &character);

		if (length > 0 && is_line_break(character)) {
			*to++ = '\n';
		} else if (length > 0 && (character == '\t' || !sb_is_control(character))) {
			memcpy(to, text, length);
			to += length;
		}
		text += length > 0 ? length : 1;
	}
	*to = '\0';
	return copy;
}

char *sb_ical_clean_parameter(const char *text)
{
	char *clean = sb_ical_clean_text(text);
	char *copy = clean ? malloc(2 * strlen(clean) + 1) : NULL;
	char *to = copy;

	for (const char *c = clean; copy && *c; c++) {
		if (*c == '^') /* ^n would be a line break, ^' a quote */
			*to++ = '^';
		if (*c == '"')
			*to++ = '\'';
		else
			*to++ = *c == '\n' || *c == '\t' ? ' ' : *c;
	}
	if (copy)
		*to = '\0';
	free(clean);
	return copy;
}

static char *encode(const char *prefix, const char *text, const char *forbidden, const char *last)
{
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

		if (text != last && (c <= 0x20 || c >= 0x7f || strchr(forbidden, c))) {
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

char *sb_ical_clean_uri(const char *text)
{
	return encode("", text, " \"<>\\^`{|}", NULL);
}

char *sb_ical_mailto(const char *email)
{
	char *clean = sb_ical_clean_text(email), *to = clean, *uri;

	if (!clean)
		return NULL;
	/* Not even encoded: a program for mail would write them into a header. */
	for (const char *c = clean; *c; c++) {
		if (*c != '\n' && *c != '\t')
			*to++ = *c;
	}
	*to = '\0';
	/* What RFC 6068 gives a meaning of its own, and what it does not allow. */
	uri = encode("mailto:", clean, " \"<>\\^`{|}%?&#/,;:@[]()=", strrchr(clean, '@'));
	free(clean);
	return uri;
}
