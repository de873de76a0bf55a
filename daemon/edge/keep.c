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
 * Two kinds of request end a connection that was kept, without an answer, after
 * which clients and proxies try again by a new one (section 9.3.1):
 *
 *   a websocket    libwebsockets 4.1 mishandles upgrades there (CVE-2025-11677)
 *   a body that was sent together with the request before it (pipelining).
 *                  libwebsockets 4.1 keeps in a buffer what it read beyond a
 *                  request. For a request that it takes out of that buffer, it
 *                  reads the request's own head as the body, completes the body
 *                  again and again without end, and reads the buffer after it
 *                  freed it.
 *
 * What that buffer holds it tells nobody. But it does not read from the socket
 * while anything is in there. So a request came out of the buffer if nothing was
 * read from the socket since the answer before it.
 */
#include "daemon/edge/exchange.h"
#include <openssl/bio.h>

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

/* Bytes that its TLS has read from the socket. */
static uint64_t bytes_read(const struct sb_connection *connection)
{
	return BIO_number_read(SSL_get_rbio(lws_get_ssl(connection->wsi)));
}

bool sb_keep_may_follow(const struct sb_connection *connection)
{
	bool was_buffered =
		connection->kept && bytes_read(connection) == connection->read_when_kept;

	return !was_buffered || !sb_request_may_have_body(connection->wsi);
}

void sb_keep_connection(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	struct lws *wsi = connection->wsi;

	sb_exchange_free(connection->exchange);
	connection->exchange = NULL;
	connection->flush = NULL;
	connection->kept = true;
	connection->read_when_kept = bytes_read(connection);
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
