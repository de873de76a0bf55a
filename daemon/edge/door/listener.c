/*
 * The door: our own listening socket and accept. The socket may be inherited: then
 * whoever knocks while we end waits in it for our successor.
 *
 *   door: accept → arrival: who is it? → room: who comes next? → libwebsockets
 *                                                                  │
 *                                          guard: is it welcome? ◄─┘
 */
#include "daemon/base/log.h"
#include "daemon/edge/server_private.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long accept pauses when the process has no descriptor left. */
#define PAUSE_MS 100
/* Accepts of one turn of the loop, so that a storm does not starve the sessions. */
#define ACCEPTS_PER_TURN 64

struct sb_door {
	struct sb_server *server;
	uv_poll_t poll;
	uv_timer_t pause;
	int fd;
	int spare; /* a descriptor kept to refuse with, when there is no other */
	uint16_t port;
	int handles;
};

static int fail(struct sb_server *server, const char *detail, const char *reason)
{
	server->problem->key = "listen.address";
	(void)snprintf(server->problem->detail, sizeof(server->problem->detail), "%s%s%s", detail,
		       *reason ? ": " : "", reason);
	return -1;
}

/* "HOST:PORT" or "[V6]:PORT" in two parts, in place. */
static int split_address(char *address, char **ret_host, char **ret_port)
{
	char *colon = strrchr(address, ':');

	if (!colon || !colon[1])
		return -EINVAL;
	*colon = '\0';
	*ret_port = colon + 1;
	*ret_host = address;
	if (address[0] == '[') {
		if (colon == address || colon[-1] != ']')
			return -EINVAL;
		colon[-1] = '\0';
		*ret_host = address + 1;
	} else if (strchr(address, ':')) {
		return -EINVAL;
	}
	return 0;
}

static int port_of(int fd, uint16_t *ret_port)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
		return -1;
	*ret_port = ntohs(bound.ss_family == AF_INET6
				  ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
				  : ((struct sockaddr_in *)(void *)&bound)->sin_port);
	return 0;
}

static int listen_on(const struct addrinfo *info, uint16_t *ret_port)
{
	int on = 1, off = 0;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
			 sizeof(on)); /* several instances, one port */
	if (info->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0 ||
	    port_of(fd, ret_port) != 0) {
		int result = -errno;

		(void)close(fd);
		return result;
	}
	return fd;
}

/* Of a service manager: it is bound, and listens, and outlives us. */
static int take_socket(struct sb_server *server, uint16_t *ret_port)
{
	int fd = server->config->listener;

	if (port_of(fd, ret_port) != 0)
		return fail(server, "the inherited socket", strerror(errno));
	return fd;
}

/* At start-up only: getaddrinfo of a numeric address does not block. */
static int open_socket(struct sb_server *server, uint16_t *ret_port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *info;
	char address[80];
	char *host, *port;
	int fd;

	if (strlen(server->config->address) >= sizeof(address))
		return fail(server, "the address is too long", "");
	memcpy(address, server->config->address, strlen(server->config->address) + 1);
	if (split_address(address, &host, &port) != 0 ||
	    getaddrinfo(*host ? host : NULL, port, &hints, &info) != 0)
		return fail(server, server->config->address,
			    "not ADDRESS:PORT, as in 127.0.0.1:8443 or [::]:8443");
	fd = listen_on(info, ret_port);
	freeaddrinfo(info);
	if (fd < 0)
		return fail(server, server->config->address, strerror(-fd));
	return fd;
}

/* ---- accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct sb_door *door = timer->data;

	(void)uv_poll_start(&door->poll, UV_READABLE, on_readable);
}

/*
 * No descriptor left, or no memory for one. Those that wait are told so by a
 * close, through the spare descriptor, or else they would wake the loop for
 * ever; then a pause.
 */
static void on_nothing_left(struct sb_door *door, int error)
{
	int turned_away = 0, fd;

	(void)close(door->spare);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		(void)close(fd);
		sb_guard_count(door->server, NULL, SB_TURNED_AWAY_DESCRIPTORS);
		turned_away++;
	}
	door->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sb_log(SB_LOG_WARNING, "out of descriptors",
	       "connections=%zu turned_away=%d problem=\"%s\"", door->server->connections,
	       turned_away, strerror(error));
	(void)uv_poll_stop(&door->poll);
	(void)uv_timer_start(&door->pause, on_pause_over, PAUSE_MS, 0);
}

static bool is_nothing_left(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct sb_door *door = poll->data;
	struct sb_server *server = door->server;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage address = {0};
		struct sockaddr *peer = (struct sockaddr *)&address;
		socklen_t len = sizeof(address);
		int fd = accept4(door->fd, peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct sb_ip ip;

		if (fd < 0) {
			if (is_nothing_left(errno))
				on_nothing_left(door, errno);
			return; /* EAGAIN, or a connection that went before it was taken */
		}
		ip = sb_ip_of(peer);
		sb_arrival_begin(server, fd, &ip);
	}
}

int sb_door_open(struct sb_server *server)
{
	struct sb_door *door = calloc(1, sizeof(*door));

	if (!door)
		return fail(server, "out of memory", "");
	door->server = server;
	door->fd = server->config->listener ? take_socket(server, &door->port)
					    : open_socket(server, &door->port);
	if (door->fd < 0) {
		free(door);
		return -1;
	}
	door->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)uv_poll_init(server->loop, &door->poll, door->fd);
	(void)uv_timer_init(server->loop, &door->pause);
	door->handles = 2;
	door->poll.data = door;
	door->pause.data = door;
	server->door = door;
	(void)uv_poll_start(&door->poll, UV_READABLE, on_readable);
	return 0;
}

uint16_t sb_door_port(const struct sb_door *door)
{
	return door->port;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_door *door = handle->data;

	if (--door->handles == 0)
		free(door);
}

void sb_door_close(struct sb_server *server)
{
	struct sb_door *door = server->door;

	if (!door)
		return;
	server->door = NULL;
	uv_close((uv_handle_t *)&door->poll, on_handle_closed);
	uv_close((uv_handle_t *)&door->pause, on_handle_closed);
	(void)close(door->fd);
	(void)close(door->spare);
}
