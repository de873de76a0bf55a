/* See heads.h. */
#include "tests/unit/heads.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

/* What has come, in memory of exactly that size. The request is told of `home`, where its bytes
 * stay. */
static struct head_read read_copy(const char *home, size_t len, size_t *scanned)
{
	struct head_read read = {0};
	char *copy = malloc(len);
	struct sb_http_slice *slices[] = {&read.request.method_name, &read.request.target,
					  &read.request.path,	     &read.request.query,
					  &read.request.host,	     &read.request.lines};

	assert_non_null(copy);
	memcpy(copy, home, len);
	read.reading =
		sb_http_read_head(copy, len, scanned, &read.request, &read.head_len, &read.refusal);
	if (read.reading != SB_HTTP_READ)
		memset(&read.request, 0, sizeof(read.request));
	for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]) + SB_HTTP_FIELDS; i++) {
		struct sb_http_slice *slice =
			i < SB_HTTP_FIELDS ? &read.request.fields[i] : slices[i - SB_HTTP_FIELDS];

		if (slice->bytes >= copy && slice->bytes < copy + len) {
			assert_true(slice->bytes + slice->len <= copy + len);
			slice->bytes = home + (slice->bytes - copy);
		}
	}
	free(copy);
	return read;
}

static void are_equal(const struct head_read *one, const struct head_read *other)
{
	assert_int_equal(one->reading, other->reading);
	assert_int_equal(one->refusal.status, other->refusal.status);
	assert_ptr_equal(one->refusal.detail, other->refusal.detail);
	assert_int_equal(one->head_len, other->head_len);
	assert_memory_equal(&one->request, &other->request, sizeof(one->request));
}

/* A long one is cut at each place near its ends only: all of them would take seconds. */
static size_t step_from(size_t cut, size_t len)
{
	return len > 1024 && cut > 64 && cut + 128 < len ? 61 : 1;
}

struct head_read read_every_way(const char *bytes, size_t len)
{
	size_t scanned = 0, end = len;
	struct head_read whole = read_copy(bytes, len, &scanned), part = {0};

	if (whole.reading == SB_HTTP_READ)
		end = whole.head_len;
	for (size_t cut = 1; cut < len; cut += step_from(cut, len)) {
		scanned = 0;
		part = read_copy(bytes, cut, &scanned);
		if (part.reading == SB_HTTP_MORE) {
			assert_true(cut < end);
			assert_int_equal(scanned, cut);
			part = read_copy(bytes, len, &scanned);
		}
		are_equal(&part, &whole);
	}
	scanned = 0;
	part.reading = SB_HTTP_MORE;
	for (size_t come = 1; come <= len && part.reading == SB_HTTP_MORE; come++)
		part = read_copy(bytes, come, &scanned);
	are_equal(&part, &whole);
	return whole;
}

struct head_read read_text(const char *text)
{
	return read_every_way(text, strlen(text));
}

void slice_is(struct sb_http_slice slice, const char *text)
{
	if (!text) {
		assert_null(slice.bytes);
		return;
	}
	assert_non_null(slice.bytes);
	assert_int_equal(slice.len, strlen(text));
	assert_memory_equal(slice.bytes, text, slice.len);
}
