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
#include "daemon/edge/http/exchange.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A chunk's size, RFC 9112 section 7.1; of fixed width, so that it can be filled in afterwards. */
#define CHUNK_HEAD "00000000\r\n"

static const struct sb_link_ops stream_link = SB_CONNECTION_LINK(SB_TRANSPORT_STREAM);

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

static void append_event(struct sb_exchange *exchange, struct sb_text *text,
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
		sb_text_append_int(text, sb_session_return_ms(exchange->connection->session));
	}
	sb_text_append_string(text, "\ndata: ");
	sb_text_append(text, frame->bytes, frame->len); /* JSON of ours has no line break */
	sb_text_append_string(text, "\n\n");
}

/* ---- out ---- */

/* The first of it: status and headers, and the empty line after them. */
static void begin_stream(struct sb_exchange *exchange)
{
	exchange->started = true;
	/* In HTTP/1.0 it goes on until the connection's end, RFC 9112 section 6.3. */
	sb_reply_head(exchange, 200, exchange->is_1_0 ? "" : "Transfer-Encoding: chunked\r\n");
	sb_text_append_string(&exchange->out,
			      "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n");
}

/* Where it begins. HTTP/1.0 has no chunks. */
static size_t begin_chunk(struct sb_exchange *exchange)
{
	size_t start = exchange->out.len;

	if (!exchange->is_1_0)
		sb_text_append_string(&exchange->out, CHUNK_HEAD);
	return start;
}

/* Closes the chunk that began at `start`, or takes it back when nothing is in it. */
static void end_chunk(struct sb_exchange *exchange, size_t start)
{
	struct sb_text *out = &exchange->out;
	size_t len = out->len - start - strlen(CHUNK_HEAD);
	char head[sizeof(CHUNK_HEAD)];

	if (exchange->is_1_0 || sb_text_failed(out))
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

static void add_heartbeat(struct sb_exchange *exchange)
{
	sb_text_append_string(&exchange->out, ":\n\n");
	/* No echo comes back over a stream. A peer that ends is noticed by its end, one that is
	 * silent by TCP (TCP_USER_TIMEOUT, arrival.c), and one that does not read by a full
	 * socket, for which nothing is pulled. */
	sb_session_heard(exchange->connection->session);
}

/* The session was ended before the stream began: an answer of another status. */
static void refuse(struct sb_exchange *exchange, struct sb_frame *words)
{
	sb_reply_reason(exchange, words);
	sb_frame_unref(words);
	sb_connection_end_session(exchange->connection);
}

/* Pulls until nothing is left or the chunk is full. */
static void pull_chunk(struct sb_exchange *exchange)
{
	struct sb_text *out = &exchange->out;
	size_t start = begin_chunk(exchange);
	enum sb_pull pull = SB_PULL_FRAME;
	struct sb_frame *frame;

	while (pull != SB_PULL_CLOSE && out->len - start < SB_RECORD_MAX && !sb_text_failed(out)) {
		pull = sb_session_pull(exchange->connection->session, &frame);
		if (pull == SB_PULL_NONE)
			break;
		if (pull == SB_PULL_FRAME) {
			append_event(exchange, out, frame);
			sb_frame_unref(frame);
		} else if (pull == SB_PULL_PING) {
			add_heartbeat(exchange);
		}
	}
	end_chunk(exchange, start);
	if (pull != SB_PULL_CLOSE)
		return;
	if (!exchange->is_1_0)
		sb_text_append_string(out, "0\r\n\r\n");
	sb_reply_end(exchange);
	sb_connection_end_session(exchange->connection);
}

/* Until there is something to say, nobody knows with which status. */
static void fill(struct sb_exchange *exchange)
{
	struct sb_frame *frame = NULL;
	enum sb_pull pull;
	size_t start;

	if (!exchange->connection->session)
		return;
	if (!exchange->started) {
		pull = sb_session_pull(exchange->connection->session, &frame);
		if (pull == SB_PULL_NONE)
			return;
		if (pull != SB_PULL_FRAME || sb_reply_is_refusal(exchange)) {
			refuse(exchange, frame);
			return;
		}
		begin_stream(exchange);
		start = begin_chunk(exchange);
		append_event(exchange, &exchange->out, frame);
		sb_frame_unref(frame);
		end_chunk(exchange, start);
	}
	pull_chunk(exchange);
}

void sb_stream_begin(struct sb_exchange *exchange, const struct sb_opening *opening,
		     const char *token)
{
	exchange->fill = fill;
	sb_exchange_open(exchange, &stream_link, opening, token);
}
