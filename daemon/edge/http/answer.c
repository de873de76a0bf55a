/*
 * Requests that are answered once, when their session is through: a poll's
 * events, what an ack came to, how a device stands.
 *
 * The answer of GET /v1/bookings holds the very messages that a websocket
 * would have brought, byte for byte, in {"messages":[…]}.
 */
#include "daemon/edge/http/exchange.h"
#include <string.h>

static const struct sb_link_ops answer_link = SB_CONNECTION_LINK(SB_TRANSPORT_POLL);

static void gather(struct sb_exchange *exchange, struct sb_frame *frame)
{
	if (exchange->messages.len)
		sb_text_append_string(&exchange->messages, ",");
	sb_text_append(&exchange->messages, frame->bytes, frame->len);
	sb_frame_unref(exchange->last);
	exchange->last = frame;
}

static void answer_poll(struct sb_exchange *exchange)
{
	struct sb_text *messages = &exchange->messages;
	struct sb_text body;

	sb_text_init(&body);
	sb_text_append_string(&body, "{\"messages\":[");
	sb_text_append(&body, messages->data ? messages->data : "", messages->len);
	sb_text_append_string(&body, "]}\n");
	if (sb_text_failed(&body) || sb_text_failed(messages))
		sb_reply_no_memory(exchange);
	else
		sb_reply_json(exchange, 200, body.data, body.len, 0);
	sb_text_fini(&body);
}

/* The session is through, or was ended. */
static void answer(struct sb_exchange *exchange)
{
	const struct sb_frame *last = exchange->last;

	if (sb_reply_is_refusal(exchange) || (!last && exchange->role != SB_ROLE_POLL))
		sb_reply_reason(exchange, last);
	else if (exchange->role == SB_ROLE_POLL)
		answer_poll(exchange);
	else /* acked; or a reset: what the ack is about is of a history that is no more */
		sb_reply_json(exchange, last->type == SB_SERVER_RESET ? 409 : 200, last->bytes,
			      last->len, 0);
	sb_connection_end_session(exchange->connection);
}

static void fill(struct sb_exchange *exchange)
{
	struct sb_connection *connection = exchange->connection;
	struct sb_frame *frame;

	while (connection->session) {
		switch (sb_session_pull(connection->session, &frame)) {
		case SB_PULL_NONE:
			return;
		case SB_PULL_FRAME:
			gather(exchange, frame);
			break;
		case SB_PULL_PING:
			sb_session_heard(connection->session);
			break;
		case SB_PULL_CLOSE:
			answer(exchange);
			return;
		}
	}
}

void sb_answer_begin(struct sb_exchange *exchange, const struct sb_opening *opening,
		     const char *token)
{
	exchange->fill = fill;
	sb_exchange_open(exchange, &answer_link, opening, token);
}
