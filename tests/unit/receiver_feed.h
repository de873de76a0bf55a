/*
 * A client's frames, and the receiver's events as words, for the tests of the
 * receiver. Memory is watched: what is allocated, and whether a secret is freed
 * without being wiped. Needs the linker's --wrap of malloc and free.
 */
#ifndef SB_TEST_RECEIVER_FEED_H
#define SB_TEST_RECEIVER_FEED_H

#include "daemon/edge/ws/receiver.h"

#define CONTINUATION 0
#define TEXT	     1
#define BINARY	     2
#define CLOSE	     8
#define PING	     9
#define PONG	     10
#define FIN	     0x80

/* What a client sends. */
struct stream {
	size_t len;
	uint8_t bytes[200000];
};
extern struct stream stream;

void stream_clear(void);
void stream_raw(const void *bytes, size_t len);
/* A masked frame in its shortest form: FIN, the reserved bits and the opcode in `first`. */
void stream_frame(uint8_t first, const void *payload, size_t len);
/* The same with a string. */
void stream_text(uint8_t first, const char *payload);
/* A masked header that announces `len` in `more` (0, 2 or 8) bytes of length; no payload. */
void stream_header(uint8_t first, uint64_t len, size_t more);
void stream_close(int code, const void *words, size_t len);

/*
 * The events of the stream, given to a receiver in reads of `read` bytes, the
 * first of `first` bytes: "text hello; ping x; close 1000 bye; fail 1002". Long
 * payloads are shown by their length and a sum. Each read lies in memory of its
 * own size. The result is overwritten by the call after the next one.
 */
const char *feed(size_t first, size_t read);

/* The stream has these events: whole, byte by byte, cut in two at every byte, in reads of odd
 * sizes. `events` as in feed(). */
void stream_gives(const char *events);

/* Chance that comes again with its seed. */
uint32_t chance(uint32_t *seed);

/* ---- memory of the tested code ---- */

struct memory {
	int allocations; /* since memory_clear() */
	int fail_at;	 /* this allocation fails; 0: none */
	size_t largest;	 /* bytes of the largest one */
	int live;	 /* not freed yet */
	const char *secret;
	int unwiped; /* blocks that were freed with the secret in them */
};
extern struct memory memory;

void memory_clear(void);

#endif
