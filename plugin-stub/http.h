/*
 * Requests to one server over HTTPS, by libcurl on our libuv loop: for
 * transport_stream, transport_poll and transport_auto.
 *
 * Callbacks come from the loop only, never from inside a function here, and
 * may start and cancel calls, but not free the sb_http.
 */
#ifndef SB_PLUGIN_HTTP_H
#define SB_PLUGIN_HTTP_H

#include "plugin-stub/transport.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_http;
struct sb_http_call;

struct sb_http_request {
	const char *path;	   /* with its query: "/v1/bookings?wait=25" */
	const char *last_event_id; /* or NULL */
	const char *body;	   /* of a POST; NULL: GET */
	size_t body_len;
	size_t answer_max; /* bytes of the answer that are collected; more is no answer */
};

/* All of it is borrowed until return. */
struct sb_http_answer {
	int status;	   /* 0: none came */
	const char *words; /* status 0, or cut off: why, for a person */
	bool is_whole;	   /* it came to its end */
	const char *type;  /* Content-Type, "" if not said */
	const char *body;
	size_t body_len;
	uint64_t took_ms; /* since the request was sent; by a kept connection that broke libcurl
			   * sends it once more */
	bool has_hint;	  /* Retry-After */
	uint32_t hint_ms;
};

struct sb_http_handler {
	/* Parts of an answer of 200, as they come; NULL: they are collected. */
	void (*on_part)(void *data, const struct sb_http_answer *head, const char *bytes,
			size_t len);
	/* Exactly once, unless it was cancelled; the call is freed already. */
	void (*on_done)(void *data, const struct sb_http_answer *answer);
	void *data;
};

/*
 * Borrows options->ca and options->bearer for its life, copies the rest.
 *
 * 0; -ENOENT: no certificates in options->ca; -ENOMEM.
 */
int sb_http_new(uv_loop_t *loop, const struct sb_transport_options *options,
		struct sb_http **ret_http);
/* Cancels every call. Its memory goes with its handles: the caller runs the loop. Accepts NULL. */
void sb_http_free(struct sb_http *http);

/* Connections that the server has kept are not used again: after a sleep, or in another network,
 * they are dead and do not know it. There is no call. */
void sb_http_leave_connections(struct sb_http *http);

/* Copies the request. Goes by a connection that the server has kept, if there is one. NULL: no
 * memory. */
struct sb_http_call *sb_http_start(struct sb_http *http, const struct sb_http_request *request,
				   const struct sb_http_handler *handler);
/* No callback comes any more. Accepts NULL. */
void sb_http_cancel(struct sb_http_call *call);

#endif
