/* The inside of the server, for edge's own files. */
#ifndef SB_EDGE_SERVER_PRIVATE_H
#define SB_EDGE_SERVER_PRIVATE_H

#include "daemon/core/deadline.h"
#include "daemon/edge/addresses.h"
#include "daemon/edge/server.h"
#include "protocol/token.h"
#include <libwebsockets.h>
#include <openssl/ssl.h>

/* A connection that is slow to shake hands gives its place among the handshakes to others after
 * this long. */
#define SB_SLOT_MS 250
/* How long an address waits for a place before its clients are told that there is none. */
#define SB_PATIENCE_MS 3000
/* How long a refused token is held back, and its place taken, when there were too many. Less than a
 * session has to be closed in. */
#define SB_HOLD_MS 3000
/* How long, once nobody is accepted any more, a connection may take to become something. */
#define SB_LEAVING_MS 1000

/* How far a connection has come, for room and guard. */
enum sb_stage {
	SB_STAGE_NONE,	   /* nobody knows its address yet */
	SB_STAGE_WAITING,  /* in the waiting room */
	SB_STAGE_ARRIVING, /* shakes hands */
	SB_STAGE_TOLD,	   /* the same, but only to be told that it is one too many */
	SB_STAGE_OPEN,	   /* said something, but not yet who it is */
	SB_STAGE_REFUSED,  /* the same, and is told when to come back, whatever it said */
	SB_STAGE_KNOWN,	   /* has a good token */
};

struct sb_arrival;
struct sb_hold;

/*
 * One accepted connection, from accept to the end of its wsi. Once its
 * websocket is open, or its request read, it is the link of a session.
 */
struct sb_exchange;

struct sb_connection {
	struct sb_link link; /* first */
	struct sb_server *server;
	struct lws *wsi;	      /* NULL before it is adopted */
	struct sb_session *session;   /* NULL before 101 or a request, and after */
	struct sb_exchange *exchange; /* of plain HTTP, see exchange.h; owned */
	/* Sends what the session has, if the socket can take it now. May end the connection: do not
	 * touch it after. */
	void (*flush)(struct sb_connection *connection);
	struct sb_connection *ready_prev,
		*ready_next; /* in server->ready, or in its address' queue */
	char *token;	     /* of the Authorization header, until it is used; owned, wiped */
	char *message;	     /* a message that comes in parts; owned */
	uint32_t message_len, message_room;
	uint64_t read_when_kept;     /* bytes from its socket, when its last answer was out */
	struct sb_deadline deadline; /* to be open by then */
	struct sb_arrival *arrival;  /* while its PROXY header is read */
	struct sb_address *address;  /* NULL before it is known */
	struct sb_hold *hold;	     /* its token was refused, and it is told later */

	int fd;		     /* before it is adopted */
	uint8_t stage;	     /* enum sb_stage */
	bool overdue : 1;    /* has been in the waiting room for too long */
	bool judged : 1;     /* its token was refused, and counted */
	bool opening : 1;    /* holds a slot among the handshakes */
	bool adopted : 1;    /* libwebsockets was given it, and TLS begins */
	bool handshaken : 1; /* TLS is established */
	bool is_ready : 1;   /* in server->ready */
	bool kept : 1;	     /* one of its requests was answered, and it waits for the next */
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
	int descriptors; /* those of the context are below this */
	struct sb_door *door;
	struct sb_server_problem *problem; /* while starting */
	struct sb_connection *ready;	   /* woken, to be served at the end of the turn */
	struct sb_exchange *full;	   /* whose socket took no more, for the next tick */
	struct sb_connection *adopting;	   /* the one inside the adopt call */
	bool adoption_failed;		   /* it went while it was being adopted */
	struct sb_deadlines openings;	   /* config->opening_ms */
	struct sb_deadlines kept;	   /* config->keep_alive_ms, and a grace */
	struct sb_deadlines slots;	   /* how long one connection may hold a handshake slot */
	struct sb_arrival *arrivals;	   /* those whose PROXY header is read */
	struct sb_addresses addresses;
	struct sb_address *turns;     /* whose connections wait for a handshake */
	struct sb_deadlines patience; /* addresses that miss their turns */
	struct sb_deadlines holds;    /* refused tokens that are answered late */
	size_t queued;		      /* in the waiting room */
	struct sb_door_stats stats;
	uint64_t logged_ms;	/* when the log last said that somebody was turned away */
	uint64_t logged_others; /* turned away since, without a line */
	size_t connections;
	size_t opening; /* of them: holding a slot */
	bool leaving;	/* nobody is accepted any more */
	uint64_t handshakes[SB_HANDSHAKE_COUNT];
	uv_prepare_t before_poll;
	uv_check_t after_poll;
	uv_idle_t more_to_serve; /* active: the room has some that may come in */
	uv_timer_t destroy_again;
	int handles; /* of ours, open */
	sb_server_closed *on_closed;
	void *on_closed_data;
};

/* ---- door.c: listening and accepting ---- */

/* 0 or -1 with server->problem filled. */
int sb_door_open(struct sb_server *server);
uint16_t sb_door_port(const struct sb_door *door);
/* Stops listening; the memory goes with the loop's close callback. */
void sb_door_close(struct sb_server *server);

