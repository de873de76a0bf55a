/*
 * The websocket as a session's carrier: frames in, messages out.
 *
 * Outgoing messages are framed here and go out together, up to one TLS record
 * at a time, in a write of their own (LWS_WRITE_RAW): one encryption and one
 * system call for a burst. Written only while libwebsockets holds nothing back
 * for this socket, so a slow reader costs one record, never a queue.
 *
 * It never decides what is sent or when a session ends: core does.
 */
#include "daemon/edge/exchange.h"
#include "protocol/limits.h"
#include "protocol/reason.h"
#include <stdlib.h>
#include <string.h>

/* One TLS record's plaintext, RFC 8446 section 5.1. */
#define BURST_BYTES 16384
/* A server's frame header: never masked, RFC 6455 section 5.2. */
#define HEADER_MAX   10
#define OPCODE_TEXT  0x81 /* FIN set */
#define OPCODE_PING  0x89
#define OPCODE_CLOSE 0x88

/* ---- the link ---- */

static const struct sb_link_ops ws_link = {.transport = SB_TRANSPORT_WEBSOCKET,
					   .wake = sb_connection_wake,
					   .cut = sb_connection_cut,
					   .return_ms = sb_guard_link_return_ms};

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

/* Not lws_send_pipe_choked(): it asks the kernel each time, and a socket that is full says so
 * when it is written to. */
static bool can_write(struct lws *wsi)
{
	return !lws_partial_buffered(wsi);
}

struct burst {
	size_t len;
	unsigned char bytes[LWS_PRE + BURST_BYTES];
};

static int send_bytes(struct sb_connection *connection, unsigned char *bytes, size_t len)
{
	return lws_write(connection->wsi, bytes, len, LWS_WRITE_RAW) < (int)len ? -1 : 0;
}

static int send_burst(struct sb_connection *connection, struct burst *burst)
{
	size_t len = burst->len;

	burst->len = 0;
	return len ? send_bytes(connection, burst->bytes + LWS_PRE, len) : 0;
}

/* A message that is larger than a burst goes out alone, its header in front of it in the frame's
 * own room. */
static int send_alone(struct sb_connection *connection, struct sb_frame *frame)
{
	unsigned char header[HEADER_MAX];
	size_t header_len = put_header(header, OPCODE_TEXT, frame->len);
	unsigned char *start = (unsigned char *)frame->bytes - header_len;

	_Static_assert(SB_FRAME_HEADROOM >= HEADER_MAX, "a frame has room for a websocket header");
	memcpy(start, header, header_len);
	return send_bytes(connection, start, header_len + frame->len);
}

static int add_frame(struct sb_connection *connection, struct burst *burst, struct sb_frame *frame)
{
	int result = 0;

	if (burst->len + HEADER_MAX + frame->len > BURST_BYTES)
		result = send_burst(connection, burst);
	if (result == 0 && HEADER_MAX + frame->len > BURST_BYTES) {
		result = send_alone(connection, frame);
	} else if (result == 0) {
		unsigned char *at = burst->bytes + LWS_PRE + burst->len;
		size_t header_len = put_header(at, OPCODE_TEXT, frame->len);

		memcpy(at + header_len, frame->bytes, frame->len);
		burst->len += header_len + frame->len;
	}
	sb_frame_unref(frame);
	return result;
}

/* RFC 6455 section 5.5.1: the code, then a word for people. The peer's own close ends the
 * connection. */
static void add_close(struct sb_connection *connection, struct burst *burst)
{
	enum sb_reason reason = sb_session_reason(connection->session);
	const char *word = sb_reason_word(reason);
	int code = sb_reason_close_code(reason);
	unsigned char *at = burst->bytes + LWS_PRE + burst->len;
	size_t word_len = strlen(word);

	at += put_header(at, OPCODE_CLOSE, 2 + word_len);
	at[0] = (unsigned char)(code >> 8);
	at[1] = (unsigned char)code;
	memcpy(at + 2, word, word_len);
	burst->len += 2 + 2 + word_len;
	connection->deaf = true;
	connection->close_sent = true;
}

/* With a byte of payload: the answer to an empty ping libwebsockets 4.1 does not tell us of. */
static void add_ping(struct burst *burst)
{
	unsigned char *at = burst->bytes + LWS_PRE + burst->len;
	size_t header_len = put_header(at, OPCODE_PING, 1);

	at[header_len] = 'b';
	burst->len += header_len + 1;
}

/* Pulls until nothing is left or the burst is full; 0, or -1 when the socket is broken. */
static int fill(struct sb_connection *connection, struct burst *burst)
{
	struct sb_frame *frame;

	/* Room for one usual message more: a pulled one must be taken, so stop in time. */
	while (burst->len < BURST_BYTES - 2048 && can_write(connection->wsi)) {
		switch (sb_session_pull(connection->session, &frame)) {
		case SB_PULL_NONE:
			return send_burst(connection, burst);
		case SB_PULL_FRAME:
			if (add_frame(connection, burst, frame) != 0)
				return -1;
			break;
		case SB_PULL_PING:
			add_ping(burst);
			break;
		case SB_PULL_CLOSE:
			add_close(connection, burst);
			return send_burst(connection, burst);
		}
	}
	if (send_burst(connection, burst) != 0)
		return -1;
	lws_callback_on_writable(connection->wsi); /* there may be more */
	return 0;
}

/*
 * Nothing is read while libwebsockets holds something back. If a client reads
 * nothing and breaks the protocol, lws 4.1 first sends what it holds, and ends
 * the connection then. What it reads meanwhile it neither takes nor drops, and
 * it offers the same bytes to itself without end.
 */
