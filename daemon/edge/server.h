/*
 * The server: what clients touch. It only puts together:
 *
 *   door/ ──admit──► connection ──► http/ ──► ws/      tls/ beside them
 *
 * Uses core and nothing of store or ops. Everything runs in the loop's thread.
 */
#ifndef SB_EDGE_SERVER_H
#define SB_EDGE_SERVER_H

#include "daemon/core/hub.h"
#include "daemon/edge/door/door.h"
#include "daemon/edge/http/http.h"
#include "daemon/edge/problem.h"
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* Read anew at each use, so what a reload changes counts from then on, but for the first two. */
struct sb_server_config {
	const char *address;			/* "[::]:8443", "127.0.0.1:0" */
	int listener;				/* a socket that listens already; 0: none. Taken */
	const struct sb_tls_identity *identity; /* see tls/identity.h */
	const struct sb_ticket_keys *ticket_keys; /* see tls/tickets.h; NULL: one of the process'
						     own */
	struct sb_door_config door;
	struct sb_http_config http;
};

struct sb_server;

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

struct sb_server_stats {
	size_t connections;	/* now, open or opening */
	size_t opening;		/* now, of them: holding a place among the handshakes */
	size_t kept;		/* now, of them: answered, and kept for their next request */
	uint64_t requests_kept; /* since the start: that came by one of the kept */
	uint64_t handshakes[SB_HANDSHAKE_COUNT]; /* since the start */
};

void sb_server_get_stats(const struct sb_server *server, struct sb_server_stats *ret_stats);

void sb_server_get_door_stats(const struct sb_server *server, struct sb_door_stats *ret_stats);

typedef void sb_server_closed(void *data);

/* Drops what is still there, gives everything back, then calls on_closed from the loop. */
void sb_server_close(struct sb_server *server, sb_server_closed *on_closed, void *data);

#endif
