/* Reads frames a header byte at a time, payload in runs; see receiver.h for the rules. */
#include "daemon/edge/ws/receiver.h"
#include "protocol/clean.h"
#include "protocol/limits.h"
#include <stdlib.h>
#include <string.h>

/* RFC 6455 section 5.2. */
#define FIN		    0x80
#define RESERVED	    0x70
#define OPCODE		    0x0f
#define MASKED		    0x80
#define LENGTH		    0x7f
#define LENGTH_16	    126
#define LENGTH_64	    127
#define OPCODE_CONTINUATION 0
#define OPCODE_TEXT	    1
#define OPCODE_BINARY	    2
#define OPCODE_CLOSE	    8
#define OPCODE_PING	    9
#define OPCODE_PONG	    10

#define MASK_BYTES 4

void sb_receiver_init(struct sb_receiver *receiver)
{
	*receiver = (struct sb_receiver){0};
}

static void forget_message(struct sb_receiver *receiver)
{
	if (receiver->message)
		explicit_bzero(receiver->message, receiver->message_len);
	free(receiver->message);
	receiver->message = NULL;
	receiver->message_len = 0;
	receiver->message_room = 0;
}

static void forget_control(struct sb_receiver *receiver)
{
	free(receiver->control);
	receiver->control = NULL;
}

void sb_receiver_clear(struct sb_receiver *receiver)
{
	if (!receiver)
		return;
	forget_message(receiver);
	forget_control(receiver);
}

/* What the last event pointed to is not needed any more. */
static void drop_spent(struct sb_receiver *receiver)
{
	if (receiver->header_len == 0)
		forget_control(receiver);
	if (!receiver->in_message)
		forget_message(receiver);
}

static enum sb_receiver_event fail(struct sb_receiver *receiver, struct sb_received *ret_received,
				   enum sb_reason reason, const char *detail)
{
	sb_receiver_clear(receiver);
	receiver->ended = true;
	*ret_received = (struct sb_received){.reason = reason, .detail = detail};
	return SB_RECEIVER_FAIL;
}

/* ---- the header ---- */

static bool is_final(const struct sb_receiver *receiver)
{
	return receiver->header[0] & FIN;
}

/* RFC 6455 section 5.5: opcodes from 8 on. */
static bool is_control(const struct sb_receiver *receiver)
{
	return receiver->header[0] & 0x08;
}

/* How many bytes of length follow the second byte. */
static size_t more_length(const struct sb_receiver *receiver)
{
	unsigned int length = receiver->header[1] & LENGTH;

	return length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
}

/* SB_RECEIVER_MORE where the header is good as far as it has come, in this function and the next
 * two. */
static enum sb_receiver_event check_first(struct sb_receiver *receiver,
					  struct sb_received *ret_received)
{
	const char *problem = NULL;

	if (receiver->header[0] & RESERVED)
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME,
			    "a frame with a reserved bit");
	switch (receiver->header[0] & OPCODE) {
	case OPCODE_CONTINUATION:
		problem = receiver->in_message ? NULL : "a continuation of nothing";
		break;
	case OPCODE_TEXT:
		problem = receiver->in_message ? "a new message amid fragments" : NULL;
		receiver->in_message = true;
		break;
	case OPCODE_BINARY:
		if (!receiver->in_message)
			return fail(receiver, ret_received, SB_REASON_BAD_MESSAGE,
				    "a binary frame; messages are text");
		problem = "a new message amid fragments";
		break;
	case OPCODE_CLOSE:
	case OPCODE_PING:
	case OPCODE_PONG:
		problem = is_final(receiver) ? NULL : "a control frame in fragments";
		break;
	default:
		problem = "a frame with a reserved opcode";
		break;
	}
	return problem ? fail(receiver, ret_received, SB_REASON_BAD_FRAME, problem)
		       : SB_RECEIVER_MORE;
}

static enum sb_receiver_event check_second(struct sb_receiver *receiver,
					   struct sb_received *ret_received)
{
	if (!(receiver->header[1] & MASKED))
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME, "a frame without a mask");
	if (is_control(receiver) && (receiver->header[1] & LENGTH) > SB_RECEIVER_CONTROL_MAX)
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME,
			    "a control frame over 125 bytes");
	return SB_RECEIVER_MORE;
}

static enum sb_receiver_event check_length(struct sb_receiver *receiver,
					   struct sb_received *ret_received)
{
	size_t more = more_length(receiver);
	uint64_t length = receiver->header[1] & LENGTH;

