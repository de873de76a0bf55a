/* Reads server-sent events line by line. What is held is a line and an event's data, both bounded.
 */
#include "plugin-stub/sse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

void sb_sse_init(struct sb_sse *sse, size_t max_bytes)
{
	memset(sse, 0, sizeof(*sse));
	sse->max_bytes = max_bytes;
}

void sb_sse_fini(struct sb_sse *sse)
{
	sb_inbox_clear(&sse->line);
	sb_inbox_clear(&sse->data);
}

/* The empty line: what was gathered is an event, unless it has no data. */
static int dispatch(struct sb_sse *sse, const struct sb_sse_handler *handler)
{
	bool go_on = true;

	if (sse->has_data)
		go_on = handler->on_event(handler->data, sse->name[0] ? sse->name : "message",
					  sse->data.bytes ? sse->data.bytes : "", sse->data.len);
	sse->has_data = false;
	sse->data.len = 0;
	sse->name[0] = '\0';
	return go_on ? 0 : -ECANCELED;
}

static bool is_field(const char *line, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(line, name, len);
}

/* `id` and `retry` say nothing that the messages do not. */
static int take_field(struct sb_sse *sse, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const char *value = colon ? colon + 1 : line + len;
	size_t value_len = (size_t)(line + len - value);
	int err = 0;

	if (value_len > 0 && *value == ' ') {
		value++;
		value_len--;
	}
	if (is_field(line, name_len, "data")) {
		if (sse->has_data)
			err = sb_inbox_add(&sse->data, "\n", 1, sse->max_bytes);
		if (!err && value_len > 0)
			err = sb_inbox_add(&sse->data, value, value_len, sse->max_bytes);
		sse->has_data = true;
	} else if (is_field(line, name_len, "event")) {
		snprintf(sse->name, sizeof(sse->name), "%.*s", (int)value_len, value);
	}
	return err;
}

static int take_line(struct sb_sse *sse, const struct sb_sse_handler *handler)
{
	const char *line = sse->line.bytes ? sse->line.bytes : "";
	size_t len = sse->line.len;

	if (!sse->begun && len >= 3 && !memcmp(line, byte_order_mark, 3)) {
		line += 3;
		len -= 3;
	}
	sse->begun = true;
	sse->line.len = 0;
	if (len == 0)
		return dispatch(sse, handler);
	return *line == ':' ? 0 : take_field(sse, line, len);
}

int sb_sse_feed(struct sb_sse *sse, const char *bytes, size_t len,
		const struct sb_sse_handler *handler)
{
	const char *end = bytes + len;
	int err;

	while (bytes < end) {
		const char *stop = bytes;

		if (sse->skip_lf && *bytes == '\n') {
			sse->skip_lf = false;
			bytes++;
			continue;
		}
		sse->skip_lf = false;
		while (stop < end && *stop != '\r' && *stop != '\n')
			stop++;
		if (stop > bytes) {
			err = sb_inbox_add(&sse->line, bytes, (size_t)(stop - bytes),
					   sse->max_bytes);
			if (err)
				return err;
		}
		bytes = stop;
		if (stop == end)
			break;
		sse->skip_lf = *stop == '\r';
		bytes++;
		err = take_line(sse, handler);
		if (err)
			return err;
	}
	return 0;
}
