/*
 * Plain HTTP/1.1 on the client port, and the way to a websocket.
 *
 *   reader (heads) ──► routes ──► asked (what it asks) ──► a session of core
 *       ◄── reply (status, headers, the end) ◄── stream or answer (pull)
 *
 * A connection begins here. It is kept for one request after the other, or goes
 * on as a websocket (upgrade.c), or ends.
 */
#ifndef SB_EDGE_HTTP_HTTP_H
#define SB_EDGE_HTTP_HTTP_H

#include "daemon/core/deadline.h"
#include "daemon/edge/connection.h"

/* Read anew at each use, so what a reload changes counts from then on. */
struct sb_http_config {
	const char *origins;	/* allowed Origin headers, separated by spaces or commas; "" none */
	uint32_t keep_alive_ms; /* an answered connection waits so long for its next request; 0: not
				 */
	uint32_t opening_ms;	/* for a body to come, and for an answer to be taken */
	uint32_t max_sessions;	/* connections beyond that are not kept */
};

/* Of a server; all fields are http/'s own. */
struct sb_http {
	uv_loop_t *loop;
	struct sb_hub *hub;
	const struct sb_door *door;
	const struct sb_http_config *config;
	struct sb_deadlines bodies; /* for a body to come, and for an answer to be taken */
	struct sb_deadlines kept;   /* for the next request */
	struct sb_deadlines ends;   /* for the peer to close */
	size_t kept_count;	    /* now: answered, and kept for their next request */
	uint64_t requests_kept;	    /* since the start: that came by one of the kept */
	bool leaving;
};

/* All is borrowed until the last connection is gone. */
void sb_http_init(struct sb_http *http, uv_loop_t *loop, struct sb_hub *hub,
		  const struct sb_door *door, const struct sb_http_config *config);
/* After its config has changed. */
void sb_http_configure(struct sb_http *http, const struct sb_http_config *config);
/* No connection is kept for a next request any more. */
void sb_http_leave(struct sb_http *http);
void sb_http_tick(struct sb_http *http);
/* When the first deadline is due, in ms of the loop's clock; UINT64_MAX: never. */
uint64_t sb_http_due_ms(const struct sb_http *http);

/* A connection speaks HTTP from now on. `data` is the struct sb_http. 0, or -ENOMEM. */
int sb_http_begin(void *data, struct sb_connection *connection);

#endif
