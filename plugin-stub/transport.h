/*
 * How messages get here: the seam between the client and the ways to a server.
 *
 * There are the websocket, server-sent events and long poll (what a proxy lets
 * through when it blocks websockets), and one that chooses among the three.
 *
 * A transport has one connection at a time. It calls its handler from the
 * loop only, never from inside one of its own functions.
 */
#ifndef SB_PLUGIN_TRANSPORT_H
#define SB_PLUGIN_TRANSPORT_H

#include "plugin-stub/choice.h"
#include "plugin-stub/client.h"
#include "plugin-stub/url.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct sb_transport_handler {
	void (*on_open)(void *data);
	/* One whole text message, borrowed until return. */
	void (*on_message)(void *data, const char *bytes, size_t len);
	/* Exactly once for each connect. */
	void (*on_gone)(void *data, const struct sb_gone *gone);
	void *data;
};

struct sb_transport_options {
	struct sb_url url;
	struct sb_proxy proxy; /* host "": none */
	const char *ca;	    /* PEM file, or NULL: the system's. Borrowed for the transport's life */
	const char *bearer; /* token for the Authorization header. Borrowed likewise */
	bool token_in_hello; /* websocket: no such header, the hello has the token */
};

struct sb_transport;

struct sb_transport_ops {
	/* One try. on_open or on_gone follows. Only when there is no connection. */
	void (*connect)(struct sb_transport *transport);
	/* Queues one message, copied. Ignored once close or drop was called; on_gone follows when
	 * there is no memory for it. */
	void (*send)(struct sb_transport *transport, const struct sb_client_message *message);
	/* Sends what is queued, then a close with this code; on_gone follows within seconds. */
	void (*close)(struct sb_transport *transport, int code);
	/* on_gone follows in the next turn of the loop. */
	void (*drop)(struct sb_transport *transport);
	/*
	 * Ends and frees it; no handler is called any more. Runs the loop until
	 * its handles are closed, so the caller has closed or stopped its own,
	 * and this is not called from one of the loop's callbacks. Accepts NULL.
	 */
	void (*free)(struct sb_transport *transport);
};

/* Implementers put it first in their own struct. */
struct sb_transport {
	const struct sb_transport_ops *ops;
};

/*
 * The websocket, subprotocol slotbell.v1, by libwebsockets on `loop`. Copies
 * *options and *handler.
 *
 * 0; -ENOENT: no certificates in options->ca; -ENOSYS: libwebsockets did not
 * start on libuv (on Debian: the package libwebsockets-evlib-uv); -ENOMEM.
 */
int sb_transport_ws_new(uv_loop_t *loop, const struct sb_transport_options *options,
			const struct sb_transport_handler *handler,
			struct sb_transport **ret_transport);

/* The same over plain HTTP: server-sent events, and long poll. 0, -ENOENT or -ENOMEM. */
int sb_transport_stream_new(uv_loop_t *loop, const struct sb_transport_options *options,
			    const struct sb_transport_handler *handler,
			    struct sb_transport **ret_transport);
int sb_transport_poll_new(uv_loop_t *loop, const struct sb_transport_options *options,
			  const struct sb_transport_handler *handler,
			  struct sb_transport **ret_transport);

struct sb_auto_options {
	enum sb_way first;  /* what worked last time */
	bool websocket_due; /* but that is long ago: one websocket before it */
	uint64_t again_ms; /* how long until a websocket that does not get through is tried again */
	/* A session began on this way. */
	void (*on_way)(void *data, enum sb_way way);
	void *data;
};

/* Whichever of the three gets through. As the three. Copies *auto_options. */
int sb_transport_auto_new(uv_loop_t *loop, const struct sb_transport_options *options,
			  const struct sb_transport_handler *handler,
			  const struct sb_auto_options *auto_options,
			  struct sb_transport **ret_transport);

#endif
