/*
 * The server: what clients touch. libwebsockets speaks HTTP and websocket on
 * the daemon's libuv loop; listening and accepting are ours (door.c), and a
 * websocket carries a session (ws.c).
 *
 * Uses core and nothing of store or ops. Everything runs in the loop's thread.
 */
#ifndef SB_EDGE_SERVER_H
#define SB_EDGE_SERVER_H

#include "daemon/base/network.h"
#include "daemon/core/hub.h"
#include "daemon/edge/door_stats.h"
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_tls_identity;
struct sb_ticket_keys;

/* Read anew at each use, so what a reload changes counts from then on, but for the first two. */
struct sb_server_config {
	const char *address;			/* "[::]:8443", "127.0.0.1:0" */
	int listener;				/* a socket that listens already; 0: none. Taken */
	const struct sb_tls_identity *identity; /* see tls.h */
	const struct sb_ticket_keys *ticket_keys; /* see tickets.h; NULL: one of the process' own */
	const char *origins;	/* allowed Origin headers, separated by spaces or commas; "" none */
	uint32_t keep_alive_ms; /* an answered connection waits so long for its next request; 0: not
				 */
	uint32_t handshakes;	/* connections between accept and hello's way, at most */
	uint32_t opening_ms;	/* from accept to an open websocket */
	uint32_t max_sessions;	/* as the hub has it */
	uint32_t unauthenticated_per_address;	   /* 0: any */
	uint32_t per_address;			   /* connections of one address; 0: any */
	uint32_t bad_tokens_per_minute;		   /* of one address, answered at once; 0: any */
	uint32_t max_addresses;			   /* in the table */
	uint32_t return_per_second;		   /* as the hub has it */
	const struct sb_networks *trusted_proxies; /* who sends a PROXY header, always */
};

struct sb_server;

/* What a start or a reload that failed should tell its operator. */
struct sb_server_problem {
	const char *key; /* the configuration's: "listen.address" */
	char detail[240];
};

/*
 * Listens, and serves from the loop's next turn on. Borrows hub, loop and
 * config until on_closed. NULL with *ret_problem filled when it cannot.
 */
struct sb_server *sb_server_new(uv_loop_t *loop, struct sb_hub *hub,
				const struct sb_server_config *config,
				struct sb_server_problem *ret_problem);

/* From now on this configuration, borrowed like the first; its address and listener say nothing
 * new. */
void sb_server_configure(struct sb_server *server, const struct sb_server_config *config);

/* The port it listens on, which is of interest where the configuration says 0. */
uint16_t sb_server_port(const struct sb_server *server);

/* Deadlines of connections that are no session yet. To be called when one is due. */
void sb_server_tick(struct sb_server *server);
/* When that is, by the loop's clock; UINT64_MAX: never, as it looks. */
uint64_t sb_server_due_ms(const struct sb_server *server);

/* Accepts no more; sessions go on. Who is still on the way to one has a second left, for it has
 * nothing to lose. */
void sb_server_stop_accepting(struct sb_server *server);

/* Connections there are, open or opening. */
size_t sb_server_connections(const struct sb_server *server);

/*   name     word       how a TLS handshake ended */
#define SB_HANDSHAKES(X)                               \
	X(FULL, "full")	      /* with a certificate */ \
	X(RESUMED, "resumed") /* by a ticket */        \
	X(FAILED, "failed")   /* no TLS, or the connection went before */

enum sb_handshake {
#define SB_HANDSHAKE_ENUM(name, word) SB_HANDSHAKE_##name,
	SB_HANDSHAKES(SB_HANDSHAKE_ENUM)
#undef SB_HANDSHAKE_ENUM
		SB_HANDSHAKE_COUNT
};

/* The word for metrics: a constant. */
const char *sb_handshake_word(enum sb_handshake handshake);

struct sb_server_stats {
	size_t connections; /* now, open or opening */
	size_t opening;	    /* now, of them: holding a place among the handshakes */
	uint64_t handshakes[SB_HANDSHAKE_COUNT]; /* since the start */
};

void sb_server_get_stats(const struct sb_server *server, struct sb_server_stats *ret_stats);

void sb_server_get_door_stats(const struct sb_server *server, struct sb_door_stats *ret_stats);

typedef void sb_server_closed(void *data);

/* Drops what is still there, gives everything back, then calls on_closed from the loop. */
void sb_server_close(struct sb_server *server, sb_server_closed *on_closed, void *data);

#endif