	if (more > 0)
		length = 0;
	for (size_t i = 0; i < more; i++)
		length = length << 8 | receiver->header[2 + i];
	if (length >> 63)
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME,
			    "a length with its highest bit set");
	if ((more == 2 && length < LENGTH_16) || (more == 8 && length <= UINT16_MAX))
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME,
			    "a length that is not in its shortest form");
	if (!is_control(receiver) && receiver->message_len + length > SB_CLIENT_MESSAGE_MAX)
		return fail(receiver, ret_received, SB_REASON_TOO_BIG,
			    "a message over 16384 bytes");
	receiver->payload_len = (uint32_t)length;
	receiver->payload_at = 0;
	return SB_RECEIVER_MORE;
}

/*
 * Takes what there is of the header, each byte checked as it comes: so the first
 * fault counts, wherever the bytes are cut. MORE, with `*ret_whole` where the
 * header is whole; or FAIL.
 */
static enum sb_receiver_event take_header(struct sb_receiver *receiver, uint8_t **bytes,
					  size_t *left, bool *ret_whole,
					  struct sb_received *ret_received)
{
	enum sb_receiver_event event = SB_RECEIVER_MORE;
	size_t before_mask = 2 + (receiver->header_len < 2 ? 0 : more_length(receiver));

	while (receiver->header_len<before_mask + MASK_BYTES && * left> 0 && !event) {
		receiver->header[receiver->header_len++] = **bytes;
		(*bytes)++;
		(*left)--;
		if (receiver->header_len == 1)
			event = check_first(receiver, ret_received);
		if (receiver->header_len == 2) {
			event = check_second(receiver, ret_received);
			before_mask += more_length(receiver);
		}
		if (receiver->header_len == before_mask && receiver->header_len >= 2 && !event)
			event = check_length(receiver, ret_received);
	}
	*ret_whole = receiver->header_len == before_mask + MASK_BYTES;
	return event;
}

/* ---- the payload ---- */

