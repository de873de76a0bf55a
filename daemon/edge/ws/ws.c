/*
 * The websocket as a session's carrier: frames in, messages out.
 *
 * Outgoing messages are framed here and go out together, up to one TLS record
 * at a time: one encryption and one system call for a burst. Nothing is pulled
 * while the socket is full, so a slow reader costs one record, never a queue.
 *
 * It never decides what is sent or when a session ends: core does.
 */
#include "daemon/edge/ws/ws.h"
#include "daemon/edge/ws/receiver.h"
#include "protocol/reason.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A server's frame header: never masked, RFC 6455 section 5.2. */
#define HEADER_MAX   10
#define OPCODE_TEXT  0x81 /* FIN set */
#define OPCODE_CLOSE 0x88
#define OPCODE_PING  0x89
#define OPCODE_PONG  0x8a

struct ws {
	struct sb_receiver receiver;
	/* A ping's payload that waits for its pong: its length, then its bytes. Of several that
	 * wait the newest, RFC 6455 section 5.5.3. Owned. */
	uint8_t *pong;
	bool close_sent; /* nothing is sent any more */
};

static const struct sb_link_ops ws_link = SB_CONNECTION_LINK(SB_TRANSPORT_WEBSOCKET);

/* ---- out ---- */

/* RFC 6455 section 5.2: 7 bits of length, or 16, or 64. */
static size_t put_header(unsigned char *at, unsigned char opcode, size_t len)
{
	at[0] = opcode;
	if (len < 126) {
		at[1] = (unsigned char)len;
		return 2;
	}
	if (len < 65536) {
		at[1] = 126;
		at[2] = (unsigned char)(len >> 8);
		at[3] = (unsigned char)len;
		return 4;
	}
	at[1] = 127;
	for (int i = 0; i < 8; i++)
		at[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
	return 10;
}

struct burst {
	size_t len;
	unsigned char bytes[SB_RECORD_MAX];
};

static void send_burst(struct sb_connection *connection, struct burst *burst)
{
	sb_connection_send(connection, burst->bytes, burst->len);
	burst->len = 0;
}

/* A message that is larger than a burst goes out alone, its header in front of it in the frame's
 * own room. */
static void send_alone(struct sb_connection *connection, struct sb_frame *frame)
{
	unsigned char header[HEADER_MAX];
	size_t header_len = put_header(header, OPCODE_TEXT, frame->len);
	unsigned char *start = (unsigned char *)frame->bytes - header_len;

	_Static_assert(SB_FRAME_HEADROOM >= HEADER_MAX, "a frame has room for a websocket header");
	memcpy(start, header, header_len);
	sb_connection_send(connection, start, header_len + frame->len);
}

/* What does not fit beside the others is sent after them; fill() sees to it that the socket takes
 * them first. */
static void add_frame(struct sb_connection *connection, struct burst *burst, struct sb_frame *frame)
{
	if (HEADER_MAX + frame->len > sizeof(burst->bytes)) {
		send_alone(connection, frame);
	} else {
		unsigned char *at = burst->bytes + burst->len;
		size_t header_len = put_header(at, OPCODE_TEXT, frame->len);

		memcpy(at + header_len, frame->bytes, frame->len);
		burst->len += header_len + frame->len;
	}
	sb_frame_unref(frame);
}

static void add_control(struct burst *burst, unsigned char opcode, const void *payload, size_t len)
{
	burst->len += put_header(burst->bytes + burst->len, opcode, len);
	memcpy(burst->bytes + burst->len, payload, len);
	burst->len += len;
}

/* RFC 6455 section 5.5.1: the code, then a word for people. */
static void add_close(struct sb_connection *connection, struct burst *burst)
{
	enum sb_reason reason = sb_session_reason(connection->session);
	const char *word = sb_reason_word(reason);
	int code = sb_reason_close_code(reason);
	unsigned char payload[SB_RECEIVER_CONTROL_MAX];
	size_t word_len = strlen(word);

	payload[0] = (unsigned char)(code >> 8);
	payload[1] = (unsigned char)code;
	memcpy(payload + 2, word, word_len);
	add_control(burst, OPCODE_CLOSE, payload, 2 + word_len);
}

static void forget_pong(struct ws *ws)
{
	free(ws->pong);
	ws->pong = NULL;
}

static void add_pong(struct ws *ws, struct burst *burst)
{
	if (!ws->pong)
		return;
	add_control(burst, OPCODE_PONG, ws->pong + 1, ws->pong[0]);
	forget_pong(ws);
}

/* Ours was sent. Its answer ends the connection; of a peer that broke a rule nothing is read any
 * more, so there only its end is waited for. A session's time to close bounds both. */
static void on_close_sent(struct sb_connection *connection, struct ws *ws)
{
	ws->close_sent = true;
	if (ws->receiver.ended)
		sb_connection_shut(connection);
}

/* Pulls until nothing is left or the socket is full. */
static void flush(struct sb_connection *connection)
{
	struct ws *ws = connection->state;
	struct sb_frame *frame;
	struct burst burst;

	burst.len = 0;
	if (!connection->session || ws->close_sent)
		return;
	add_pong(ws, &burst);
	while (!sb_connection_is_full(connection) && !connection->to_drop) {
		switch (sb_session_pull(connection->session, &frame)) {
		case SB_PULL_NONE:
			send_burst(connection, &burst);
			return;
		case SB_PULL_FRAME:
			if (burst.len + HEADER_MAX + frame->len > sizeof(burst.bytes))
				send_burst(connection, &burst);
			add_frame(connection, &burst, frame);
			break;
		case SB_PULL_PING:
			/* With a byte of payload, by which clients' answers were told apart from
			 * pongs of their own in earlier versions. */
			add_control(&burst, OPCODE_PING, "b", 1);
			break;
		case SB_PULL_CLOSE:
			add_close(connection, &burst);
			send_burst(connection, &burst);
			on_close_sent(connection, ws);
			return;
		}
		/* Room for a control frame is always left. */
		if (burst.len > sizeof(burst.bytes) - 2 * SB_RECEIVER_CONTROL_MAX)
			send_burst(connection, &burst);
	}
	send_burst(connection, &burst);
}

/* ---- in ---- */

static void on_ping(struct sb_connection *connection, const struct sb_received *ping)
{
	struct ws *ws = connection->state;

	sb_session_heard(connection->session);
	forget_pong(ws);
	ws->pong = malloc(1 + ping->len);
	if (!ws->pong)
		return; /* a later one is answered */
	ws->pong[0] = (uint8_t)ping->len;
	memcpy(ws->pong + 1, ping->bytes, ping->len);
	sb_connection_ready(connection);
}

/* The client closes, and is answered with its own code; what it says of why goes into the log and
 * the counters. The server ends the connection (RFC 6455 section 7.1.1). */
static void on_close(struct sb_connection *connection, const struct sb_received *close)
{
	struct ws *ws = connection->state;
	unsigned char answer[4] = {OPCODE_CLOSE, 2, (unsigned char)(close->code >> 8),
				   (unsigned char)close->code};

	if (!ws->close_sent) {
		if (close->code == SB_RECEIVER_NO_CODE)
			answer[1] = 0;
		sb_connection_send(connection, answer, 2 + answer[1]);
		ws->close_sent = true;
		sb_session_left(connection->session, close->code == 1000   ? SB_REASON_BYE
						     : close->code == 1001 ? SB_REASON_GOING_AWAY
									   : SB_REASON_LOST);
	}
	sb_connection_shut(connection);
	sb_connection_drop(connection);
}

static void on_event(struct sb_connection *connection, enum sb_receiver_event event,
		     const struct sb_received *received)
{
	bool leaves = sb_session_reason(connection->session) != SB_REASON_LOST;

	switch (event) {
	case SB_RECEIVER_TEXT:
		if (!leaves) /* else whatever comes now is not read */
			sb_session_receive(connection->session, received->bytes, received->len);
		break;
	case SB_RECEIVER_PING:
		on_ping(connection, received);
		break;
	case SB_RECEIVER_PONG:
		sb_session_heard(connection->session);
		break;
	case SB_RECEIVER_CLOSE:
		on_close(connection, received);
		break;
	case SB_RECEIVER_FAIL:
		if (!leaves)
			sb_session_refuse(connection->session, received->reason, received->detail);
		else if (((struct ws *)connection->state)->close_sent)
			sb_connection_shut(connection);
		break;
	case SB_RECEIVER_MORE:
		break;
	}
}

static void receive(struct sb_connection *connection, uint8_t *bytes, size_t len)
{
	struct ws *ws = connection->state;
	enum sb_receiver_event event;
	struct sb_received received;

	while (connection->session && !connection->to_drop) {
		event = sb_receiver_next(&ws->receiver, &bytes, &len, &received);
		if (event == SB_RECEIVER_MORE)
			return;
		on_event(connection, event, &received);
	}
}

/* ---- its life ---- */

static void gone(struct sb_connection *connection)
{
	struct ws *ws = connection->state;

	sb_receiver_clear(&ws->receiver);
	forget_pong(ws);
	free(ws);
}

static const struct sb_carrier ws_carrier = {
	.received = receive,
	.flush = flush,
	.gone = gone,
};

int sb_ws_begin(struct sb_connection *connection, const char *token)
{
	struct ws *ws = calloc(1, sizeof(*ws));

	if (!ws || sb_connection_open_session(connection, &ws_link) != 0) {
		free(ws);
		return -ENOMEM;
	}
	sb_receiver_init(&ws->receiver);
	sb_connection_carry(connection, &ws_carrier, ws);
	if (sb_visitor_is_refused(connection->visitor))
		sb_session_send_away(connection->session, SB_REASON_TOO_MANY,
				     sb_connection_return_ms(connection));
	if (token)
		sb_session_header_token(connection->session, token, strlen(token));
	return 0;
}
