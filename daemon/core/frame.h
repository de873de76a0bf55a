/*
 * One encoded message, shared by all sessions that send it while it is on its
 * way, and gone after. Encode once per event, encrypt once per session.
 *
 * Before the bytes is room for a carrier's own framing (a websocket header),
 * so that sending copies nothing. Not for use from several threads.
 */
#ifndef SB_CORE_FRAME_H
#define SB_CORE_FRAME_H

#include "protocol/message.h"
#include <stddef.h>
#include <stdint.h>

#define SB_FRAME_HEADROOM 16

struct sb_frame {
	uint32_t references;
	uint32_t len;
	enum sb_server_type type; /* what message it is; UNKNOWN until somebody says */
	struct sb_cursor cursor;  /* of booking, live, reset and acked */
	int64_t published_at_us; /* of a booking, Unix time in microseconds; 0 for other messages */
	char room[SB_FRAME_HEADROOM];
	char bytes[]; /* len of them, not terminated */
};

/* A copy of the text as a frame with one reference; NULL when out of memory or when the text
 * failed. */
struct sb_frame *sb_frame_new(const struct sb_text *text);
struct sb_frame *sb_frame_ref(struct sb_frame *frame);
/* Frees with the last reference. Accepts NULL. */
void sb_frame_unref(struct sb_frame *frame);

#endif
