/* EPOCH.SEQ, read strictly: one cursor has one spelling, so texts compare as cursors do. */
#include "protocol/cursor.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool epoch_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int sb_epoch_parse(const char *text, size_t len, struct sb_epoch *ret_epoch)
{
	if (len < 1 || len > SB_EPOCH_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (!epoch_char(text[i]))
			return -EINVAL;
	}
	/* All of it, so that equal epochs are equal in every byte. */
	memset(ret_epoch, 0, sizeof(*ret_epoch));
	memcpy(ret_epoch->text, text, len);
	return 0;
}

bool sb_epoch_equal(const struct sb_epoch *a, const struct sb_epoch *b)
{
	return strcmp(a->text, b->text) == 0;
}

static int parse_seq(const char *text, size_t len, int64_t *ret_seq)
{
	int64_t seq = 0;

	if (len < 1 || (text[0] == '0' && len > 1))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int digit = text[i] - '0';

		if (digit < 0 || digit > 9 || seq > (INT64_MAX - digit) / 10)
			return -EINVAL;
		seq = seq * 10 + digit;
	}
	*ret_seq = seq;
	return 0;
}

int sb_cursor_parse(const char *text, size_t len, struct sb_cursor *ret_cursor)
{
	const char *dot = len > 0 ? memchr(text, '.', len) : NULL;
	struct sb_cursor cursor;
	size_t epoch_len;

	if (!dot)
		return -EINVAL;
	epoch_len = (size_t)(dot - text);
	if (sb_epoch_parse(text, epoch_len, &cursor.epoch) < 0 ||
	    parse_seq(dot + 1, len - epoch_len - 1, &cursor.seq) < 0)
		return -EINVAL;
	*ret_cursor = cursor;
	return 0;
}

size_t sb_cursor_format(const struct sb_cursor *cursor, char buffer[SB_CURSOR_MAX + 1])
{
	return (size_t)snprintf(buffer, SB_CURSOR_MAX + 1, "%.*s.%" PRId64, SB_EPOCH_MAX,
				cursor->epoch.text, cursor->seq);
}
