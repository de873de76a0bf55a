/* Reads the heads of requests in every way in which their bytes may come. */
#ifndef SB_TESTS_UNIT_HEADS_H
#define SB_TESTS_UNIT_HEADS_H

#include "daemon/edge/http/reader.h"
#include <stddef.h>

struct head_read {
	enum sb_http_reading reading;
	struct sb_http_request request; /* when it is read */
	size_t head_len;		/* likewise */
	struct sb_http_refusal refusal; /* when it is refused */
};

/*
 * Reads these bytes whole, in two parts cut at each of their places (of over
 * 1 KiB: near the ends), and byte by byte; each time in other memory, with nothing behind what has
 * come. Fails where one way differs from another, or where a head is read before its last byte. The
 * request's slices point into `bytes`.
 */
struct head_read read_every_way(const char *bytes, size_t len);

/* The same for a string. */
struct head_read read_text(const char *text);

/* A slice is this text; NULL: it is absent. */
void slice_is(struct sb_http_slice slice, const char *text);

#endif