static void stop_reading(struct lws *wsi)
{
	(void)lws_rx_flow_control(wsi, 0);
	lws_callback_on_writable(wsi);
}

/* It holds nothing back. */
static void on_writeable(struct sb_connection *connection)
{
	(void)lws_rx_flow_control(connection->wsi, 1);
	sb_connection_ready(connection); /* served at the end of this turn, with what else comes */
}

static void flush(struct sb_connection *connection)
{
	struct burst burst;

	burst.len = 0;
	if (!connection->session || connection->deaf)
		return;
	if (!can_write(connection->wsi))
		lws_callback_on_writable(connection->wsi);
	else if (fill(connection, &burst) != 0)
		sb_connection_kill(connection);
	else if (!can_write(connection->wsi))
		stop_reading(connection->wsi);
}

/* ---- in ---- */

static int on_established(struct sb_connection *connection, struct lws *wsi)
{
	sb_connection_opened(connection);
	connection->wsi = wsi;
	lws_set_wsi_user(wsi, connection); /* or there would be no word of its last turn */
	connection->link.ops = &ws_link;
	connection->flush = flush;
	connection->session = sb_session_new(connection->server->hub, &connection->link);
	if (!connection->session)
		return -1;
	sb_guard_greet(connection);
	if (connection->token) {
		sb_session_header_token(connection->session, connection->token,
					strlen(connection->token));
		sb_request_forget_token(connection->token);
		connection->token = NULL;
	}
	return 0;
}

void sb_ws_forget_message(struct sb_connection *connection)
{
	if (connection->message)
		explicit_bzero(connection->message, connection->message_len);
	free(connection->message);
	connection->message = NULL;
	connection->message_len = 0;
	connection->message_room = 0;
}

/* Room for so many bytes in all, at least twice as much as before: a message may come byte by byte.
 * Not by realloc(), which leaves what was there where it was. */
static int make_room(struct sb_connection *connection, uint32_t len)
{
	uint32_t before = connection->message_len;
	uint32_t room = 2 * connection->message_room;
	char *grown;

	if (len <= connection->message_room)
		return 0;
	if (room < len)
		room = len;
	grown = malloc(room);
	if (!grown)
		return -1;
	if (before)
		memcpy(grown, connection->message, before);
	sb_ws_forget_message(connection);
	connection->message = grown;
	connection->message_len = before;
	connection->message_room = room;
	return 0;
}

/* A part of a message that is not whole yet, or the last one of it. */
static void on_part(struct sb_connection *connection, const char *bytes, size_t len, bool last)
{
	if (make_room(connection, connection->message_len + (uint32_t)len) != 0) {
		sb_ws_forget_message(connection);
		sb_session_close(connection->session, SB_REASON_BUSY);
		return;
	}
	if (len)
		memcpy(connection->message + connection->message_len, bytes, len);
	connection->message_len += (uint32_t)len;
	if (last) {
		sb_session_receive(connection->session, connection->message,
				   connection->message_len);
		sb_ws_forget_message(connection);
	}
}

static void on_receive(struct sb_connection *connection, struct lws *wsi, const char *bytes,
		       size_t len)
{
	size_t announced = lws_remaining_packet_payload(wsi);
	bool last = lws_is_final_fragment(wsi) && !announced;

	if (sb_session_reason(connection->session) != SB_REASON_LOST)
		return; /* it leaves: whatever comes now is not read */
	if (lws_frame_is_binary(wsi)) {
		sb_session_refuse(connection->session, SB_REASON_BAD_MESSAGE,
				  "a binary frame; messages are text");
	} else if (connection->message_len + len + announced > SB_CLIENT_MESSAGE_MAX) {
		sb_ws_forget_message(connection);
		sb_session_refuse(connection->session, SB_REASON_TOO_BIG,
				  "a message over 16384 bytes");
	} else if (last && !connection->message) {
		sb_session_receive(connection->session, bytes, len);
	} else {
		on_part(connection, bytes, len, last);
	}
}

/* The client closes; what it says of why goes into the log and the counters. */
static int on_peer_close(struct sb_connection *connection, const unsigned char *body, size_t len)
{
	int code = len >= 2 ? body[0] << 8 | body[1] : 1005;

	connection->deaf = true;
	if (connection->close_sent)
		return -1; /* the answer to ours: now the connection may go, and it is the server
			      who ends it */
	sb_session_left(connection->session, code == 1000   ? SB_REASON_BYE
					     : code == 1001 ? SB_REASON_GOING_AWAY
							    : SB_REASON_LOST);
	return 0; /* libwebsockets answers it */
}

static void on_closed(struct sb_connection *connection)
{
	connection->deaf = true;
	sb_session_gone(connection->session);
	connection->session = NULL;
}

int sb_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		   size_t len)
{
	struct sb_connection *connection = sb_connection_of(wsi);

	(void)user;
	if (!connection)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		/* Headers are gone after 101: kept until the session is there to take it. */
		connection->token = sb_request_token(wsi);
		return 0;
	case LWS_CALLBACK_ESTABLISHED:
		return on_established(connection, wsi);
	case LWS_CALLBACK_RECEIVE:
		if (connection->session)
			on_receive(connection, wsi, in, len);
		return 0;
	case LWS_CALLBACK_RECEIVE_PONG:
		if (connection->session)
			sb_session_heard(connection->session);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		on_writeable(connection);
		return 0;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		return on_peer_close(connection, in, len);
	case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
		/* It goes, maybe not before a close of libwebsockets' own, for a broken frame:
		 * nothing may follow that one. */
		connection->deaf = true;
		return 0;
	case LWS_CALLBACK_CLOSED:
		on_closed(connection);
		return 0;
	default:
		return 0;
	}
}
