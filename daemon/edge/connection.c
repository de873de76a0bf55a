/* A connection's bytes and its end; see connection.h. */
#include "daemon/edge/connection.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

static struct sb_connection *of_link(struct sb_link *link)
{
	return (struct sb_connection *)(void *)link;
}

/* ---- whose turn it is ---- */

void sb_connection_ready(struct sb_connection *connection)
{
	if (connection->is_ready)
		return;
	connection->is_ready = true;
	DL_APPEND2(connection->all->ready, connection, ready_prev, ready_next);
}

static void not_ready(struct sb_connection *connection)
{
	if (!connection->is_ready)
		return;
	connection->is_ready = false;
	DL_DELETE2(connection->all->ready, connection, ready_prev, ready_next);
}

void sb_connection_drop(struct sb_connection *connection)
{
	connection->to_drop = true;
	sb_connection_ready(connection);
}

void sb_connection_link_wake(struct sb_link *link)
{
	sb_connection_ready(of_link(link));
}

void sb_connection_link_cut(struct sb_link *link)
{
	sb_connection_drop(of_link(link));
}

uint32_t sb_connection_return_ms(struct sb_connection *connection)
{
	uint32_t own = sb_visitor_return_ms(connection->visitor);

	return own ? own : sb_hub_return_ms(connection->all->hub);
}

uint32_t sb_connection_link_return_ms(struct sb_link *link)
{
	return sb_connection_return_ms(of_link(link));
}

/* ---- its session ---- */

int sb_connection_open_session(struct sb_connection *connection, const struct sb_link_ops *ops)
{
	connection->link.ops = ops;
	connection->is_known = connection->is_judged = false;
	connection->session = sb_session_new(connection->all->hub, &connection->link);
	return connection->session ? 0 : -ENOMEM;
}

void sb_connection_end_session(struct sb_connection *connection)
{
	sb_session_gone(connection->session);
	connection->session = NULL;
}

/* Tells the door what came of the session's token. True: nothing may be sent yet. */
static bool is_held(struct sb_connection *connection)
{
	if (connection->session && !connection->is_judged) {
		if (sb_session_is_authenticated(connection->session)) {
			connection->is_judged = connection->is_known = true;
			sb_visitor_known(connection->visitor);
		} else {
			switch (sb_session_reason(connection->session)) {
			case SB_REASON_BAD_TOKEN:
			case SB_REASON_REVOKED:
			case SB_REASON_EXPIRED:
				connection->is_judged = true;
				return sb_visitor_bad_token(connection->visitor);
			default:
				break;
			}
		}
	}
	return sb_visitor_is_held(connection->visitor);
}

/* ---- out ---- */

bool sb_connection_is_full(const struct sb_connection *connection)
{
	return connection->unsent != NULL;
}

