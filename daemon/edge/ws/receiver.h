/*
 * A receiver of websocket frames, RFC 6455 section 5, on the server's side:
 * bytes in, whole messages and control frames out.
 *
 * Pure: it reads no socket, knows no library and decides nothing about the
 * session. The carrier gives it the bytes that a read returned, and calls
 * sb_receiver_next() until that returns SB_RECEIVER_MORE.
 *
 * The events depend on the bytes alone, not on where a read cuts them.
 *
 * Memory: nothing is allocated for a message or a control frame that lies whole
 * in the bytes. Otherwise its payload is gathered on the heap, in a buffer that
 * grows with what has come, not with what the header announces: at most
 * SB_CLIENT_MESSAGE_MAX bytes for a message, 125 for a control frame. Empty
 * fragments take no memory.
 *
 * What is refused, and with which reason:
 *
 * - BAD_FRAME, 1002: a frame that RFC 6455 forbids. Reserved bits and opcodes
 *   (section 5.2), no mask (5.1), a length that is not in its shortest form or
 *   has its highest bit set (5.2), a control frame that is fragmented or longer
 *   than 125 bytes (5.5), a continuation of nothing, a new message amid
 *   fragments (5.4), a close of one byte (5.5.1) or with a code that is not
 *   for the wire (7.4).
 * - BAD_ENCODING, 1007: a close whose reason is not UTF-8 (5.5.1, 8.1).
 * - BAD_MESSAGE, 4400: a binary message, known by the first byte of its header;
 *   a text message that is not UTF-8, known at the message's end.
 * - TOO_BIG, 1009: a message over SB_CLIENT_MESSAGE_MAX, its fragments together,
 *   known as soon as a header announces it.
 * - BUSY, 1013: out of memory.
 */
#ifndef SB_EDGE_WS_RECEIVER_H
#define SB_EDGE_WS_RECEIVER_H

#include "protocol/reason.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 6455 section 5.2: two bytes, a length of 64 bits, a mask. */
#define SB_RECEIVER_HEADER_MAX 14
/* RFC 6455 section 5.5. */
#define SB_RECEIVER_CONTROL_MAX 125
/* What a close without a code counts as, RFC 6455 section 7.1.5. */
#define SB_RECEIVER_NO_CODE 1005

/* The fields are the receiver's own. All zero is a receiver at the beginning of a connection. */
struct sb_receiver {
	char *message;	       /* a message that has come in part */
	uint8_t *control;      /* a control frame's payload that has come in part */
	uint32_t message_len;  /* bytes of `message` in use */
	uint32_t message_room; /* bytes of `message` allocated */
	uint32_t payload_len;  /* of the frame under way */
	uint32_t payload_at;   /* bytes of it that have come */
	uint8_t header[SB_RECEIVER_HEADER_MAX]; /* of the frame under way */
	uint8_t header_len; /* bytes of it that have come; 0: no frame under way */
	bool in_message;    /* the last frame of the message has not come whole */
	bool ended;	    /* after CLOSE or FAIL */
};

enum sb_receiver_event {
	SB_RECEIVER_MORE, /* all bytes are taken; give the next ones */
	SB_RECEIVER_TEXT, /* a whole text message, valid UTF-8 */
	SB_RECEIVER_PING, /* to be answered by a pong with the same payload */
	SB_RECEIVER_PONG,
	SB_RECEIVER_CLOSE, /* the peer closes; to be answered with the same code */
	SB_RECEIVER_FAIL,  /* the peer broke a rule: the connection is to be closed with `reason` */
};

struct sb_received {
	/*
	 * TEXT, PING, PONG: the payload. CLOSE: the words after the code. Never
	 * NULL then, not terminated. It lies in the carrier's bytes or in the
	 * receiver's memory, and is valid until the next call of the receiver.
	 */
	const char *bytes;
	size_t len;
	int code;	       /* CLOSE: as on the wire, or SB_RECEIVER_NO_CODE */
	enum sb_reason reason; /* FAIL */
	const char *detail;    /* FAIL: constant words for the developer of the client */
};

void sb_receiver_init(struct sb_receiver *receiver);

/*
 * The next event in `*left` bytes at `*bytes`. Moves both past what it took, so
 * the caller gives them again until the event is MORE. Payload is unmasked in
 * place: the bytes are changed.
 *
 * Also releases what the event before pointed to: memory that held a message is
 * wiped first, for a hello carries a token. The carrier's own bytes are the
 * carrier's to wipe.
 *
 * CLOSE and FAIL are the last events. All bytes after them are passed over
 * (RFC 6455 sections 5.5.1 and 7.1.7).
 */
enum sb_receiver_event sb_receiver_next(struct sb_receiver *receiver, uint8_t **bytes, size_t *left,
					struct sb_received *ret_received);

/* Wipes and frees what it holds, at the connection's end. Accepts NULL, and may be repeated. */
void sb_receiver_clear(struct sb_receiver *receiver);

#endif
