/* Streams of frames, their events as words, and the memory in between; see receiver_feed.h. */
#include "receiver_feed.h"
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

void *__wrap_malloc(size_t size);
void __wrap_free(void *block);
void *__real_malloc(size_t size);
void __real_free(void *block);

struct stream stream;
struct memory memory;

static bool watched; /* while the receiver runs */

void memory_clear(void)
{
	memory = (struct memory){0};
}

void *__wrap_malloc(size_t size)
{
	if (watched) {
		if (++memory.allocations == memory.fail_at)
			return NULL;
		memory.live++;
		if (size > memory.largest)
			memory.largest = size;
	}
	return __real_malloc(size);
}

void __wrap_free(void *block)
{
	if (watched && block) {
		memory.live--;
		if (memory.secret &&
		    memmem(block, malloc_usable_size(block), memory.secret, strlen(memory.secret)))
			memory.unwiped++;
	}
	__real_free(block);
}

uint32_t chance(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223; /* Numerical Recipes' constants */
	return *seed >> 8;
}

void stream_clear(void)
{
	stream.len = 0;
}

void stream_raw(const void *bytes, size_t len)
{
	assert_true(stream.len + len <= sizeof(stream.bytes));
	if (len > 0)
		memcpy(stream.bytes + stream.len, bytes, len);
	stream.len += len;
}

/* Every frame has another mask, which depends on where it begins. */
void stream_header(uint8_t first, uint64_t len, size_t more)
{
	uint8_t header[14] = {first, (uint8_t)(0x80 | (more == 0 ? len : more == 2 ? 126 : 127))};
	uint32_t seed = (uint32_t)stream.len;

	for (size_t i = 0; i < more; i++)
		header[2 + i] = (uint8_t)(len >> (8 * (more - 1 - i)));
	for (size_t i = 0; i < 4; i++)
		header[2 + more + i] = (uint8_t)chance(&seed);
	stream_raw(header, 2 + more + 4);
}

void stream_frame(uint8_t first, const void *payload, size_t len)
{
	const uint8_t *bytes = payload;
	uint8_t mask[4];

	stream_header(first, len, len < 126 ? 0 : len < 65536 ? 2 : 8);
	memcpy(mask, stream.bytes + stream.len - 4, 4);
	assert_true(stream.len + len <= sizeof(stream.bytes));
	for (size_t i = 0; i < len; i++)
		stream.bytes[stream.len++] = bytes[i] ^ mask[i % 4];
}

void stream_text(uint8_t first, const char *payload)
{
	stream_frame(first, payload, strlen(payload));
}

void stream_close(int code, const void *words, size_t len)
{
	uint8_t payload[200] = {(uint8_t)(code >> 8), (uint8_t)code};

	assert_true(len <= sizeof(payload) - 2);
	if (len > 0)
		memcpy(payload + 2, words, len);
	stream_frame(FIN | CLOSE, payload, 2 + len);
}

/* ---- events as words ---- */

#define SHOWN 200 /* longer payloads are shown by a sum */

struct story {
	size_t len;
	char text[100000];
};

static void add(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct story *story, const char *format, ...)
{
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(story->text + story->len, sizeof(story->text) - story->len, format,
			arguments);
	va_end(arguments);
	assert_true(len >= 0 && story->len + (size_t)len < sizeof(story->text));
	story->len += (size_t)len;
}

static void add_payload(struct story *story, const struct sb_received *received)
{
	uint32_t sum = 0;

	assert_non_null(received->bytes);
	for (size_t i = 0; i < received->len; i++)
		sum = sum * 31 + (uint8_t)received->bytes[i];
	if (received->len > SHOWN || memchr(received->bytes, 0, received->len))
		add(story, " (%zu bytes, %08x)", received->len, (unsigned int)sum);
	else if (received->len > 0)
		add(story, " %.*s", (int)received->len, received->bytes);
}

static void add_event(struct story *story, enum sb_receiver_event event,
		      const struct sb_received *received)
{
	static const char *const words[] = {[SB_RECEIVER_TEXT] = "text",
					    [SB_RECEIVER_PING] = "ping",
					    [SB_RECEIVER_PONG] = "pong",
					    [SB_RECEIVER_CLOSE] = "close",
					    [SB_RECEIVER_FAIL] = "fail"};

	add(story, "%s%s", story->len > 0 ? "; " : "", words[event]);
	if (event == SB_RECEIVER_CLOSE)
		add(story, " %d", received->code);
	if (event == SB_RECEIVER_FAIL) {
		add(story, " %d", sb_reason_close_code(received->reason));
		assert_true(received->detail && *received->detail);
		assert_null(received->bytes);
	} else {
		add_payload(story, received);
	}
}

/* One read: all of its events. */
static void give(struct sb_receiver *receiver, struct story *story, const uint8_t *from, size_t len)
{
	uint8_t *block = malloc(len > 0 ? len : 1), *bytes = block;
	enum sb_receiver_event event;
	struct sb_received received;
	size_t left = len;

	memcpy(block, from, len);
	do {
		watched = true;
		event = sb_receiver_next(receiver, &bytes, &left, &received);
		watched = false;
		assert_ptr_equal(bytes + left, block + len);
		if (event != SB_RECEIVER_MORE)
			add_event(story, event, &received);
	} while (event != SB_RECEIVER_MORE);
	assert_int_equal(left, 0);
	free(block);
}

const char *feed(size_t first, size_t read)
{
	static struct story stories[2];
	static int turn;
	struct story *story = &stories[turn ^= 1];
	struct sb_receiver receiver;
	size_t at = 0;

	story->len = 0;
	story->text[0] = '\0';
	sb_receiver_init(&receiver);
	while (at < stream.len) {
		size_t wanted = at == 0 ? first : read;
		size_t span = stream.len - at < wanted ? stream.len - at : wanted;

		give(&receiver, story, stream.bytes + at, span);
		at += span;
	}
	watched = true;
	sb_receiver_clear(&receiver);
	sb_receiver_clear(&receiver);
	watched = false;
	assert_int_equal(memory.live, 0);
	return story->text;
}

void stream_gives(const char *events)
{
	static const size_t reads[] = {1, 2, 3, 5, 7, 13, 127, 1021, 16384};
	/* Every cut of a long stream would take minutes: its beginning, its end, and some between.
	 */
	size_t step = stream.len / 64;

	assert_string_equal(feed(stream.len + 1, 1), events);
	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++) {
		if (stream.len < 100 * 1000 || reads[i] > 100)
			assert_string_equal(feed(reads[i], reads[i]), events);
	}
	for (size_t cut = 1;
	     cut<stream.len; cut += stream.len> 1000 && cut > 40 && cut + 40 + step < stream.len
		     ? step
		     : 1)
		assert_string_equal(feed(cut, stream.len), events);
}
