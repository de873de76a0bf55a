/*
 * Connections of plain HTTP that are kept for their next request (RFC 9112
 * section 9.3): a client that polls, acks or asks often is spared a handshake
 * each time.
 *
 * Kept is only a connection whose client showed a good token. The next request
 * must show its token again. And only while there is room: an idle connection
 * must never be what turns a plug-in away.
 */
#include "daemon/edge/http/exchange.h"

/* Beyond what a client was told, so that its request and our end do not cross. */
#define GRACE_MS 1000
/* For a body to come, and for an answer to be taken, once the daemon leaves. */
#define LEAVING_MS 1000

void sb_http_configure(struct sb_http *http, const struct sb_http_config *config)
{
	uint32_t wait_ms = config->keep_alive_ms;

	http->config = config;
	sb_deadlines_set_wait(&http->bodies, http->leaving ? LEAVING_MS : config->opening_ms,
			      uv_now(http->loop));
	sb_deadlines_set_wait(&http->kept, http->leaving || !wait_ms ? 0 : wait_ms + GRACE_MS,
			      uv_now(http->loop));
}

void sb_http_leave(struct sb_http *http)
{
	http->leaving = true;
	sb_http_configure(http, http->config);
}

bool sb_keep_may(const struct sb_exchange *exchange)
{
	const struct sb_http *http = exchange->http;

	return exchange->may_be_followed && exchange->connection->is_known &&
	       http->config->keep_alive_ms && !http->leaving &&
	       sb_door_count(http->door) <= http->config->max_sessions;
}

void sb_keep_begin(struct sb_exchange *exchange)
{
	struct sb_http *http = exchange->http;

	exchange->is_kept = true;
	http->kept_count++;
	sb_deadline_start(&exchange->deadline, &http->kept, uv_now(http->loop));
}

void sb_keep_end(struct sb_exchange *exchange, bool has_request)
{
	if (!exchange->is_kept)
		return;
	exchange->is_kept = false;
	exchange->http->kept_count--;
	exchange->http->requests_kept += has_request;
}
