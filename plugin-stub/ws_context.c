/* How libwebsockets is started and ended for transport_ws: its options, the proxy, the foreign
 * loop. */
#include "plugin-stub/ws_context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sb_ws_context_new(uv_loop_t *loop, const struct lws_protocols *protocols, SSL_CTX *ssl_ctx,
		      const struct sb_proxy *proxy, void *user, struct lws_context **ret_context)
{
	char authority[SB_HOST_MAX + 16], address[SB_PROXY_AUTH_MAX + 1 + sizeof(authority)];
	void *loops[] = {loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.foreign_loops = loops,
		.provided_client_ssl_ctx = ssl_ctx,
		.user = user,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
	};

	/* libwebsockets would go through it to any server; only --proxy chooses a proxy. */
	unsetenv("http_proxy");
	if (proxy->host[0]) {
		sb_url_authority(proxy->host, proxy->port, authority, sizeof(authority));
		snprintf(address, sizeof(address), "%s%s%s", proxy->auth, proxy->auth[0] ? "@" : "",
			 authority);
		info.http_proxy_address = address;
		info.http_proxy_port = proxy->port;
	}
	lws_set_log_level(0, NULL); /* people get words of ours */
	*ret_context = lws_create_context(&info);
	explicit_bzero(address, sizeof(address));
	return *ret_context ? 0 : -ENOSYS;
}

void sb_ws_context_free(struct lws_context *context, uv_loop_t *loop)
{
	if (!context)
		return;
	/* In two steps on a foreign loop: the handles must close in between. */
	lws_context_destroy(context);
	uv_run(loop, UV_RUN_DEFAULT);
	lws_context_destroy(context);
}
