/*
 * Connections of plain HTTP that are kept for their next request (RFC 9112
 * section 9.3): who polls, acks or asks often is spared a handshake each time.
 *
 * Kept is only who showed a good token, and whose request leaves no doubt where
 * it ends (request.c): behind a proxy that shares its connections among
 * clients, a doubt would give one client's answer to another. The next request
 * must show its token again. And only while there is room: an idle connection
 * must never be what turns a plug-in away.
 *
 * A websocket is never begun on one: libwebsockets 4.1 mishandles upgrades there
 * (CVE-2025-11677). It is closed without a word, after which clients and proxies
 * try again by a new connection (section 9.3.1).
 */
#include "daemon/edge/exchange.h"

/* Beyond what a client was told, so that its request and our end do not cross. */
#define GRACE_MS 1000

void sb_keep_configure(struct sb_server *server)
{
	uint32_t wait_ms = server->config->keep_alive_ms;

	sb_deadlines_set_wait(&server->kept, server->leaving || !wait_ms ? 0 : wait_ms + GRACE_MS,
			      uv_now(server->loop));
}

bool sb_keep_may(const struct sb_connection *connection)
{
	const struct sb_server *server = connection->server;

	return connection->exchange->may_be_followed && connection->stage == SB_STAGE_KNOWN &&
	       server->config->keep_alive_ms && !server->leaving &&
	       server->connections <= server->config->max_sessions;
}

void sb_keep_connection(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	struct lws *wsi = connection->wsi;

	sb_exchange_free(connection->exchange);
	connection->exchange = NULL;
	connection->flush = NULL;
	connection->kept = true;
	server->stats.kept++;
	sb_deadline_start(&connection->deadline, &server->kept, uv_now(server->loop));
	(void)lws_rx_flow_control(wsi, 1);
	if (lws_http_transaction_completed(wsi))
		sb_connection_kill(connection);
}

void sb_keep_end(struct sb_connection *connection, bool has_request)
{
	if (!connection->kept)
		return;
	connection->kept = false;
	connection->server->stats.kept--;
	connection->server->stats.requests_kept += has_request;
}
