/* libwebsockets' context and vhost: on our loop, without a listener, timers or pings of its own. */
#include "daemon/base/log.h"
#include "daemon/edge/server_private.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What each session has for what it receives, for ever: room for a control frame (RFC 6455 section
 * 5.5). A longer message comes in parts. */
#define RX_BYTES 128

/* A client chooses among these by Sec-WebSocket-Protocol; the first, plain HTTP, has a name that
 * none can send. */
static const struct lws_protocols protocols[] = {
	{.name = "/http", .callback = sb_http_callback, .rx_buffer_size = 512},
	{.name = "slotbell.v1",
	 .callback = sb_ws_callback,
	 .rx_buffer_size = RX_BYTES,
	 .tx_packet_size = 16384},
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

int sb_context_new(struct sb_server *server)
{
	void *loops[] = {server->loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.foreign_loops = loops,
		.pt_serv_buf_size = 16448,
		.max_http_header_data = 8192, /* a page's cookies may be many */
		.timeout_secs = 30,
		.user = server,
		.retry_and_idle_policy = &no_policy,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
	server->context = lws_create_context(&info);
	if (!server->context)
		return -1;
	info.options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
	info.vhost_name = "slotbell";
	info.protocols = protocols;
	info.alpn = "http/1.1";
	info.keepalive_timeout = 0; /* keep.c's */
	server->vhost = lws_create_vhost(server->context, &info);
	server->descriptors = lowest_free() + SPARE;
	return server->vhost ? 0 : -1;
}

/*
 * libwebsockets 4.1 closes the descriptor of its event pipe here, and once more
 * when the loop has closed its handle. Whoever has that number by then, a
 * connection to the database say, would lose it. So no number that may be the
 * pipe's is left free; what is put there stays until the process ends.
 */
void sb_context_destroy(struct sb_server *server)
{
	lws_context_destroy(server->context);
	for (int fd = 0; fd < server->descriptors; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, fd);
	}
}
