/*
 * The admin listener, for monitoring: GET /metrics, /healthz and /readyz, over
 * plain HTTP/1.1 on an address of its own, loopback unless told otherwise.
 *
 * /healthz answers while the loop turns; it says nothing of the database, for
 * a restart heals no database. /readyz says whether new clients should come.
 *
 * Why not a vhost of libwebsockets: three pages for a handful of tools need a
 * strict reading of one line, and nothing that could spin or keep state.
 */
#ifndef SB_OPS_ADMIN_H
#define SB_OPS_ADMIN_H

#include "daemon/ops/metrics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_admin;

struct sb_admin_pages {
	void (*metrics)(void *data, struct sb_metrics *metrics);
	/* Whether new clients should come; if not, why, as a line for people. */
	bool (*is_ready)(void *data, char *ret_why, size_t size);
};

/* On `address`, "ADDRESS:PORT", or on `listener`, a socket that listens already and is taken,
 * unless it is 0. `pages` are borrowed. 0 or a negative errno; -EINVAL: no address. */
int sb_admin_open(uv_loop_t *loop, const char *address, int listener,
		  const struct sb_admin_pages *pages, void *data, struct sb_admin **ret_admin);
uint16_t sb_admin_port(const struct sb_admin *admin);
/* See sb_requests_close(). */
void sb_admin_close(struct sb_admin *admin, void (*on_closed)(void *data), void *data);

#endif
