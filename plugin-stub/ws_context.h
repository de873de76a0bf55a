/* libwebsockets' context for one client on our loop. */
#ifndef SB_PLUGIN_WS_CONTEXT_H
#define SB_PLUGIN_WS_CONTEXT_H

#include "plugin-stub/url.h"
#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

/*
 * Makes a context on `loop` that connects with `ssl_ctx` through `proxy` (host
 * "": directly). Keeps `loop`, `protocols`, `ssl_ctx` and `user`.
 *
 * 0, or -ENOSYS. Ended by sb_ws_context_free(), which runs the loop until
 * libwebsockets' handles are closed and accepts NULL.
 */
int sb_ws_context_new(uv_loop_t *loop, const struct lws_protocols *protocols, SSL_CTX *ssl_ctx,
		      const struct sb_proxy *proxy, void *user, struct lws_context **ret_context);
void sb_ws_context_free(struct lws_context *context, uv_loop_t *loop);

#endif
