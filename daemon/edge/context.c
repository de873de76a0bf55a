/* See context.h. */
#include "daemon/edge/context.h"
#include "daemon/base/log.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A handshake ends by a deadline of the door's; the library's own, in seconds, must be later. */
#define LATER_S 3600

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct sb_context *context = lws_context_user(lws_get_context(wsi));

	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
		context->tls = user;
		sb_tls_setup(user, context->connections->tls);
		return 0;
	}
	return sb_connections_callback(wsi, reason, in, len);
}

static const struct lws_protocols protocols[] = {
	{.name = SB_TLS_PROTOCOL, .callback = callback},
	{0},
};

/* All zero: heartbeats are core's. lws keeps its timers in one sorted list, so each connection
 * would cost O(N). */
static const lws_retry_bo_t no_policy;

/* What libwebsockets calls errors is mostly what strangers send, so it is for those who look
 * closer. */
static void on_lws_log(int level, const char *line)
{
	sb_log(level == LLL_ERR ? SB_LOG_INFO : SB_LOG_DEBUG, "libwebsockets", "line=\"%.*s\"",
	       (int)strcspn(line, "\n"), line);
}

/* Descriptors that the library may have opened and closed again while it made its own. */
#define SPARE 16

static int lowest_free(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		(void)close(fd);
	return fd;
}

int sb_context_new(struct sb_context *context, uv_loop_t *loop)
{
	void *loops[] = {loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.foreign_loops = loops,
		.pt_serv_buf_size = LWS_PRE + SB_RECORD_MAX,
		.timeout_secs = LATER_S,
		.user = context,
		.retry_and_idle_policy = &no_policy,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
	context->lws = lws_create_context(&info);
	if (!context->lws)
		return -1;
	info.options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
	info.vhost_name = "slotbell";
	info.protocols = protocols;
	context->connections->vhost = lws_create_vhost(context->lws, &info);
	context->descriptors = lowest_free() + SPARE;
	if (!context->connections->vhost || !context->tls)
		return -1;
	sb_tls_set_alpn(context->tls);
	return 0;
}

/*
 * libwebsockets 4.1 closes the descriptor of its event pipe here, and once more
 * when the loop has closed its handle. Whoever has that number by then, a
 * connection to the database say, would lose it. So no number that may be the
 * pipe's is left free; what is put there stays until the process ends.
 */
void sb_context_destroy(struct sb_context *context)
{
	if (!context->lws)
		return;
	lws_context_destroy(context->lws);
	for (int fd = 0; fd < context->descriptors; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, fd);
	}
}

void sb_context_destroy_again(struct sb_context *context)
{
	if (context->lws)
		lws_context_destroy(context->lws);
	context->lws = NULL;
}