/* 1 when all of it was taken; 0 when the socket is full; -1 when it is broken. */
static int write_tls(struct sb_connection *connection, const void *bytes, size_t len)
{
	SSL *ssl = lws_get_ssl(connection->wsi);
	int written, error;

	ERR_clear_error();
	written = SSL_write(ssl, bytes, (int)len);
	if (written > 0)
		return 1; /* all or nothing: without SSL_MODE_ENABLE_PARTIAL_WRITE */
	error = SSL_get_error(ssl, written);
	ERR_clear_error();
	return error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static void forget_unsent(struct sb_connection *connection)
{
	free(connection->unsent);
	connection->unsent = NULL;
	connection->unsent_len = 0;
}

/* Behind what is kept already. */
static void keep_unsent(struct sb_connection *connection, const void *bytes, size_t len)
{
	uint32_t before = connection->unsent_len;
	uint8_t *unsent = malloc(before + len);

	if (!unsent) {
		sb_connection_drop(connection);
		return;
	}
	if (connection->unsent)
		memcpy(unsent, connection->unsent, before);
	memcpy(unsent + before, bytes, len);
	free(connection->unsent);
	connection->unsent = unsent;
	connection->unsent_len = before + (uint32_t)len;
}

void sb_connection_send(struct sb_connection *connection, const void *bytes, size_t len)
{
	int written;

	if (connection->to_drop || !len)
		return;
	if (connection->unsent) {
		keep_unsent(connection, bytes, len);
		return;
	}
	written = write_tls(connection, bytes, len);
	if (written < 0) {
		sb_connection_drop(connection);
	} else if (!written) {
		keep_unsent(connection, bytes, len);
		connection->unsent_first = connection->unsent_len;
		(void)lws_callback_on_writable(connection->wsi);
	}
}

/* OpenSSL wants a write that did not go through again with the same bytes, at any address: so
 * what came behind them meanwhile is a write of its own. */
static void on_writable(struct sb_connection *connection)
{
	int written = 1;

	while (!connection->to_drop && connection->unsent && written > 0) {
		written = write_tls(connection, connection->unsent, connection->unsent_first);
		if (written <= 0)
			break;
		connection->unsent_len -= connection->unsent_first;
		memmove(connection->unsent, connection->unsent + connection->unsent_first,
			connection->unsent_len);
		connection->unsent_first = connection->unsent_len;
		if (!connection->unsent_len) {
			forget_unsent(connection);
			sb_connection_ready(connection);
		}
	}
	if (written < 0)
		sb_connection_drop(connection);
	else if (connection->unsent)
		(void)lws_callback_on_writable(connection->wsi);
}

void sb_connection_shut(struct sb_connection *connection)
{
	if (connection->to_drop)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(lws_get_ssl(connection->wsi));
	ERR_clear_error();
	(void)shutdown(lws_get_socket_fd(connection->wsi), SHUT_WR);
}

void sb_connection_read(struct sb_connection *connection, bool on)
{
	if (!connection->to_drop)
		(void)lws_rx_flow_control(connection->wsi, on);
}

/* ---- in ---- */

static void on_received(struct sb_connection *connection, uint8_t *bytes, size_t len)
{
	if (connection->to_drop)
		return;
	if (!connection->carrier) {
		/* The library's own limit for the handshake; the door has one. */
		lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
		if (connection->all->begin(connection->all->begin_data, connection) != 0) {
			sb_connection_drop(connection);
			return;
		}
	}
	connection->carrier->received(connection, bytes, len);
}

void sb_connection_carry(struct sb_connection *connection, const struct sb_carrier *carrier,
			 void *state)
{
	connection->carrier = carrier;
	connection->state = state;
}

/* ---- its life ---- */

static void destroy(struct sb_connection *connection)
{
	if (!connection->handshaken)
		sb_tls_count_failed(connection->all->tls);
	not_ready(connection);
	sb_connection_end_session(connection);
	if (connection->carrier)
		connection->carrier->gone(connection);
	forget_unsent(connection);
	sb_visitor_gone(connection->visitor);
	free(connection);
}

struct sb_connection *sb_connection_new(struct sb_connections *all, struct sb_visitor *visitor,
					int fd)
{
	struct sb_connection *connection = calloc(1, sizeof(*connection));
	lws_adopt_desc_t adoption = {
		.vh = all->vhost,
		.fd.sockfd = fd,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
		.vh_prot_name = SB_TLS_PROTOCOL,
		.opaque = connection,
	};
	struct lws *wsi;

	if (!connection) {
		(void)close(fd);
		return NULL;
	}
	connection->all = all;
	connection->visitor = visitor;
	all->adopting = connection;
	all->tls->adopting = &connection->handshaken;
	/* From here on the descriptor is the library's, also when this fails. */
	wsi = lws_adopt_descriptor_vhost_via_info(&adoption);
	all->tls->adopting = NULL;
	all->adopting = NULL;
	if (connection->to_drop)
		return connection; /* it failed at once: see on_closed() */
	connection->wsi = wsi;
	if (wsi)
		sb_tls_follow(wsi, &connection->handshaken);
	else
		sb_connection_drop(connection);
	return connection;
}

static void on_closed(struct lws *wsi, struct sb_connection *connection)
{
	lws_set_opaque_user_data(wsi, NULL);
	connection->wsi = NULL;
	/* Inside the adopt call its visitor is not to go: it goes at the end of the turn. */
	if (connection == connection->all->adopting)
		sb_connection_drop(connection);
	else
		destroy(connection);
}

static void end(struct sb_connection *connection)
{
	if (!connection->wsi)
		destroy(connection);
	else /* on_closed() comes from within */
		lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

void sb_connections_serve(struct sb_connections *all)
{
	struct sb_connection *connection;

	while ((connection = all->ready)) {
		connection->is_ready = false;
		DL_DELETE2(all->ready, connection, ready_prev, ready_next);
		if (connection->to_drop)
			end(connection);
		else if (connection->carrier && !connection->unsent && !is_held(connection))
			connection->carrier->flush(connection);
	}
}

int sb_connections_callback(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t len)
{
	struct sb_connection *connection = lws_get_opaque_user_data(wsi);

	if (!connection)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_RAW_RX:
		on_received(connection, in, len);
		return 0;
	case LWS_CALLBACK_RAW_WRITEABLE:
		on_writable(connection);
		return 0;
	case LWS_CALLBACK_RAW_CLOSE:
	case LWS_CALLBACK_WSI_DESTROY: /* of one that had no role yet */
		on_closed(wsi, connection);
		return 0;
	default:
		return 0;
	}
}
