/* One request's life, and the way out of what it is answered. See exchange.h. */
#include "daemon/edge/exchange.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static void not_full(struct sb_exchange *exchange)
{
	if (!exchange->is_full)
		return;
	exchange->is_full = false;
	DL_DELETE2(exchange->connection->server->full, exchange, full_prev, full_next);
}

static void note_full(struct sb_exchange *exchange)
{
	if (exchange->is_full)
		return;
	exchange->is_full = true;
	DL_APPEND2(exchange->connection->server->full, exchange, full_prev, full_next);
}

void sb_exchange_retry_full(struct sb_server *server)
{
	while (server->full) {
		struct sb_exchange *exchange = server->full;

		not_full(exchange);
		sb_connection_ready(exchange->connection);
	}
}

int sb_exchange_send(struct sb_exchange *exchange)
{
	SSL *tls = lws_get_ssl(exchange->connection->wsi);
	struct sb_text *out = &exchange->out;
	int written;

	if (sb_text_failed(out))
		return -EPIPE;
	if (!out->len)
		return 0;
	ERR_clear_error();
	/* All of it or nothing: after WANT_WRITE the same bytes are given again. */
	written = SSL_write(tls, out->data, (int)out->len);
	if (written <= 0) {
		int error = SSL_get_error(tls, written);

		ERR_clear_error();
		return error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPIPE;
	}
	sb_text_fini(out);
	return 0;
}

static void flush(struct sb_connection *connection)
{
	struct sb_exchange *exchange = connection->exchange;

	while (!connection->deaf) {
		int result = sb_exchange_send(exchange);

		if (result == -EAGAIN) {
			note_full(exchange);
			return;
		}
		if (result == 0 && exchange->ended && exchange->keeps) {
			sb_keep_connection(connection);
			return;
		}
		if (result != 0 || exchange->ended) {
			(void)lws_rx_flow_control(connection->wsi, 1);
			sb_connection_kill(connection);
			return;
		}
		if (exchange->fill)
			exchange->fill(connection);
		if (!exchange->out.len && !exchange->ended)
			return;
	}
}

int sb_exchange_new(struct sb_connection *connection)
{
	struct sb_exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return -ENOMEM;
	exchange->connection = connection;
	sb_text_init(&exchange->out);
	sb_text_init(&exchange->messages);
	connection->exchange = exchange;
	connection->flush = flush;
	return 0;
}

void sb_exchange_free(struct sb_exchange *exchange)
{
	if (!exchange)
		return;
	not_full(exchange);
	sb_text_fini(&exchange->out);
	sb_text_fini(&exchange->messages);
	sb_frame_unref(exchange->last);
	free(exchange->body);
	free(exchange);
}

void sb_exchange_open(struct sb_connection *connection, const struct sb_opening *opening,
		      const char *token)
{
	connection->exchange->role = opening->role;
	connection->session = sb_session_new(connection->server->hub, &connection->link);
	if (!connection->session) {
		sb_reply_problem(connection, 503, "out of memory", "busy", 1000, "");
		return;
	}
	if (token)
		sb_session_header_token(connection->session, token, strlen(token));
	sb_session_open(connection->session, opening);
	sb_connection_ready(connection);
}
