/*
 * Plain HTTP on the client port: which path is what, who may ask from which
 * page, and the bodies that come.
 *
 *   GET  /v1/session     the websocket (upgrade.c, ws.c)
 *   GET  /v1/stream      the same as server-sent events (stream.c)
 *   GET  /v1/bookings    the same by (long) poll (answer.c)
 *   POST /v1/acks        acks for the two (answer.c)
 *   GET  /v1/reconnect   may I come in, when, what did I miss (answer.c)
 */
#include "daemon/base/log.h"
#include "daemon/edge/exchange.h"
#include "protocol/limits.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_MAX_LEN 64

struct route {
	const char *path;
	bool posts; /* POST, else GET */
	const char *methods;
	enum sb_role role;
	void (*begin)(struct sb_connection *connection, const struct sb_opening *opening,
		      const char *token);
};

static const struct route routes[] = {
	{"/v1/stream", false, "GET, OPTIONS", SB_ROLE_LIVE, sb_stream_begin},
	{"/v1/bookings", false, "GET, OPTIONS", SB_ROLE_POLL, sb_answer_begin},
	{"/v1/acks", true, "POST, OPTIONS", SB_ROLE_ACK, sb_answer_begin},
	{"/v1/reconnect", false, "GET, OPTIONS", SB_ROLE_ASK, sb_answer_begin},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	}
	return NULL;
}

enum method { METHOD_GET, METHOD_POST, METHOD_OPTIONS, METHOD_OTHER };

/* The method, and the path without its query; "" when it is longer than any of ours. */
static enum method read_target(struct lws *wsi, char path[PATH_MAX_LEN])
{
	static const enum lws_token_indexes tokens[] = {
		[METHOD_GET] = WSI_TOKEN_GET_URI,
		[METHOD_POST] = WSI_TOKEN_POST_URI,
		[METHOD_OPTIONS] = WSI_TOKEN_OPTIONS_URI,
	};

	path[0] = '\0';
	for (enum method method = METHOD_GET; method < METHOD_OTHER; method++) {
		if (lws_hdr_total_length(wsi, tokens[method]) <= 0)
			continue;
		if (lws_hdr_copy(wsi, path, PATH_MAX_LEN, tokens[method]) < 0)
			path[0] = '\0';
		return method;
	}
	return METHOD_OTHER;
}

/* ---- requests ---- */

/* From memory: who asks without a token, and all while the database would not answer. */
static void answer_standing(struct sb_connection *connection, const struct sb_reconnect *standing)
{
	struct sb_text body;

	sb_text_init(&body);
	sb_reconnect_encode(&body, standing);
	if (sb_text_failed(&body))
		sb_reply_problem(connection, 503, "out of memory", "busy", 1000, "");
	else
		sb_reply_json(connection, 200, body.data, body.len, standing->retry_after_ms);
	sb_text_fini(&body);
}

static void begin(struct sb_connection *connection, const struct route *route)
{
	struct lws *wsi = connection->wsi;
	const char *detail = "";
	struct sb_opening opening;
	struct sb_reconnect standing = {0};
	char *token;

	if (sb_request_opening(wsi, route->role, &opening, &detail) != 0) {
		sb_reply_problem(connection, 400, detail, "bad-message", 0, "");
		return;
	}
	token = sb_request_token(wsi);
	if (route->role == SB_ROLE_ASK) {
		standing.state = sb_hub_standing(connection->server->hub);
		if (standing.state != SB_STANDING_READY)
			standing.retry_after_ms = sb_guard_return_ms(connection);
		if (!token || standing.state != SB_STANDING_READY) {
			answer_standing(connection, &standing);
			sb_request_forget_token(token);
			return;
		}
	}
	route->begin(connection, &opening, token);
	sb_request_forget_token(token);
}

/* POST: the body comes first. Its token waits in the connection. */
static void expect_body(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->exchange;
	uint32_t size;

	switch (sb_request_body_length(connection->wsi, &size)) {
	case 0:
		break;
	case -ENODATA:
		sb_reply_problem(connection, 411, "say the body's Content-Length", NULL, 0, "");
		return;
	case -EMSGSIZE:
		sb_reply_problem(connection, 413, "a message over 16384 bytes", "too-big", 0, "");
		return;
	default:
		sb_reply_problem(connection, 400, "the body is an ack message", "bad-message", 0,
				 "");
		return;
	}
	exchange->body = malloc(size);
	exchange->body_size = exchange->body ? size : 0;
	connection->token = sb_request_token(connection->wsi);
	if (!exchange->body)
		sb_reply_problem(connection, 503, "out of memory", "busy", 1000, "");
	else
		sb_deadline_start(&connection->deadline, &connection->server->openings,
				  uv_now(connection->server->loop));
}

static void on_body(struct sb_connection *connection, const char *bytes, size_t len)
{
	struct sb_exchange *exchange = connection->exchange;

	if (!exchange || exchange->ended || len > exchange->body_size - exchange->body_len)
		return;
	memcpy(exchange->body + exchange->body_len, bytes, len);
	exchange->body_len += len;
}

