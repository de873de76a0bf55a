/* The inside of the server, for edge's own files. */
#ifndef SB_EDGE_SERVER_PRIVATE_H
#define SB_EDGE_SERVER_PRIVATE_H

#include "daemon/core/deadline.h"
#include "daemon/edge/server.h"
#include "protocol/token.h"
#include <libwebsockets.h>
#include <openssl/ssl.h>

/*
 * One accepted connection, from accept to the end of its wsi. Once its
 * websocket is open, or its request read, it is the link of a session.
 */
struct sb_exchange;

struct sb_connection {
	struct sb_link link; /* first */
	struct sb_server *server;
	struct lws *wsi;	      /* NULL while it is being adopted */
	struct sb_session *session;   /* NULL before 101 or a request, and after */
	struct sb_exchange *exchange; /* of plain HTTP, see exchange.h; owned */
	/* Sends what the session has, if the socket can take it now. May end the connection: do not
	 * touch it after. */
	void (*flush)(struct sb_connection *connection);
	struct sb_connection *ready_prev, *ready_next; /* in server->ready */
	char *token;   /* of the Authorization header, until it is used; owned, wiped */
	char *message; /* a message that comes in parts; owned */
	uint32_t message_len;
	struct sb_deadline deadline; /* to be open by then */

	bool opening : 1;    /* holds a slot among the handshakes */
	bool handshaken : 1; /* TLS is established */
	bool is_ready : 1;   /* in server->ready */
	bool to_cut : 1;     /* the session wants it dropped */
	bool close_sent : 1; /* our close frame is on its way */
	bool deaf : 1;	     /* nothing more is sent: a close was sent or received, or it is gone */
};

struct sb_door;

struct sb_server {
	uv_loop_t *loop;
	struct sb_hub *hub;
	const struct sb_server_config *config;
	struct sb_ticket_keys *own_ticket_keys; /* where the configuration has none; owned */
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct sb_door *door;
	struct sb_server_problem *problem; /* while starting */
	struct sb_connection *ready;	   /* woken, to be served at the end of the turn */
	struct sb_exchange *full;	   /* whose socket took no more, for the next tick */
	struct sb_connection *adopting;	   /* the one inside the adopt call */
	bool adoption_failed;		   /* it went while it was being adopted */
	struct sb_deadlines openings;	   /* config->opening_ms */
	struct sb_deadlines slots;	   /* how long one connection may hold a handshake slot */
	size_t connections;
	size_t opening; /* of them: holding a slot */
	uint64_t handshakes[SB_HANDSHAKE_COUNT];
	uv_prepare_t before_poll;
	uv_check_t after_poll;
	uv_timer_t destroy_again;
	int handles; /* of ours, open */
	sb_server_closed *on_closed;
	void *on_closed_data;
};

/* ---- door.c: listening and accepting ---- */

/* 0 or -1 with server->problem filled. */
int sb_door_open(struct sb_server *server);
uint16_t sb_door_port(const struct sb_door *door);
/* A slot is free again, or not: accept on, or wait. */
void sb_door_update(struct sb_door *door);
/* Stops listening; the memory goes with the loop's close callback. */
void sb_door_close(struct sb_server *server);

/* ---- tls.c ---- */

/* Sets the vhost's context up. It asks `server` for what a reload may change. */
void sb_tls_setup(SSL_CTX *tls, struct sb_server *server);
/* Counts how this connection's handshake ends; called when its wsi is made. */
void sb_tls_follow(struct sb_connection *connection, struct lws *wsi);

/* ---- upgrade.c: the websocket's door ---- */

/* LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: 0, or -1 when it was refused, in HTTP. */
int sb_upgrade_confirm(struct lws *wsi);
/* ---- tickets.c ---- */
/* Stateless resumption with the keys of `server`, asked for at each ticket. */
void sb_tickets_setup(SSL_CTX *tls, struct sb_server *server);

/* ---- ws.c: the websocket as a session's carrier ---- */

int sb_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		   size_t len);

/* ---- http.c: plain HTTP ---- */

int sb_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len);

/* ---- server.c ---- */

struct sb_server *sb_server_of(struct lws *wsi);
struct sb_connection *sb_connection_of(struct lws *wsi);
void sb_connection_ready(struct sb_connection *connection);
/* A session's link: what every carrier does when it is woken or cut. */
void sb_connection_wake(struct sb_link *link);
void sb_connection_cut(struct sb_link *link);
/* Drops it at once: without a close frame, and without waiting for anything. */
void sb_connection_kill(struct sb_connection *connection);
/* It is no handshake any more. */
void sb_connection_opened(struct sb_connection *connection);
/* The wsi goes: the last touch. */
void sb_connection_gone(struct sb_connection *connection);

#endif
