/* libwebsockets' context and vhost: on our loop, without a listener, timers or pings of its own. */
#ifndef SB_EDGE_CONTEXT_H
#define SB_EDGE_CONTEXT_H

#include "daemon/edge/connection.h"

struct sb_context {
	struct lws_context *lws;
	int descriptors; /* those of the context are below this */
	/* Set by the owner, borrowed. sb_context_new() sets connections->vhost. */
	struct sb_connections *connections;
	SSL_CTX *tls; /* the vhost's */
};

/* 0, or -1: then what there is of it is to be destroyed all the same. */
int sb_context_new(struct sb_context *context, uv_loop_t *loop);
/* The first half of its end: its connections are gone, its handles on their way to be closed. */
void sb_context_destroy(struct sb_context *context);
/* The second, once the loop has closed all handles. */
void sb_context_destroy_again(struct sb_context *context);

#endif
