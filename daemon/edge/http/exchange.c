/*
 * Requests in, one after the other, and the way out of what they are answered.
 *
 * Reading goes on while a request is served, so a peer that goes is noticed at
 * once. What it sends meanwhile waits for its turn (pipelining, RFC 9112
 * section 9.3.2); when a head's worth of it waits, the socket is left alone.
 *
 * A peer that closes its half after the request gets no answer: TLS's end and
 * the socket's are one event here.
 */
#include "daemon/edge/http/exchange.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What may wait behind a request that is served, in bytes; and what one read adds to it. */
#define WAITING_MAX SB_HTTP_HEAD_MAX
/* The peer takes the last of an answer, and closes, in this time. */
#define END_MS 1000

/* ---- the input ---- */

static void forget_input(struct sb_exchange *exchange)
{
	if (exchange->input)
		explicit_bzero(exchange->input, exchange->input_len);
	free(exchange->input);
	exchange->input = NULL;
	exchange->input_len = exchange->input_room = 0;
	exchange->scanned = 0;
}

/* Not by realloc(), which leaves what was there where it was. */
static int add_input(struct sb_exchange *exchange, const void *bytes, size_t len)
{
	uint32_t wanted = exchange->input_len + (uint32_t)len;
	uint32_t room = 2 * exchange->input_room;
	char *grown = exchange->input;

	if (wanted > exchange->input_room) {
		if (room < wanted)
			room = wanted;
		grown = malloc(room);
		if (!grown)
			return -ENOMEM;
		if (exchange->input) {
			memcpy(grown, exchange->input, exchange->input_len);
			explicit_bzero(exchange->input, exchange->input_len);
			free(exchange->input);
		}
		exchange->input = grown;
		exchange->input_room = room;
	}
	memcpy(grown + exchange->input_len, bytes, len);
	exchange->input_len = wanted;
	return 0;
}

static void use_input(struct sb_exchange *exchange, size_t len)
{
	size_t left = exchange->input_len - len;

	exchange->scanned = 0;
	if (!left) {
		forget_input(exchange);
		return;
	}
	memmove(exchange->input, exchange->input + len, left);
	explicit_bzero(exchange->input + left, len);
	exchange->input_len = (uint32_t)left;
}

/* ---- requests ---- */

static void free_request(struct sb_exchange *exchange)
{
	sb_text_fini(&exchange->out);
	sb_text_fini(&exchange->messages);
	sb_frame_unref(exchange->last);
	exchange->last = NULL;
	sb_asked_forget_token(exchange->token);
	exchange->token = NULL;
	free(exchange->origin);
	exchange->origin = NULL;
	exchange->fill = NULL;
	exchange->started = exchange->ended = exchange->keeps = exchange->may_be_followed = false;
	exchange->is_head = exchange->is_1_0 = false;
}

static void begin_request(struct sb_exchange *exchange)
{
	exchange->state = SB_EXCHANGE_SERVING;
	sb_deadline_stop(&exchange->deadline);
	sb_keep_end(exchange, true);
	exchange->connection->is_known = false; /* each request shows its token anew */
	(void)sb_visitor_opened(exchange->connection->visitor);
}

static void refuse_head(struct sb_exchange *exchange, const struct sb_http_refusal *refusal)
{
	begin_request(exchange);
	forget_input(exchange);
	sb_reply_problem(exchange, refusal->status, refusal->detail,
			 refusal->status == 400 ? "bad-message" : NULL, 0, "");
}

/* Whether there is more to be looked at in the input. */
static bool read_head(struct sb_exchange *exchange)
{
	struct sb_http_request request;
	struct sb_http_refusal refusal;
	size_t head_len;

	switch (sb_http_read_head(exchange->input, exchange->input_len, &exchange->scanned,
				  &request, &head_len, &refusal)) {
	case SB_HTTP_MORE:
		return false;
	case SB_HTTP_REFUSED:
		refuse_head(exchange, &refusal);
		return false;
	case SB_HTTP_READ:
		break;
	}
	begin_request(exchange);
	if (request.wants_websocket) {
		sb_upgrade(exchange, &request, head_len);
		return false; /* the exchange may be gone */
	}
	sb_routes_begin(exchange, &request);
	use_input(exchange, head_len);
	/* RFC 9110 section 10.1.1: not where the body is there already. */
	if (exchange->state == SB_EXCHANGE_BODY && request.expects_continue &&
	    exchange->input_len < exchange->body_len) {
		sb_text_append_string(&exchange->out, "HTTP/1.1 100 Continue\r\n\r\n");
		sb_connection_ready(exchange->connection);
	}
	return true;
}

static bool read_body(struct sb_exchange *exchange)
{
	if (exchange->input_len < exchange->body_len)
		return false;
	sb_deadline_stop(&exchange->deadline);
	exchange->state = SB_EXCHANGE_SERVING;
	sb_routes_take_body(exchange, exchange->input, exchange->body_len);
	use_input(exchange, exchange->body_len);
	return true;
}

/* Goes as far as the input reaches, or until a request is served. */
static void go_on(struct sb_exchange *exchange)
{
	bool more = exchange->input_len > 0;

	while (more) {
		switch ((enum sb_exchange_state)exchange->state) {
		case SB_EXCHANGE_READING:
			more = exchange->input_len && read_head(exchange);
			break;
		case SB_EXCHANGE_BODY:
			more = read_body(exchange);
			break;
		case SB_EXCHANGE_SERVING:
		case SB_EXCHANGE_ENDING:
			return;
		}
	}
}

