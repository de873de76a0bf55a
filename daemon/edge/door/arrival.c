/*
 * Whose connection was accepted: the one the socket names, or the one a trusted
 * proxy names.
 *
 * A connection of a trusted proxy begins with a PROXY header, always; it is
 * read here, before libwebsockets has the descriptor, and never a byte more
 * than it has. It has the time of a handshake for that. From anybody else
 * nothing is read: a PROXY header of theirs is a TLS handshake that fails.
 */
#include "daemon/edge/door/door_private.h"
#include "daemon/edge/door/proxy_header.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

struct sb_arrival {
	uv_poll_t poll;
	struct sb_visitor *visitor;
	struct sb_arrival *prev, *next; /* in door->arrivals */
	struct sb_proxy_header header;
	struct sb_ip peer; /* the proxy */
	int fd;
};

static void set_options(int fd)
{
	int on = 1, idle_s = 60, interval_s = 15, count = 4, timeout_ms = 60000;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

/* Into the waiting room. */
static void enter(struct sb_visitor *visitor, int fd, const struct sb_ip *ip)
{
	sb_deadline_stop(&visitor->deadline);
	if (sb_guard_enter(visitor, ip) == 0) {
		set_options(fd);
		sb_room_enter(visitor, fd);
	} else {
		(void)close(fd);
		sb_visitor_gone(visitor);
	}
}

/* ---- the PROXY header ---- */

static void on_arrival_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Off the loop; the descriptor is the caller's. Its memory goes with the close callback. */
static int detach(struct sb_arrival *arrival)
{
	int fd = arrival->fd;

	DL_DELETE(arrival->visitor->door->arrivals, arrival);
	arrival->visitor->arrival = NULL;
	uv_close((uv_handle_t *)&arrival->poll, on_arrival_closed);
	return fd;
}

void sb_arrival_drop(struct sb_arrival *arrival)
{
	if (arrival)
		(void)close(detach(arrival));
}

void sb_arrivals_close(struct sb_door *door)
{
	while (door->arrivals)
		sb_visitor_gone(door->arrivals->visitor);
}

/* Reads what there is of the header: its state, or SB_PROXY_BAD where the connection ended. */
static enum sb_proxy_state read_header(struct sb_arrival *arrival, struct sb_ip *ret_client)
{
	enum sb_proxy_state state = SB_PROXY_MORE;
	uint8_t buffer[512];

	while (state == SB_PROXY_MORE) {
		uint32_t wants = sb_proxy_header_wants(&arrival->header);
		ssize_t got = recv(arrival->fd, buffer,
				   wants < sizeof(buffer) ? wants : sizeof(buffer), 0);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return SB_PROXY_MORE;
		if (got <= 0)
			return SB_PROXY_BAD;
		state = sb_proxy_header_feed(&arrival->header, buffer, (uint32_t)got, ret_client);
	}
	return state;
}

static void go_on(struct sb_arrival *arrival)
{
	struct sb_visitor *visitor = arrival->visitor;
	struct sb_ip client = {0};

	switch (read_header(arrival, &client)) {
	case SB_PROXY_MORE:
		return;
	case SB_PROXY_BAD:
		sb_guard_count(visitor->door, NULL, SB_TURNED_AWAY_PROXY_HEADER);
		sb_visitor_gone(visitor); /* and the arrival with it */
		return;
	case SB_PROXY_LOCAL:
		client = arrival->peer;
		break;
	case SB_PROXY_RELAYED:
		break;
	}
	enter(visitor, detach(arrival), &client);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status; /* an error shows when it is read */
	(void)events;
	go_on(poll->data);
}

static int begin_header(struct sb_visitor *visitor, int fd, const struct sb_ip *peer)
{
	struct sb_door *door = visitor->door;
	struct sb_arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival)
		return -ENOMEM;
	if (uv_poll_init(door->loop, &arrival->poll, fd) != 0) {
		free(arrival);
		return -ENOMEM;
	}
	arrival->poll.data = arrival;
	arrival->visitor = visitor;
	arrival->peer = *peer;
	arrival->fd = fd;
	sb_proxy_header_init(&arrival->header);
	visitor->arrival = arrival;
	sb_deadline_start(&visitor->deadline, &door->openings, uv_now(door->loop));
	DL_APPEND(door->arrivals, arrival);
	(void)uv_poll_start(&arrival->poll, UV_READABLE, on_readable);
	go_on(arrival); /* mostly it is there already */
	return 0;
}

void sb_arrival_begin(struct sb_door *door, int fd, const struct sb_ip *peer)
{
	struct sb_visitor *visitor = sb_visitor_new(door);

	door->stats.accepted++;
	if (!visitor) {
		(void)close(fd);
		sb_guard_count(door, NULL, SB_TURNED_AWAY_MEMORY);
	} else if (!sb_networks_have(door->config->trusted_proxies, peer)) {
		enter(visitor, fd, peer);
	} else if (begin_header(visitor, fd, peer) != 0) {
		(void)close(fd);
		sb_visitor_gone(visitor);
		sb_guard_count(door, NULL, SB_TURNED_AWAY_MEMORY);
	}
}
