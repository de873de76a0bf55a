/* The text that every message is written into; see text.h for why it is not jansson. */
#include "protocol/text.h"
#include "protocol/instant.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 256 /* most messages but bookings fit */

void sb_text_init(struct sb_text *text)
{
	*text = (struct sb_text){0};
}

void sb_text_fini(struct sb_text *text)
{
	if (!text)
		return;
	free(text->data);
	sb_text_init(text);
}

void sb_text_clear(struct sb_text *text)
{
	text->len = 0;
	text->failed = false;
}

bool sb_text_failed(const struct sb_text *text)
{
	return text->failed;
}

/* Room for `more` bytes at the end, or NULL and `failed`. */
static char *room(struct sb_text *text, size_t more)
{
	size_t size = text->size ? text->size : FIRST_SIZE;
	char *data;

	if (text->failed)
		return NULL;
	if (more <= text->size - text->len)
		return text->data + text->len;
	if (more > SIZE_MAX / 2 - text->len) {
		text->failed = true;
		return NULL;
	}
	while (size < text->len + more)
		size *= 2;
	data = realloc(text->data, size);
	if (!data) {
		text->failed = true;
		return NULL;
	}
	text->data = data;
	text->size = size;
	return data + text->len;
}

void sb_text_append(struct sb_text *text, const char *bytes, size_t len)
{
	char *at;

	/* Neither end may be NULL for memcpy(), not even for no bytes. */
	if (len == 0)
		return;
	at = room(text, len);
	if (!at)
		return;
	memcpy(at, bytes, len);
	text->len += len;
}

void sb_text_append_string(struct sb_text *text, const char *string)
{
	sb_text_append(text, string, strlen(string));
}

void sb_text_append_int(struct sb_text *text, int64_t value)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, value);

	sb_text_append(text, digits, (size_t)len);
}

static bool needs_escape(char c)
{
	return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

static void append_escape(struct sb_text *text, char c)
{
	static const char hex[] = "0123456789abcdef";
	char escape[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
	size_t len = 2;

	switch (c) {
	case '"':
	case '\\':
		escape[1] = c;
		break;
	case '\b':
		escape[1] = 'b';
		break;
	case '\f':
		escape[1] = 'f';
		break;
	case '\n':
		escape[1] = 'n';
		break;
	case '\r':
		escape[1] = 'r';
		break;
	case '\t':
		escape[1] = 't';
		break;
	default:
		len = 6;
	}
	sb_text_append(text, escape, len);
}

void sb_text_append_json(struct sb_text *text, const char *bytes, size_t len)
{
	size_t start = 0;

	sb_text_append(text, "\"", 1);
	/* What lies between two escapes is copied in one piece; mostly that is all. */
	for (size_t i = 0; i < len; i++) {
		if (!needs_escape(bytes[i]))
			continue;
		sb_text_append(text, bytes + start, i - start);
		append_escape(text, bytes[i]);
		start = i + 1;
	}
	sb_text_append(text, bytes + start, len - start);
	sb_text_append(text, "\"", 1);
}

void sb_text_append_instant(struct sb_text *text, int64_t unix_us, bool micros)
{
	char instant[SB_INSTANT_MAX + 1];
	size_t len = sb_instant_format(unix_us, micros, instant);

	sb_text_append(text, "\"", 1);
	sb_text_append(text, instant, len);
	sb_text_append(text, "\"", 1);
}
