/*
 * Plain HTTP on the client port: so far only answers that say where one is.
 *
 * Each plain answer closes its connection, so a websocket upgrade is only ever
 * a connection's first request: libwebsockets 4.1 mishandles later ones.
 */
#include "daemon/base/log.h"
#include "daemon/edge/server_private.h"
#include <stdio.h>
#include <string.h>

/* A problem document (RFC 9457 section 3), then the end of the connection: returns what the
 * callback returns. */
static int answer_problem(struct lws *wsi, int status, const char *title, const char *detail,
			  const char *headers)
{
	char buffer[LWS_PRE + 1024];
	char body[512];
	int body_len, len;

	body_len = snprintf(
		body, sizeof(body),
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n",
		title, status, detail);
	len = snprintf(
		buffer + LWS_PRE, sizeof(buffer) - LWS_PRE,
		"HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
		"Cache-Control: no-store\r\nConnection: close\r\n%s\r\n%s",
		status, title, body_len, headers, body);
	(void)lws_write(wsi, (unsigned char *)buffer + LWS_PRE, (size_t)len, LWS_WRITE_HTTP);
	return -1;
}

static bool is_session_path(struct lws *wsi)
{
	char path[32];

	return lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) > 0 &&
	       !strcmp(path, "/v1/session");
}

/* One of the allowed origins, or none sent: only browsers send one (RFC 6454 section 7). */
static bool origin_is_allowed(struct lws *wsi, const char *allowed)
{
	char origin[256];
	size_t len;

	if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) <= 0)
		return true;
	if (lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) <= 0)
		return false;
	len = strlen(origin);
	for (const char *at = allowed + strspn(allowed, ", "); *at;) {
		size_t span = strcspn(at, ", ");

		if (span == len && !strncasecmp(at, origin, len))
			return true;
		at += span;
		at += strspn(at, ", ");
	}
	return false;
}

/*
 * Before an upgrade. The header is read from lws' table, never from `in`: after
 * an unknown upgrade lws 4.1 has answered by itself and `in` points to what is
 * no more (CVE-2025-11677).
 */
static int confirm_upgrade(struct lws *wsi)
{
	char upgrade[16];

	if (lws_hdr_copy(wsi, upgrade, sizeof(upgrade), WSI_TOKEN_UPGRADE) <= 0 ||
	    strcasecmp(upgrade, "websocket"))
		return -1;
	if (!is_session_path(wsi)) {
		(void)answer_problem(wsi, 404, "Not Found", "the websocket is at /v1/session", "");
		return -1;
	}
	if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) <= 0) {
		(void)answer_problem(wsi, 400, "Bad Request", "offer the subprotocol slotbell.v1",
				     "");
		return -1;
	}
	if (!origin_is_allowed(wsi, sb_server_of(wsi)->config->origins)) {
		(void)answer_problem(wsi, 403, "Forbidden",
				     "this Origin is not among listen.origins", "");
		return -1;
	}
	return 0;
}

int sb_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: {
		struct sb_server *server = sb_server_of(wsi);

		return sb_tls_setup(user, server->config, server->problem);
	}
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return confirm_upgrade(wsi);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* an upgrade to the subprotocol "http", which is only lws' name for no
			      websocket */
	case LWS_CALLBACK_HTTP:
		sb_connection_opened(sb_connection_of(wsi));
		if (is_session_path(wsi))
			return answer_problem(wsi, 426, "Upgrade Required",
					      "connect with a websocket, subprotocol slotbell.v1",
					      "Connection: Upgrade\r\nUpgrade: websocket\r\n");
		return answer_problem(wsi, 404, "Not Found", "the websocket is at /v1/session", "");
	case LWS_CALLBACK_WSI_DESTROY:
		if (sb_connection_of(wsi))
			sb_connection_gone(sb_connection_of(wsi));
		return 0;
	default:
		return 0;
	}
}
