/* A frame: allocated with its bytes, counted, freed with the last reference. */
#include "daemon/core/frame.h"
#include <stdlib.h>
#include <string.h>

struct sb_frame *sb_frame_new(const struct sb_text *text)
{
	struct sb_frame *frame;

	if (sb_text_failed(text) || text->len > UINT32_MAX)
		return NULL;
	frame = malloc(sizeof(*frame) + text->len);
	if (!frame)
		return NULL;
	frame->references = 1;
	frame->len = (uint32_t)text->len;
	frame->type = SB_SERVER_UNKNOWN;
	frame->cursor = (struct sb_cursor){0};
	frame->published_at_us = 0;
	memcpy(frame->bytes, text->data, text->len);
	return frame;
}

struct sb_frame *sb_frame_ref(struct sb_frame *frame)
{
	frame->references++;
	return frame;
}

void sb_frame_unref(struct sb_frame *frame)
{
	if (frame && --frame->references == 0)
		free(frame);
}