/* RFC 6455 section 5.3, eight bytes at a time. `at`: how far into the payload the first byte is. */
static void unmask(uint8_t *bytes, size_t len, const uint8_t mask[MASK_BYTES], uint32_t at)
{
	uint8_t turned[8];
	uint64_t wide, word;
	size_t i = 0;

	for (size_t j = 0; j < sizeof(turned); j++)
		turned[j] = mask[(at + j) % MASK_BYTES];
	memcpy(&wide, turned, sizeof(wide));
	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		word ^= wide;
		memcpy(bytes + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		bytes[i] ^= turned[i % MASK_BYTES];
}

/* Takes what there is of the payload, unmasked. */
static uint8_t *take_payload(struct sb_receiver *receiver, uint8_t **bytes, size_t *left,
			     size_t *ret_len)
{
	uint32_t missing = receiver->payload_len - receiver->payload_at;
	size_t len = *left < missing ? *left : missing;
	uint8_t *part = *bytes;

	unmask(part, len, receiver->header + receiver->header_len - MASK_BYTES,
	       receiver->payload_at);
	receiver->payload_at += (uint32_t)len;
	*bytes += len;
	*left -= len;
	*ret_len = len;
	return part;
}

static bool is_utf8(const char *bytes, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t rest = len - at;
		char next[8] = {0}; /* for the reader, which wants a terminator */
		uint32_t character;
		uint64_t word;
		size_t length;

		memcpy(next, bytes + at, rest < sizeof(next) ? rest : sizeof(next));
		memcpy(&word, next, sizeof(word));
		if (!(word & 0x8080808080808080)) { /* eight of ASCII, or the last ones */
			at += sizeof(word);
			continue;
		}
		length = sb_utf8_read(next, &character);
		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

/* ---- messages ---- */

/* Twice the room at least, for a message may come byte by byte. Not by realloc(), which leaves
 * copies behind that are not wiped. */
static int make_room(struct sb_receiver *receiver, size_t len)
{
	uint32_t wanted = receiver->message_len + (uint32_t)len;
	uint32_t room = 2 * receiver->message_room;
	uint32_t before = receiver->message_len;
	char *grown;

	if (wanted <= receiver->message_room)
		return 0;
	if (room > SB_CLIENT_MESSAGE_MAX)
		room = SB_CLIENT_MESSAGE_MAX;
	if (room < wanted)
		room = wanted;
	grown = malloc(room);
	if (!grown)
		return -1;
	if (before > 0)
		memcpy(grown, receiver->message, before);
	forget_message(receiver);
	receiver->message = grown;
	receiver->message_len = before;
	receiver->message_room = room;
	return 0;
}

static enum sb_receiver_event end_message(struct sb_receiver *receiver, const char *bytes,
					  size_t len, struct sb_received *ret_received)
{
	receiver->in_message = false;
	if (!is_utf8(bytes, len))
		return fail(receiver, ret_received, SB_REASON_BAD_MESSAGE,
			    "text that is not UTF-8");
	ret_received->bytes = bytes;
	ret_received->len = len;
	return SB_RECEIVER_TEXT;
}

/* MORE: the message is not whole. The frame may be, see header_len. */
static enum sb_receiver_event take_data(struct sb_receiver *receiver, uint8_t **bytes, size_t *left,
					struct sb_received *ret_received)
{
	size_t len;
	const uint8_t *part = take_payload(receiver, bytes, left, &len);
	bool is_last = receiver->payload_at == receiver->payload_len;

	if (is_last)
		receiver->header_len = 0;
	is_last = is_last && is_final(receiver);
	if (is_last && receiver->message_len == 0)
		return end_message(receiver, (const char *)part, len, ret_received);
	if (len > 0) {
		if (make_room(receiver, len) != 0)
			return fail(receiver, ret_received, SB_REASON_BUSY, "out of memory");
		memcpy(receiver->message + receiver->message_len, part, len);
		receiver->message_len += (uint32_t)len;
	}
	return is_last ? end_message(receiver, receiver->message, receiver->message_len,
				     ret_received)
		       : SB_RECEIVER_MORE;
}

/* ---- control frames ---- */

/* RFC 6455 section 7.4 and IANA's registry: what a peer may send. 1012 to 1014 were registered
 * later. */
static bool is_close_code(int code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

static enum sb_receiver_event end_close(struct sb_receiver *receiver,
					struct sb_received *ret_received)
{
	const uint8_t *payload = (const uint8_t *)ret_received->bytes;

	ret_received->code = SB_RECEIVER_NO_CODE;
	if (ret_received->len == 1)
		return fail(receiver, ret_received, SB_REASON_BAD_FRAME, "a close of one byte");
	if (ret_received->len >= 2) {
		ret_received->code = payload[0] << 8 | payload[1];
		ret_received->bytes += 2;
		ret_received->len -= 2;
		if (!is_close_code(ret_received->code))
			return fail(receiver, ret_received, SB_REASON_BAD_FRAME,
				    "a close with a code that is not for the wire");
		if (!is_utf8(ret_received->bytes, ret_received->len))
			return fail(receiver, ret_received, SB_REASON_BAD_ENCODING,
				    "a close whose reason is not UTF-8");
	}
	receiver->in_message = false;
	forget_message(receiver);
	receiver->ended = true;
	return SB_RECEIVER_CLOSE;
}

/* Keeps a part of a control frame that is not whole yet, or its last one. */
static int keep_control(struct sb_receiver *receiver, const uint8_t *part, size_t len)
{
	if (!receiver->control)
		receiver->control = malloc(receiver->payload_len);
	if (!receiver->control)
		return -1;
	memcpy(receiver->control + receiver->payload_at - len, part, len);
	return 0;
}

static enum sb_receiver_event take_control(struct sb_receiver *receiver, uint8_t **bytes,
					   size_t *left, struct sb_received *ret_received)
{
	size_t len;
	const uint8_t *part = take_payload(receiver, bytes, left, &len);

	if (len > 0 && len < receiver->payload_len) {
		if (keep_control(receiver, part, len) != 0)
			return fail(receiver, ret_received, SB_REASON_BUSY, "out of memory");
	}
	if (receiver->payload_at < receiver->payload_len)
		return SB_RECEIVER_MORE;
	receiver->header_len = 0;
	ret_received->bytes = (const char *)(receiver->control ? receiver->control : part);
	ret_received->len = receiver->payload_len;
	switch (receiver->header[0] & OPCODE) {
	case OPCODE_CLOSE:
		return end_close(receiver, ret_received);
	case OPCODE_PING:
		return SB_RECEIVER_PING;
	default:
		return SB_RECEIVER_PONG;
	}
}

/* ---- all together ---- */

enum sb_receiver_event sb_receiver_next(struct sb_receiver *receiver, uint8_t **bytes, size_t *left,
					struct sb_received *ret_received)
{
	enum sb_receiver_event event = SB_RECEIVER_MORE;
	bool whole = true;

	*ret_received = (struct sb_received){0};
	drop_spent(receiver);
	/* A turn is a frame, or what there is of one. */
	while (!receiver->ended && !event && whole) {
		event = take_header(receiver, bytes, left, &whole, ret_received);
		if (!event && whole) {
			event = is_control(receiver)
					? take_control(receiver, bytes, left, ret_received)
					: take_data(receiver, bytes, left, ret_received);
			whole = receiver->header_len == 0;
		}
	}
	if (receiver->ended && !event) {
		*bytes += *left;
		*left = 0;
	}
	return event;
}
