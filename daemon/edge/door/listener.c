/*
 * Our own listening socket and accept. The socket may be inherited: then
 * clients that connect while we end wait in it for our successor.
 *
 *   listener: accept → arrival: whose is it? → room: which is next? → admit
 *                                                                      │
 *                                      guard: is it welcome? ◄── opened ┘
 */
#include "daemon/base/log.h"
#include "daemon/edge/door/door_private.h"
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

struct sb_listener {
	struct sb_door *door;
	uv_poll_t poll;
	uv_timer_t pause;
	int fd;
	int spare; /* a descriptor kept to refuse with, when there is no other */
	uint16_t port;
	int handles;
};

struct words {
	char *text;
	size_t size;
};

static int fail(const struct words *words, const char *detail, const char *reason)
{
	(void)snprintf(words->text, words->size, "%s%s%s", detail, *reason ? ": " : "", reason);
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
static int take_socket(int fd, uint16_t *ret_port, const struct words *words)
{
	if (port_of(fd, ret_port) != 0)
		return fail(words, "the inherited socket", strerror(errno));
	return fd;
}

/* At start-up only: getaddrinfo of a numeric address does not block. */
static int open_socket(const char *configured, uint16_t *ret_port, const struct words *words)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *info;
	char address[80];
	char *host, *port;
	int fd;

	if (strlen(configured) >= sizeof(address))
		return fail(words, "the address is too long", "");
	memcpy(address, configured, strlen(configured) + 1);
	if (split_address(address, &host, &port) != 0 ||
	    getaddrinfo(*host ? host : NULL, port, &hints, &info) != 0)
		return fail(words, configured,
			    "not ADDRESS:PORT, as in 127.0.0.1:8443 or [::]:8443");
	fd = listen_on(info, ret_port);
	freeaddrinfo(info);
	if (fd < 0)
		return fail(words, configured, strerror(-fd));
	return fd;
}

/* ---- accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct sb_listener *listener = timer->data;

	(void)uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

/*
 * No descriptor left, or no memory for one. Those that wait are told so by a
 * close, through the spare descriptor, or else they would wake the loop for
 * ever; then a pause.
 */
static void on_nothing_left(struct sb_listener *listener, int error)
{
	int turned_away = 0, fd;

	(void)close(listener->spare);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		(void)close(fd);
		sb_guard_count(listener->door, NULL, SB_TURNED_AWAY_DESCRIPTORS);
		turned_away++;
	}
	listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sb_log(SB_LOG_WARNING, "out of descriptors",
	       "connections=%zu turned_away=%d problem=\"%s\"", listener->door->visitors,
	       turned_away, strerror(error));
	(void)uv_poll_stop(&listener->poll);
	(void)uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
}

static bool is_nothing_left(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct sb_listener *listener = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage address = {0};
		struct sockaddr *peer = (struct sockaddr *)&address;
		socklen_t len = sizeof(address);
		int fd = accept4(listener->fd, peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct sb_ip ip;

		if (fd < 0) {
			if (is_nothing_left(errno))
				on_nothing_left(listener, errno);
			return; /* EAGAIN, or a connection that went before it was taken */
		}
		ip = sb_ip_of(peer);
		sb_arrival_begin(listener->door, fd, &ip);
	}
}

struct sb_listener *sb_listener_new(struct sb_door *door, const char *address, int inherited,
				    char *ret_detail, size_t detail_size)
{
	struct sb_listener *listener = calloc(1, sizeof(*listener));
	struct words words = {ret_detail, detail_size};

	if (!listener) {
		(void)fail(&words, "out of memory", "");
		return NULL;
	}
	listener->door = door;
	listener->fd = inherited ? take_socket(inherited, &listener->port, &words)
				 : open_socket(address, &listener->port, &words);
	if (listener->fd < 0) {
		free(listener);
		return NULL;
	}
	listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)uv_poll_init(door->loop, &listener->poll, listener->fd);
	(void)uv_timer_init(door->loop, &listener->pause);
	listener->handles = 2;
	listener->poll.data = listener;
	listener->pause.data = listener;
	(void)uv_poll_start(&listener->poll, UV_READABLE, on_readable);
	return listener;
}

uint16_t sb_listener_port(const struct sb_listener *listener)
{
	return listener->port;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_listener *listener = handle->data;

	if (--listener->handles == 0)
		free(listener);
}

void sb_listener_close(struct sb_listener *listener)
{
	if (!listener)
		return;
	uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
	uv_close((uv_handle_t *)&listener->pause, on_handle_closed);
	(void)close(listener->fd);
	(void)close(listener->spare);
}
