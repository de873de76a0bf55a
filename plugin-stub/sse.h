/*
 * Server-sent events, read from bytes that come in any parts (HTML standard,
 * section 9.2.6). Pure.
 */
#ifndef SB_PLUGIN_SSE_H
#define SB_PLUGIN_SSE_H

#include "plugin-stub/frames.h"
#include <stdbool.h>
#include <stddef.h>

#define SB_SSE_NAME_MAX 32 /* an event's name; a longer one is cut */

struct sb_sse_handler {
	/* One event, borrowed until return; `name` is "message" if not said. False: read no
	 * further. */
	bool (*on_event)(void *data, const char *name, const char *bytes, size_t len);
	void *data;
};

struct sb_sse {
	size_t max_bytes; /* of a line, and of an event's data */
	struct sb_inbox line, data;
	char name[SB_SSE_NAME_MAX + 1];
	bool has_data;
	bool begun;   /* the first line is read, before which a byte order mark may stand */
	bool skip_lf; /* the last byte was a CR, which an LF belongs to */
};

void sb_sse_init(struct sb_sse *sse, size_t max_bytes);
void sb_sse_fini(struct sb_sse *sse);

/* 0; -EFBIG when a line or an event exceeds max_bytes; -ECANCELED when on_event said so; -ENOMEM.
 */
int sb_sse_feed(struct sb_sse *sse, const char *bytes, size_t len,
		const struct sb_sse_handler *handler);

#endif
