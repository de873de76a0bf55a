/*
 * The websocket's door: which upgrades are good, and in what words the others
 * are refused. RFC 6455 section 4.2.1, of which libwebsockets 4.1 lets some pass
 * and hangs up on the rest without a word.
 */
#include "daemon/edge/exchange.h"
#include <string.h>
#include <strings.h>

/* 16 bytes in base64. */
#define KEY_LEN 24

struct refusal {
	int status;
	const char *detail;
	const char *headers; /* further ones, each with its CRLF */
};

static bool is_session_path(struct lws *wsi)
{
	char *path;
	int len;

	return lws_http_get_uri_and_method(wsi, &path, &len) >= 0 &&
	       (size_t)len == strlen(SB_SESSION_PATH) &&
	       !memcmp(path, SB_SESSION_PATH, strlen(SB_SESSION_PATH));
}

static bool version_is_13(struct lws *wsi)
{
	char version[8];

	return lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_VERSION) > 0 &&
	       !strcmp(version, "13");
}

static bool origin_is_allowed(struct lws *wsi)
{
	char origin[SB_ORIGIN_MAX + 1];

	return sb_request_origin(wsi, sb_server_of(wsi)->config->origins, origin);
}

/* What is wrong with it; status 0: nothing. */
static struct refusal judge(struct lws *wsi)
{
	if (!is_session_path(wsi))
		return (struct refusal){404, "the websocket is at " SB_SESSION_PATH, ""};
	if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
		return (struct refusal){405, "a websocket is opened by GET", "Allow: GET\r\n"};
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0)
		return (struct refusal){400, "there is no Host header", ""};
	if (!sb_request_lists(wsi, WSI_TOKEN_CONNECTION, "upgrade"))
		return (struct refusal){400, "the Connection header does not name Upgrade", ""};
	if (!version_is_13(wsi))
		return (struct refusal){426, "Sec-WebSocket-Version must be 13",
					"Sec-WebSocket-Version: 13\r\n"};
	if (lws_hdr_total_length(wsi, WSI_TOKEN_KEY) != KEY_LEN)
		return (struct refusal){400, "Sec-WebSocket-Key is not 16 bytes in base64", ""};
	if (!sb_request_lists(wsi, WSI_TOKEN_PROTOCOL, "slotbell.v1"))
		return (struct refusal){400, "Sec-WebSocket-Protocol does not name slotbell.v1",
					""};
	if (!origin_is_allowed(wsi))
		return (struct refusal){403, "this Origin is not among listen.origins", ""};
	return (struct refusal){0};
}

/*
 * The header is read from lws' table, never from the callback's `in`: after an
 * unknown upgrade lws 4.1 has answered by itself and `in` points to what is no
 * more (CVE-2025-11677).
 */
int sb_upgrade_confirm(struct lws *wsi)
{
	struct sb_connection *connection = sb_connection_of(wsi);
	struct refusal refusal;
	char upgrade[16];

	if (connection->kept)
		return -1; /* see keep.c */
	if (lws_hdr_copy(wsi, upgrade, sizeof(upgrade), WSI_TOKEN_UPGRADE) <= 0 ||
	    strcasecmp(upgrade, "websocket"))
		return -1;
	refusal = judge(wsi);
	if (!refusal.status)
		return 0;
	connection->wsi = wsi;
	if (sb_exchange_new(connection) == 0) {
		sb_reply_problem(connection, refusal.status, refusal.detail, NULL, 0,
				 refusal.headers);
		(void)sb_exchange_send(connection->exchange); /* now: it goes with our -1 */
	}
	return -1;
}
