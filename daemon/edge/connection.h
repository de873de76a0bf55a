/*
 * A connection, from the moment its descriptor may begin TLS to its end: bytes
 * in, bytes out, and whose session it carries.
 *
 * libwebsockets keeps TLS, polling and the close on our loop, in its RAW role:
 * it hands over decrypted bytes and does not look at them. What they mean is the
 * carrier's: http/ first, ws/ after an upgrade.
 *
 *   socket ──► sb_connections_callback ──► carrier->received ──► session (core)
 *   socket ◄── sb_connection_send ◄── carrier->flush ◄── ready, at the turn's end
 *
 * A session wakes its link at any time. What is woken is served at the end of
 * the same turn of the loop, outside of all callbacks: so core is never entered
 * twice, and one turn's messages go out in one write per session.
 */
#ifndef SB_EDGE_CONNECTION_H
#define SB_EDGE_CONNECTION_H

#include "daemon/core/hub.h"
#include "daemon/core/link.h"
#include "daemon/edge/door/door.h"
#include "daemon/edge/tls/setup.h"
#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_connection;

/* The most that one TLS record holds, RFC 8446 section 5.1. In bytes. */
#define SB_RECORD_MAX 16384

/* What speaks on a connection. None of these calls is made from within another one. */
struct sb_carrier {
	/* Bytes have come. They may be changed in place, and are the library's after. */
	void (*received)(struct sb_connection *connection, uint8_t *bytes, size_t len);
	/* It was woken, or the socket takes more. Not called while bytes are unsent. */
	void (*flush)(struct sb_connection *connection);
	/* The connection is closed: frees connection->state. */
	void (*gone)(struct sb_connection *connection);
};

struct sb_connection {
	struct sb_link link; /* first */
	struct sb_connections *all;
	struct lws *wsi; /* NULL when it could not begin TLS */
	struct sb_visitor *visitor;
	const struct sb_carrier *carrier;	       /* NULL before the first byte */
	void *state;				       /* the carrier's; owned */
	struct sb_session *session;		       /* NULL without one; owned */
	struct sb_connection *ready_prev, *ready_next; /* in all->ready */
	uint8_t *unsent; /* what the socket did not take, until it does; owned */
	uint32_t unsent_len;
	uint32_t unsent_first; /* of them: what is to be written in one piece, as it was before */
	bool is_ready : 1;     /* in all->ready */
	bool handshaken;       /* TLS is established; tls/ sets it */
	bool to_drop : 1;      /* at the end of this turn; nothing is sent or received any more */
	bool is_known : 1;     /* its session's token was good */
	bool is_judged : 1;    /* what came of its session's token was told to the door */
};

/* All of them. The fields above the line are set by the owner, and borrowed. */
struct sb_connections {
	uv_loop_t *loop;
	struct sb_hub *hub;
	struct sb_tls *tls;
	struct lws_vhost *vhost;
	/* Sets carrier and state at the first byte. 0, or -ENOMEM. */
	int (*begin)(void *data, struct sb_connection *connection);
	void *begin_data;
	/* ---- */
	struct sb_connection *ready;	/* woken, to be served at the end of the turn */
	struct sb_connection *adopting; /* the one inside the adopt call */
};

/* Begins TLS on a visitor's descriptor, which it takes. NULL when out of memory. */
struct sb_connection *sb_connection_new(struct sb_connections *all, struct sb_visitor *visitor,
					int fd);
/* Serves all that were woken; not from within a callback. */
void sb_connections_serve(struct sb_connections *all);
/* A callback of the library's for its protocol. */
int sb_connections_callback(struct lws *wsi, enum lws_callback_reasons reason, void *in,
			    size_t len);

/* ---- for the carriers ---- */

/* To be served at the end of this turn. */
void sb_connection_ready(struct sb_connection *connection);
/* Another carrier from now on; the state of the one before is the caller's. */
void sb_connection_carry(struct sb_connection *connection, const struct sb_carrier *carrier,
			 void *state);
/*
 * Sends, or keeps what the socket does not take. A carrier makes nothing more
 * while sb_connection_is_full(), so what is kept is a record and a message at
 * most. A connection that is broken, or for which there is no memory, is
 * dropped.
 */
void sb_connection_send(struct sb_connection *connection, const void *bytes, size_t len);
bool sb_connection_is_full(const struct sb_connection *connection);
/* Nothing more is sent, and the peer is told so: close_notify and FIN. What it still sends is the
 * carrier's to pass over, until the peer closes or the carrier drops the connection. A close with
 * bytes unread would be a reset, which takes away what the peer has not read yet. */
void sb_connection_shut(struct sb_connection *connection);
/* Closes it at the end of this turn. */
void sb_connection_drop(struct sb_connection *connection);
/* Whether more is read from its socket. */
void sb_connection_read(struct sb_connection *connection, bool on);
/* When its client should come back, in ms. */
uint32_t sb_connection_return_ms(struct sb_connection *connection);

/* A session for it; `ops` are the carrier's, made by SB_CONNECTION_LINK. 0, or -ENOMEM. */
int sb_connection_open_session(struct sb_connection *connection, const struct sb_link_ops *ops);
void sb_connection_end_session(struct sb_connection *connection);

/* A link's operations as every carrier has them. */
#define SB_CONNECTION_LINK(transport_)                                                    \
	{                                                                                 \
		.transport = (transport_), .wake = sb_connection_link_wake,               \
		.cut = sb_connection_link_cut, .return_ms = sb_connection_link_return_ms, \
	}
void sb_connection_link_wake(struct sb_link *link);
void sb_connection_link_cut(struct sb_link *link);
uint32_t sb_connection_link_return_ms(struct sb_link *link);

#endif
