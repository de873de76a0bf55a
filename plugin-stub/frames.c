/* The websocket's queues, for transport_ws. Bounded by what the client sends (an ack per turn) and
 * by max_bytes. */
#include "plugin-stub/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INBOX_MIN 4096

void sb_outbox_init(struct sb_outbox *box)
{
	box->first = NULL;
	box->last = &box->first;
}

int sb_outbox_push(struct sb_outbox *box, size_t room, const char *bytes, size_t len)
{
	struct sb_outgoing *out = malloc(sizeof(*out) + room + len);

	if (!out)
		return -ENOMEM;
	out->next = NULL;
	out->len = len;
	memcpy(out->bytes + room, bytes, len);
	*box->last = out;
	box->last = &out->next;
	return 0;
}

struct sb_outgoing *sb_outbox_pop(struct sb_outbox *box)
{
	struct sb_outgoing *out = box->first;

	if (!out)
		return NULL;
	box->first = out->next;
	if (!box->first)
		box->last = &box->first;
	return out;
}

void sb_outbox_clear(struct sb_outbox *box)
{
	struct sb_outgoing *out;

	while ((out = sb_outbox_pop(box)))
		free(out);
}

int sb_inbox_add(struct sb_inbox *box, const char *bytes, size_t len, size_t max_bytes)
{
	size_t need = box->len + len;

	if (need > max_bytes)
		return -EFBIG;
	if (need > box->size) {
		size_t size = need < INBOX_MIN ? INBOX_MIN : need * 2;
		char *larger = realloc(box->bytes, size);

		if (!larger)
			return -ENOMEM;
		box->bytes = larger;
		box->size = size;
	}
	/* An empty message is a message, and memcpy's pointer may not be NULL even then. */
	if (len > 0)
		memcpy(box->bytes + box->len, bytes, len);
	box->len = need;
	return 0;
}

void sb_inbox_clear(struct sb_inbox *box)
{
	free(box->bytes);
	memset(box, 0, sizeof(*box));
}
