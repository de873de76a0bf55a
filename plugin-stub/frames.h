/*
 * Messages on their way through a websocket: a queue of those that wait to be
 * written, and the parts of the one that arrives.
 */
#ifndef SB_PLUGIN_FRAMES_H
#define SB_PLUGIN_FRAMES_H

#include <stddef.h>

struct sb_outgoing {
	struct sb_outgoing *next;
	size_t len;
	unsigned char bytes[]; /* `room` bytes for the library that writes it, then the message */
};

struct sb_outbox {
	struct sb_outgoing *first, **last;
};

void sb_outbox_init(struct sb_outbox *box);
/* Copies `len` bytes behind `room` free ones. 0 or -ENOMEM. */
int sb_outbox_push(struct sb_outbox *box, size_t room, const char *bytes, size_t len);
/* The oldest, which the caller frees with free(); NULL when there is none. */
struct sb_outgoing *sb_outbox_pop(struct sb_outbox *box);
void sb_outbox_clear(struct sb_outbox *box);

struct sb_inbox {
	char *bytes; /* owned */
	size_t len, size;
};

/* Adds a part. 0, -EFBIG when the message would exceed `max_bytes`, or -ENOMEM. */
int sb_inbox_add(struct sb_inbox *box, const char *bytes, size_t len, size_t max_bytes);
void sb_inbox_clear(struct sb_inbox *box);

#endif
