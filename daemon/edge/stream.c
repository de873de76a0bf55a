/*
 * The stream: a session's messages as server-sent events (HTML standard,
 * section 9.2), for clients behind a proxy that lets no websocket through.
 *
 *     event: booking
 *     id: k3f9q2.42
 *     data: {"type":"booking",…}
 *
 * `data` is the very message that a websocket would have brought, `id` its
 * cursor. Acks come by requests of their own.
 */
#include "daemon/edge/exchange.h"
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What goes out together: one TLS record's plaintext, RFC 8446 section 5.1. */
#define BURST_BYTES 16384
/* A chunk's size, RFC 9112 section 7.1; of fixed width, so that it can be filled in afterwards. */
#define CHUNK_HEAD "00000000\r\n"

static const struct sb_link_ops stream_link = {.transport = SB_TRANSPORT_STREAM,
					       .wake = sb_connection_wake,
					       .cut = sb_connection_cut,
					       .return_ms = sb_guard_link_return_ms};

/* ---- the text of it ---- */

static const char *event_of(enum sb_server_type type)
{
	switch (type) {
	case SB_SERVER_WELCOME:
		return "welcome";
	case SB_SERVER_BOOKING:
		return "booking";
	case SB_SERVER_LIVE:
		return "live";
	case SB_SERVER_ACKED:
		return "acked";
	case SB_SERVER_RESET:
		return "reset";
	case SB_SERVER_GOODBYE:
		return "goodbye";
	case SB_SERVER_ERROR:
		return "error";
	case SB_SERVER_PONG:
	case SB_SERVER_UNKNOWN:
		break;
	}
	return "message";
}

/* Where a client goes on that heard this one last: events, and what stands for them. */
static bool moves_cursor(enum sb_server_type type)
{
	return type == SB_SERVER_BOOKING || type == SB_SERVER_RESET || type == SB_SERVER_LIVE;
}

static void append_event(struct sb_connection *connection, struct sb_text *text,
			 const struct sb_frame *frame)
{
	char cursor[SB_CURSOR_MAX + 1];

	sb_text_append_string(text, "event: ");
	sb_text_append_string(text, event_of(frame->type));
	if (moves_cursor(frame->type)) {
		sb_text_append_string(text, "\nid: ");
		sb_text_append(text, cursor, sb_cursor_format(&frame->cursor, cursor));
	}
	if (frame->type == SB_SERVER_GOODBYE) {
		sb_text_append_string(text, "\nretry: ");
		sb_text_append_int(text, sb_session_return_ms(connection->session));
	}
	sb_text_append_string(text, "\ndata: ");
	sb_text_append(text, frame->bytes, frame->len); /* JSON of ours has no line break */
	sb_text_append_string(text, "\n\n");
}

/* ---- out ---- */

/* The first of it: status and headers, and the empty line after them. */
static void begin_stream(struct sb_connection *connection)
{
	connection->exchange->started = true;
	sb_reply_head(connection, 200,
		      "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
		      "X-Accel-Buffering: no\r\n\r\n");
}

/* Closes the chunk that began at `start`, or takes it back when nothing is in it. */
static void end_chunk(struct sb_text *out, size_t start)
{
	size_t len = out->len - start - strlen(CHUNK_HEAD);
	char head[sizeof(CHUNK_HEAD)];

	if (sb_text_failed(out))
		return; /* the connection goes for it */
	if (!len) {
		out->len = start;
		return;
	}
	/* A burst and one message more, at most: eight digits hold it. */
	(void)snprintf(head, sizeof(head), "%08" PRIx32 "\r\n", (uint32_t)len);
	memcpy(out->data + start, head, strlen(head));
	sb_text_append_string(out, "\r\n");
}

/* Whether the peer still listens. libwebsockets does not read here, so nobody else would notice. */
static bool is_connected(struct sb_connection *connection)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(lws_get_socket_fd(connection->wsi), IPPROTO_TCP, TCP_INFO, &info, &len) ==
		       0 &&
	       info.tcpi_state == TCP_ESTABLISHED;
}

static void add_heartbeat(struct sb_connection *connection)
{
	sb_text_append_string(&connection->exchange->out, ":\n\n");
	/* No echo comes back over a stream; TCP's word has to do (TCP_USER_TIMEOUT, arrival.c). */
	if (is_connected(connection))
		sb_session_heard(connection->session);
}

static void end_session(struct sb_connection *connection)
{
	sb_session_gone(connection->session);
	connection->session = NULL;
}

/* The session was ended before the stream began: an answer of another status. */
static void refuse(struct sb_connection *connection, struct sb_frame *words)
{
	sb_reply_reason(connection, words);
	sb_frame_unref(words);
	end_session(connection);
}

/* Pulls until nothing is left or the chunk is full. */
static void pull_chunk(struct sb_connection *connection)
{
	struct sb_text *out = &connection->exchange->out;
	size_t start = out->len;
	enum sb_pull pull = SB_PULL_FRAME;
	struct sb_frame *frame;

	sb_text_append_string(out, CHUNK_HEAD);
	while (pull != SB_PULL_CLOSE && out->len - start < BURST_BYTES && !sb_text_failed(out)) {
		pull = sb_session_pull(connection->session, &frame);
		if (pull == SB_PULL_NONE)
			break;
		if (pull == SB_PULL_FRAME) {
			append_event(connection, out, frame);
			sb_frame_unref(frame);
		} else if (pull == SB_PULL_PING) {
			add_heartbeat(connection);
		}
	}
	end_chunk(out, start);
	if (pull != SB_PULL_CLOSE)
		return;
	sb_text_append_string(out, "0\r\n\r\n");
	sb_reply_end(connection);
	end_session(connection);
}

/* Until there is something to say, nobody knows with which status. */
static void fill(struct sb_connection *connection)
{
	struct sb_text *out = &connection->exchange->out;
	struct sb_frame *frame = NULL;
	enum sb_pull pull;
	size_t start;

	if (!connection->session)
		return;
	if (!connection->exchange->started) {
		pull = sb_session_pull(connection->session, &frame);
		if (pull == SB_PULL_NONE)
			return;
		if (pull != SB_PULL_FRAME || sb_reply_is_refusal(connection)) {
			refuse(connection, frame);
			return;
		}
		begin_stream(connection);
		start = out->len;
		sb_text_append_string(out, CHUNK_HEAD);
		append_event(connection, out, frame);
		sb_frame_unref(frame);
		end_chunk(out, start);
	}
	pull_chunk(connection);
}

void sb_stream_begin(struct sb_connection *connection, const struct sb_opening *opening,
		     const char *token)
{
	connection->link.ops = &stream_link;
	connection->exchange->fill = fill;
	sb_exchange_open(connection, opening, token);
}
