/*
 * From HTTP to a websocket: which upgrades are good, and in what words the
 * others are refused. RFC 6455 section 4.2.
 */
#include "daemon/edge/http/exchange.h"
#include "daemon/edge/ws/ws.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* 16 bytes in base64. */
#define KEY_LEN	    24
#define SUBPROTOCOL "slotbell.v1"
/* RFC 6455 section 1.3. */
#define GUID	   "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SHA1_BYTES 20

struct refusal {
	int status;
	const char *detail;
	const char *headers; /* further ones, each with its CRLF */
};

static bool is_key(struct sb_http_slice key)
{
	unsigned char text[KEY_LEN], bytes[KEY_LEN];

	if (key.len != KEY_LEN || key.bytes[KEY_LEN - 1] != '=' || key.bytes[KEY_LEN - 2] != '=' ||
	    key.bytes[KEY_LEN - 3] == '=')
		return false;
	memcpy(text, key.bytes, KEY_LEN);
	return EVP_DecodeBlock(bytes, text, KEY_LEN) > 0;
}

/* What is wrong with it; status 0: nothing. */
static struct refusal judge(const struct sb_exchange *exchange,
			    const struct sb_http_request *request)
{
	if (!sb_http_slice_is(request->path, SB_SESSION_PATH))
		return (struct refusal){404, "the websocket is at " SB_SESSION_PATH, ""};
	if (request->method != SB_HTTP_GET)
		return (struct refusal){405, "a websocket is opened by GET", "Allow: GET\r\n"};
	if (!sb_http_lists(request, SB_HTTP_CONNECTION, "upgrade"))
		return (struct refusal){400, "the Connection header does not name Upgrade", ""};
	if (!sb_http_slice_is(request->fields[SB_HTTP_WEBSOCKET_VERSION], "13"))
		return (struct refusal){426, "Sec-WebSocket-Version must be 13",
					"Sec-WebSocket-Version: 13\r\n"};
	if (!is_key(request->fields[SB_HTTP_WEBSOCKET_KEY]))
		return (struct refusal){400, "Sec-WebSocket-Key is not 16 bytes in base64", ""};
	if (!sb_http_lists(request, SB_HTTP_WEBSOCKET_PROTOCOL, SUBPROTOCOL))
		return (struct refusal){400, "Sec-WebSocket-Protocol does not name " SUBPROTOCOL,
					""};
	if (request->content_length)
		return (struct refusal){400, "a websocket is opened without a body", ""};
	if (!sb_asked_origin_is_allowed(request, exchange->http->config->origins))
		return (struct refusal){403, "this Origin is not among listen.origins", ""};
	return (struct refusal){0};
}

/* RFC 6455 section 4.2.2. */
static void send_switching(struct sb_connection *connection, struct sb_http_slice key)
{
	char both[KEY_LEN + sizeof(GUID)], answer[256];
	unsigned char digest[SHA1_BYTES], accept[2 * SHA1_BYTES];
	int len;

	memcpy(both, key.bytes, KEY_LEN);
	memcpy(both + KEY_LEN, GUID, sizeof(GUID));
	if (EVP_Digest(both, KEY_LEN + strlen(GUID), digest, NULL, EVP_sha1(), NULL) != 1) {
		sb_connection_drop(connection);
		return;
	}
	(void)EVP_EncodeBlock(accept, digest, sizeof(digest));
	len = snprintf(answer, sizeof(answer),
		       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		       "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n\r\n",
		       (const char *)accept);
	sb_connection_send(connection, answer, (size_t)len);
}

void sb_upgrade(struct sb_exchange *exchange, const struct sb_http_request *request,
		size_t head_len)
{
	struct sb_connection *connection = exchange->connection;
	struct refusal refusal = judge(exchange, request);
	char *token;

	if (refusal.status) {
		sb_reply_problem(exchange, refusal.status, refusal.detail, NULL, 0,
				 refusal.headers);
		return;
	}
	token = sb_asked_token(request);
	if (sb_ws_begin(connection, token) != 0) {
		sb_reply_no_memory(exchange);
	} else {
		send_switching(connection, request->fields[SB_HTTP_WEBSOCKET_KEY]);
		connection->carrier->received(connection, (uint8_t *)exchange->input + head_len,
					      exchange->input_len - head_len);
		sb_exchange_free(exchange);
	}
	sb_asked_forget_token(token);
}
