/*
 * Plain HTTP on the client port: which path is what, who may ask from which
 * page, and the bodies that come.
 *
 *   GET  /v1/session     the websocket (upgrade.c, ws/)
 *   GET  /v1/stream      the same as server-sent events (stream.c)
 *   GET  /v1/bookings    the same by (long) poll (answer.c)
 *   POST /v1/acks        acks for the two (answer.c)
 *   GET  /v1/reconnect   may I come in, when, what did I miss (answer.c); HEAD, too
 */
#include "daemon/edge/http/exchange.h"
#include "protocol/limits.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route {
	const char *path;
	enum sb_http_method method;
	bool heads; /* HEAD, too */
	const char *methods;
	enum sb_role role;
	void (*begin)(struct sb_exchange *exchange, const struct sb_opening *opening,
		      const char *token);
};

static const struct route routes[] = {
	{"/v1/stream", SB_HTTP_GET, false, "GET, OPTIONS", SB_ROLE_LIVE, sb_stream_begin},
	{"/v1/bookings", SB_HTTP_GET, false, "GET, OPTIONS", SB_ROLE_POLL, sb_answer_begin},
	{"/v1/acks", SB_HTTP_POST, false, "POST, OPTIONS", SB_ROLE_ACK, sb_answer_begin},
	{"/v1/reconnect", SB_HTTP_GET, true, "GET, HEAD, OPTIONS", SB_ROLE_ASK, sb_answer_begin},
};

static const struct route *find_route(const struct sb_http_request *request)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (sb_http_slice_is(request->path, routes[i].path))
			return &routes[i];
	}
	return NULL;
}

static bool has_method(const struct route *route, enum sb_http_method method)
{
	return method == route->method || (route->heads && method == SB_HTTP_HEAD);
}

/* ---- requests ---- */

/* From memory: who asks without a token, and all while the database would not answer. */
static void answer_standing(struct sb_exchange *exchange, const struct sb_reconnect *standing)
{
	struct sb_text body;

	sb_text_init(&body);
	sb_reconnect_encode(&body, standing);
	if (sb_text_failed(&body))
		sb_reply_no_memory(exchange);
	else
		sb_reply_json(exchange, 200, body.data, body.len, standing->retry_after_ms);
	sb_text_fini(&body);
}

static void begin(struct sb_exchange *exchange, const struct route *route,
		  const struct sb_http_request *request)
{
	const char *detail = "";
	struct sb_opening opening;
	struct sb_reconnect standing = {0};
	char *token;

	if (sb_asked_opening(request, route->role, &opening, &detail) != 0) {
		sb_reply_problem(exchange, 400, detail, "bad-message", 0, "");
		return;
	}
	token = sb_asked_token(request);
	if (route->role == SB_ROLE_ASK) {
		standing.state = sb_hub_standing(exchange->http->hub);
		if (standing.state != SB_STANDING_READY)
			standing.retry_after_ms = sb_connection_return_ms(exchange->connection);
		if (!token || standing.state != SB_STANDING_READY) {
			answer_standing(exchange, &standing);
			sb_asked_forget_token(token);
			return;
		}
	}
	route->begin(exchange, &opening, token);
	sb_asked_forget_token(token);
}

/* ---- bodies ---- */

static void refuse_body(struct sb_exchange *exchange, int status, const char *detail,
			const char *reason)
{
	exchange->may_be_followed = false; /* its body comes nevertheless, and is not read */
	sb_reply_problem(exchange, status, detail, reason, 0, "");
}

/* POST: the body comes first. Its token waits in the exchange. */
static void expect_body(struct sb_exchange *exchange, const struct sb_http_request *request)
{
	if (!request->has_length) {
		refuse_body(exchange, 411, "say the body's Content-Length", NULL);
	} else if (request->content_length > SB_CLIENT_MESSAGE_MAX) {
		refuse_body(exchange, 413, "a message over 16384 bytes", "too-big");
	} else if (!request->content_length) {
		refuse_body(exchange, 400, "the body is an ack message", "bad-message");
	} else {
		exchange->token = sb_asked_token(request);
		sb_exchange_expect_body(exchange, (uint32_t)request->content_length);
	}
}

