/*
 * Requests that are answered once, when their session is through: a poll's
 * events, what an ack came to, how a device stands.
 *
 * The answer of GET /v1/bookings holds the very messages that a websocket
 * would have brought, byte for byte, in {"messages":[…]}.
 */
#include "daemon/edge/exchange.h"
#include <string.h>

static const struct sb_link_ops answer_link = {.transport = SB_TRANSPORT_POLL,
					       .wake = sb_connection_wake,
					       .cut = sb_connection_cut,
					       .return_ms = sb_guard_link_return_ms};

static void gather(struct sb_exchange *exchange, struct sb_frame *frame)
{
	if (exchange->messages.len)
		sb_text_append_string(&exchange->messages, ",");
	sb_text_append(&exchange->messages, frame->bytes, frame->len);
	sb_frame_unref(exchange->last);
	exchange->last = frame;
}

static void answer_poll(struct sb_connection *connection)
{
	struct sb_text *messages = &connection->exchange->messages;
	struct sb_text body;

	sb_text_init(&body);
	sb_text_append_string(&body, "{\"messages\":[");
	sb_text_append(&body, messages->data ? messages->data : "", messages->len);
	sb_text_append_string(&body, "]}\n");
	if (sb_text_failed(&body) || sb_text_failed(messages))
		sb_reply_problem(connection, 503, "out of memory", "busy", 1000, "");
	else
		sb_reply_json(connection, 200, body.data, body.len, 0);
	sb_text_fini(&body);
}

/* The session is through, or was ended. */
static void answer(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->exchange;
	const struct sb_frame *last = exchange->last;

	if (sb_reply_is_refusal(connection) || (!last && exchange->role != SB_ROLE_POLL))
		sb_reply_reason(connection, last);
	else if (exchange->role == SB_ROLE_POLL)
		answer_poll(connection);
	else /* acked; or a reset: what the ack is about is of a history that is no more */
		sb_reply_json(connection, last->type == SB_SERVER_RESET ? 409 : 200, last->bytes,
			      last->len, 0);
	sb_session_gone(connection->session);
	connection->session = NULL;
}

static void fill(struct sb_connection *connection)
{
	struct sb_frame *frame;

	while (connection->session) {
		switch (sb_session_pull(connection->session, &frame)) {
		case SB_PULL_NONE:
			return;
		case SB_PULL_FRAME:
			gather(connection->exchange, frame);
			break;
		case SB_PULL_PING:
			sb_session_heard(connection->session);
			break;
		case SB_PULL_CLOSE:
			answer(connection);
			return;
		}
	}
}

void sb_answer_begin(struct sb_connection *connection, const struct sb_opening *opening,
		     const char *token)
{
	connection->link.ops = &answer_link;
	connection->exchange->fill = fill;
	sb_exchange_open(connection, opening, token);
}