static void take_body(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->exchange;
	struct sb_client_message message;
	struct sb_refusal refusal;
	int result;

	if (exchange->ended || !exchange->body)
		return;
	sb_deadline_stop(&connection->deadline);
	result = sb_client_message_decode(exchange->body, exchange->body_len, &message, &refusal);
	if (result == 0 && message.type != SB_CLIENT_ACK) {
		sb_reply_problem(connection, 400, "the body is an ack message", "bad-message", 0,
				 "");
	} else if (result == -EPROTO) {
		sb_reply_problem(connection, 400, refusal.detail, sb_reason_word(refusal.reason), 0,
				 "");
	} else if (result != 0) {
		sb_reply_problem(connection, 503, "out of memory", "busy", 1000, "");
	} else {
		struct sb_opening opening = {.role = SB_ROLE_ACK, .ack = &message.ack};

		sb_answer_begin(connection, &opening, connection->token);
	}
	sb_request_forget_token(connection->token);
	connection->token = NULL;
}

/* The request is read; what follows it, only once it is answered. See exchange.h. */
static void stop_reading(struct lws *wsi)
{
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
	(void)lws_rx_flow_control(wsi, 0);
}

/* libwebsockets 4.1 may complete a body more than once, and then does so without end (keep.c): the
 * second time ends the connection. */
static int on_body_complete(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->exchange;

	if (!exchange || exchange->body_ended)
		return -1;
	exchange->body_ended = true;
	take_body(connection);
	stop_reading(connection->wsi);
	return 0;
}

static void preflight(struct sb_connection *connection, const char *methods)
{
	struct sb_text *out = &connection->exchange->out;

	sb_reply_head(connection, 204, "Access-Control-Allow-Methods: ");
	sb_text_append_string(out, methods);
	sb_text_append_string(out, "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, "
				   "Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\n\r\n");
	sb_reply_end(connection);
}

static void refuse_method(struct sb_connection *connection, const char *methods)
{
	char allow[64];

	(void)snprintf(allow, sizeof(allow), "Allow: %s\r\n", methods);
	sb_reply_problem(connection, 405, "this path has other methods", NULL, 0, allow);
}

static void on_request(struct sb_connection *connection)
{
	struct lws *wsi = connection->wsi;
	char path[PATH_MAX_LEN], origin[SB_ORIGIN_MAX + 1];
	enum method method = read_target(wsi, path);
	const struct route *route = find_route(path);

	if (!sb_request_origin(wsi, connection->server->config->origins, origin)) {
		sb_reply_problem(connection, 403, "this Origin is not among listen.origins", NULL,
				 0, "");
		return;
	}
	memcpy(connection->exchange->origin, origin, strlen(origin) + 1);
	/* A stream says how it ends by ending. */
	connection->exchange->may_be_followed =
		route && route->begin == sb_answer_begin &&
		sb_request_may_be_followed(wsi, method == METHOD_POST);
	if (sb_guard_refuses(connection))
		sb_reply_problem(connection, 429, "too many connections from this address",
				 sb_reason_word(SB_REASON_TOO_MANY), sb_guard_return_ms(connection),
				 "");
	else if (!strcmp(path, SB_SESSION_PATH))
		sb_reply_problem(connection, 426,
				 "connect with a websocket, subprotocol slotbell.v1", NULL, 0,
				 "Upgrade: websocket\r\n");
	else if (!route)
		sb_reply_problem(connection, 404,
				 "there are /v1/session, /v1/stream, /v1/bookings, /v1/acks and "
				 "/v1/reconnect",
				 NULL, 0, "");
	else if (method == METHOD_OPTIONS)
		preflight(connection, route->methods);
	else if (method != (route->posts ? METHOD_POST : METHOD_GET))
		refuse_method(connection, route->methods);
	else if (route->posts)
		expect_body(connection);
	else
		begin(connection, route);
}

static int take_request(struct lws *wsi)
{
	struct sb_connection *connection = sb_connection_of(wsi);

	connection->wsi = wsi;
	if (connection->exchange || !sb_keep_may_follow(connection))
		return -1;
	sb_connection_opened(connection);
	if (sb_exchange_new(connection) != 0)
		return -1;
	on_request(connection);
	if (!connection->exchange->body)
		stop_reading(wsi);
	return 0;
}

int sb_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		sb_tls_setup(user, sb_server_of(wsi));
		return 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return sb_upgrade_confirm(wsi);
	case LWS_CALLBACK_RAW_ADOPT:
		return -1; /* of a CONNECT lws makes a raw socket, and would keep it */
	case LWS_CALLBACK_HTTP:
		return take_request(wsi);
	case LWS_CALLBACK_HTTP_BODY:
		on_body(sb_connection_of(wsi), in, len);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return on_body_complete(sb_connection_of(wsi));
	case LWS_CALLBACK_WSI_DESTROY:
		if (sb_connection_of(wsi))
			sb_connection_gone(sb_connection_of(wsi));
		return 0;
	default:
		return 0;
	}
}