void sb_routes_take_body(struct sb_exchange *exchange, const char *body, size_t len)
{
	struct sb_client_message message;
	struct sb_refusal refusal;
	int result = sb_client_message_decode(body, len, &message, &refusal);

	if (result == 0 && message.type != SB_CLIENT_ACK) {
		sb_reply_problem(exchange, 400, "the body is an ack message", "bad-message", 0, "");
	} else if (result == -EPROTO) {
		sb_reply_problem(exchange, 400, refusal.detail, sb_reason_word(refusal.reason), 0,
				 "");
	} else if (result != 0) {
		sb_reply_no_memory(exchange);
	} else {
		struct sb_opening opening = {.role = SB_ROLE_ACK, .ack = &message.ack};

		sb_answer_begin(exchange, &opening, exchange->token);
	}
	sb_asked_forget_token(exchange->token);
	exchange->token = NULL;
}

/* ---- requests of any path ---- */

static void preflight(struct sb_exchange *exchange, const char *methods)
{
	struct sb_text *out = &exchange->out;

	sb_reply_head(exchange, 204, "Access-Control-Allow-Methods: ");
	sb_text_append_string(out, methods);
	sb_text_append_string(out, "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, "
				   "Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\n\r\n");
	sb_reply_end(exchange);
}

static void refuse_method(struct sb_exchange *exchange, const char *methods)
{
	char allow[64];

	(void)snprintf(allow, sizeof(allow), "Allow: %s\r\n", methods);
	sb_reply_problem(exchange, 405, "this path has other methods", NULL, 0, allow);
}

/* False: it is answered. */
static bool may_ask(struct sb_exchange *exchange, const struct sb_http_request *request)
{
	struct sb_http_slice origin = request->fields[SB_HTTP_ORIGIN];

	if (!sb_asked_origin_is_allowed(request, exchange->http->config->origins)) {
		sb_reply_problem(exchange, 403, "this Origin is not among listen.origins", NULL, 0,
				 "");
		return false;
	}
	if (origin.bytes) {
		exchange->origin = strndup(origin.bytes, origin.len);
		if (!exchange->origin) {
			sb_reply_no_memory(exchange);
			return false;
		}
	}
	if (sb_visitor_is_refused(exchange->connection->visitor)) {
		sb_reply_problem(exchange, 429, "too many connections from this address",
				 sb_reason_word(SB_REASON_TOO_MANY),
				 sb_connection_return_ms(exchange->connection), "");
		return false;
	}
	return true;
}

static void route_request(struct sb_exchange *exchange, const struct sb_http_request *request)
{
	const struct route *route = find_route(request);
	bool posts = route && route->method == SB_HTTP_POST && request->method == SB_HTTP_POST;

	/* A stream says how it ends by ending; a body that is not asked for is not read. */
	exchange->may_be_followed = route && route->begin == sb_answer_begin &&
				    request->keeps_alive && (posts || !request->content_length);
	if (sb_http_slice_is(request->path, SB_SESSION_PATH))
		sb_reply_problem(exchange, 426, "connect with a websocket, subprotocol slotbell.v1",
				 NULL, 0, "Upgrade: websocket\r\n");
	else if (!route)
		sb_reply_problem(exchange, 404,
				 "there are /v1/session, /v1/stream, /v1/bookings, /v1/acks and "
				 "/v1/reconnect",
				 NULL, 0, "");
	else if (request->method == SB_HTTP_OPTIONS)
		preflight(exchange, route->methods);
	else if (!has_method(route, request->method))
		refuse_method(exchange, route->methods);
	else if (posts)
		expect_body(exchange, request);
	else
		begin(exchange, route, request);
}

void sb_routes_begin(struct sb_exchange *exchange, const struct sb_http_request *request)
{
	exchange->is_1_0 = request->is_1_0;
	exchange->is_head = request->method == SB_HTTP_HEAD;
	if (may_ask(exchange, request))
		route_request(exchange, request);
}