/* ---- arrival.c: who is it? ---- */

/* Takes the descriptor. `peer` is who the socket says it is. */
void sb_arrival_begin(struct sb_server *server, int fd, const struct sb_ip *peer);
/* Gives it up: the descriptor is closed. Accepts NULL. */
void sb_arrival_drop(struct sb_arrival *arrival);
/* Of all of them, with their connections. */
void sb_arrivals_close(struct sb_server *server);

/* ---- room.c: who comes next? ---- */

void sb_room_init(struct sb_server *server);
void sb_room_enter(struct sb_connection *connection);
/* It goes while it waits. */
void sb_room_leave(struct sb_connection *connection);
/* Lets a few in of those who may come in now, once in each turn of the loop. Not from within a
 * callback of libwebsockets. */
void sb_room_serve(struct sb_server *server);
/* Whether more may come in: then the loop must not sleep. */
bool sb_room_may_serve(const struct sb_server *server);
bool sb_room_has_place(const struct sb_server *server, const struct sb_address *address);
/* It has waited for as long as a handshake may take. */
void sb_room_overdue(struct sb_connection *connection);
/* One of its connections is known, or gone. */
void sb_room_place_free(struct sb_server *server, struct sb_address *address);
void sb_room_tick(struct sb_server *server);
/* Drops all who wait. */
void sb_room_close(struct sb_server *server);

/* ---- guard.c: is it welcome? ---- */

void sb_guard_init(struct sb_server *server);
void sb_guard_fini(struct sb_server *server);
void sb_guard_tick(struct sb_server *server);
/* Counts one, and says so in the log, but not too often. */
void sb_guard_count(struct sb_server *server, const struct sb_address *address,
		    enum sb_turned_away reason);
/* What was counted, as one line of the log. */
void sb_guard_log(const struct sb_server *server);

/* It may come into the waiting room; its address is this one. -1: close it, without a word. */
int sb_guard_admit(struct sb_connection *connection, const struct sb_ip *ip);
/* It is open, or has a further request: whether it is welcome is known now. */
void sb_guard_open(struct sb_connection *connection);
/* It is open, and one too many of its address. */
bool sb_guard_refuses(const struct sb_connection *connection);
/* Says so, if it is so, to a session that is new. */
void sb_guard_greet(struct sb_connection *connection);
/*
 * When this connection's client should come back. An address that asks for far
 * more than its share of the hub's timetable gets times of its own, so it puts
 * off nobody else.
 */
uint32_t sb_guard_return_ms(struct sb_connection *connection);
/* The same, as a session's link. */
uint32_t sb_guard_link_return_ms(struct sb_link *link);
/* Before something is sent: notes a session that is known now, or whose token was refused. True:
 * send nothing now. */
bool sb_guard_holds(struct sb_connection *connection);
/* It is gone. */
void sb_guard_leave(struct sb_connection *connection);

/* ---- context.c ---- */

/* server->context and server->vhost. 0, or -1. */
int sb_context_new(struct sb_server *server);
/* The first half of its end: its handles are on their way to be closed. */
void sb_context_destroy(struct sb_server *server);

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
/* Wipes and frees what there is of a message that comes in parts: it may hold a token. */
void sb_ws_forget_message(struct sb_connection *connection);

/* ---- http.c: plain HTTP ---- */

int sb_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t len);

/* ---- keep.c: connections of plain HTTP that wait for their next request ---- */

/* After config->keep_alive_ms or server->leaving has changed. */
void sb_keep_configure(struct sb_server *server);
/* Whether the connection stays when its exchange is over; to be known when the answer's head is
 * written. */
bool sb_keep_may(const struct sb_connection *connection);
/* The answer is out: the exchange goes, the connection stays. It may be gone after. */
void sb_keep_connection(struct sb_connection *connection);
/* False: this request, which is read and not begun, must end the connection instead: libwebsockets
 * would never get to the end of its body. */
bool sb_keep_may_follow(const struct sb_connection *connection);
/* If it was kept: it has its next request, or goes. */
void sb_keep_end(struct sb_connection *connection, bool has_request);

/* ---- server.c ---- */

/* One that was accepted. NULL when out of memory. */
struct sb_connection *sb_connection_new(struct sb_server *server);
/* It takes a place among the handshakes. */
void sb_connection_shake(struct sb_connection *connection);
/* Gives its descriptor to libwebsockets. It may be gone after. */
void sb_connection_adopt(struct sb_connection *connection);
struct sb_server *sb_server_of(struct lws *wsi);
struct sb_connection *sb_connection_of(struct lws *wsi);
void sb_connection_ready(struct sb_connection *connection);
/* A session's link: what every carrier does when it is woken or cut. */
void sb_connection_wake(struct sb_link *link);
void sb_connection_cut(struct sb_link *link);
/* Drops it at once: without a close frame, and without waiting for anything. */
void sb_connection_kill(struct sb_connection *connection);
/* It is no handshake any more; or, one that was kept, its next request is read. */
void sb_connection_opened(struct sb_connection *connection);
/* The wsi goes: the last touch. */
void sb_connection_gone(struct sb_connection *connection);

#endif