static void receive(struct sb_connection *connection, uint8_t *bytes, size_t len)
{
	struct sb_exchange *exchange = connection->state;

	/* What comes behind the last request is read, so that the close is no reset, and passed
	 * over. */
	if (exchange->state == SB_EXCHANGE_ENDING ||
	    (exchange->state == SB_EXCHANGE_SERVING && !exchange->may_be_followed))
		return;
	if (add_input(exchange, bytes, len) != 0)
		sb_connection_drop(connection);
	else if (exchange->state != SB_EXCHANGE_SERVING)
		go_on(exchange);
	else if (exchange->input_len > WAITING_MAX)
		sb_connection_read(connection, false);
	explicit_bzero(bytes, len); /* they may hold a token */
}

void sb_exchange_expect_body(struct sb_exchange *exchange, uint32_t len)
{
	exchange->state = SB_EXCHANGE_BODY;
	exchange->body_len = len;
	sb_deadline_start(&exchange->deadline, &exchange->http->bodies,
			  uv_now(exchange->http->loop));
}

void sb_exchange_open(struct sb_exchange *exchange, const struct sb_link_ops *ops,
		      const struct sb_opening *opening, const char *token)
{
	struct sb_connection *connection = exchange->connection;

	exchange->role = (uint8_t)opening->role;
	if (sb_connection_open_session(connection, ops) != 0) {
		sb_reply_no_memory(exchange);
		return;
	}
	if (token)
		sb_session_header_token(connection->session, token, strlen(token));
	sb_session_open(connection->session, opening);
	sb_connection_ready(connection);
}

/* ---- answers ---- */

/* All of the answer is sent. */
static void finish(struct sb_exchange *exchange)
{
	struct sb_connection *connection = exchange->connection;
	bool keeps = exchange->keeps;

	sb_deadline_stop(&exchange->deadline);
	sb_connection_end_session(connection);
	free_request(exchange);
	if (keeps) {
		exchange->state = SB_EXCHANGE_READING;
		sb_keep_begin(exchange);
		sb_connection_read(connection, true);
		go_on(exchange);
		return;
	}
	forget_input(exchange);
	exchange->state = SB_EXCHANGE_ENDING;
	sb_connection_read(connection, true);
	sb_connection_shut(connection);
	sb_deadline_start(&exchange->deadline, &exchange->http->ends, uv_now(exchange->http->loop));
}

static void flush(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->state;

	while (exchange->state == SB_EXCHANGE_SERVING || exchange->state == SB_EXCHANGE_BODY) {
		if (sb_text_failed(&exchange->out)) {
			sb_connection_drop(connection);
			return;
		}
		sb_connection_send(connection, exchange->out.data, exchange->out.len);
		sb_text_fini(&exchange->out);
		if (connection->to_drop || sb_connection_is_full(connection))
			return;
		if (exchange->ended) {
			finish(exchange);
			return; /* a further request made itself ready */
		}
		if (exchange->fill)
			exchange->fill(exchange);
		if (!exchange->out.len && !sb_text_failed(&exchange->out) && !exchange->ended)
			return;
	}
}

/* ---- its life ---- */

void sb_exchange_free(struct sb_exchange *exchange)
{
	sb_deadline_stop(&exchange->deadline);
	sb_keep_end(exchange, false);
	free_request(exchange);
	forget_input(exchange);
	free(exchange);
}

static void gone(struct sb_connection *connection)
{
	sb_exchange_free(connection->state);
}

static const struct sb_carrier http_carrier = {
	.received = receive,
	.flush = flush,
	.gone = gone,
};

int sb_http_begin(void *data, struct sb_connection *connection)
{
	struct sb_exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return -ENOMEM;
	exchange->http = data;
	exchange->connection = connection;
	sb_text_init(&exchange->out);
	sb_text_init(&exchange->messages);
	sb_connection_carry(connection, &http_carrier, exchange);
	return 0;
}

/* ---- time ---- */

void sb_http_init(struct sb_http *http, uv_loop_t *loop, struct sb_hub *hub,
		  const struct sb_door *door, const struct sb_http_config *config)
{
	*http = (struct sb_http){.loop = loop, .hub = hub, .door = door};
	http->ends.wait_ms = END_MS;
	sb_http_configure(http, config);
}

static struct sb_connection *take(struct sb_deadlines *queue, uint64_t now)
{
	struct sb_deadline *due = sb_deadlines_take(queue, now);

	return due ? ((struct sb_exchange *)(void *)((char *)due -
						     offsetof(struct sb_exchange, deadline)))
			       ->connection
		   : NULL;
}

void sb_http_tick(struct sb_http *http)
{
	struct sb_deadlines *const queues[] = {&http->bodies, &http->kept, &http->ends};
	struct sb_connection *connection;

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		while ((connection = take(queues[i], uv_now(http->loop))))
			sb_connection_drop(connection);
	}
}

uint64_t sb_http_due_ms(const struct sb_http *http)
{
	const struct sb_deadlines *const queues[] = {&http->bodies, &http->kept, &http->ends};
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		uint64_t due = sb_deadlines_due_ms(queues[i]);

		if (due < first)
			first = due;
	}
	return first;
}
