/*
 * A connection's bytes and its end; how it comes about is in link_connect.c.
 * See link.h.
 */
#include "daemon/store/link_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sb_pg_host *sb_pg_link_host(const struct sb_pg_link *link)
{
	return &link->url->hosts[(link->preferred + link->tried - 1) % link->url->host_count];
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- what an attempt holds, and letting go of it ---- */

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

void sb_pg_link_unwatch(struct sb_pg_link *link)
{
	if (!link->poll)
		return;
	link->poll->data = NULL;
	uv_close((uv_handle_t *)link->poll, on_poll_closed);
	link->poll = NULL;
}

int sb_pg_link_watch(struct sb_pg_link *link, int events)
{
	int fd = PQsocket(link->conn);
	int r;

	sb_pg_link_unwatch(link);
	if (fd < 0)
		return UV_EBADF;
	link->poll = calloc(1, sizeof(*link->poll));
	if (!link->poll)
		return UV_ENOMEM;
	r = uv_poll_init(link->loop, link->poll, fd);
	if (r < 0) {
		free(link->poll);
		link->poll = NULL;
		return r;
	}
	link->poll->data = link;
	link->watched = events;
	return uv_poll_start(link->poll, events, on_poll);
}

void sb_pg_link_disconnect(struct sb_pg_link *link)
{
	sb_pg_link_unwatch(link);
	PQfinish(link->conn);
	link->conn = NULL;
	link->dropped[0] = '\0';
	(void)uv_timer_stop(&link->dropper);
	(void)uv_timer_stop(&link->timer);
}

/* ---- an established connection's bytes ---- */

static void dispatch_notifies(struct sb_pg_link *link)
{
	PGnotify *notify;

	while (!link->closing && !link->dropped[0] && (notify = PQnotifies(link->conn)) != NULL) {
		if (link->user->ops->on_notify)
			link->user->ops->on_notify(link->user, notify);
		PQfreemem(notify);
	}
}

static void dispatch_results(struct sb_pg_link *link)
{
	bool ended = false;

	while (!link->closing && !link->dropped[0] && !PQisBusy(link->conn)) {
		PGresult *result = PQgetResult(link->conn);

		/* The first NULL ends a statement, the second says that libpq has no more. */
		if (!result && ended)
			break;
		ended = !result;
		link->user->ops->on_result(link->user, result);
	}
}

static void finish_close(struct sb_pg_link *link);

void sb_pg_link_ready(struct sb_pg_link *link)
{
	bool alive;

	link->dispatching = true;
	alive = PQconsumeInput(link->conn) == 1;
	/* Also of a dying connection: its last words may be answers. */
	dispatch_notifies(link);
	dispatch_results(link);
	/* Reading a result may have brought notifications along. */
	dispatch_notifies(link);
	link->dispatching = false;
	if (link->closing)
		finish_close(link);
	else if (link->dropped[0])
		return; /* the dropper comes next */
	else if (!alive || PQstatus(link->conn) == CONNECTION_BAD)
		sb_pg_link_lose(link, PQerrorMessage(link->conn));
	else
		sb_pg_link_flush(link);
}

void sb_pg_link_flush(struct sb_pg_link *link)
{
	int r, events;

	if (!link->conn || link->closing || link->dropped[0])
		return;
	r = PQflush(link->conn);
	if (r < 0) {
		sb_pg_link_drop(link, PQerrorMessage(link->conn));
		return;
	}
	events = UV_READABLE | (r == 1 ? UV_WRITABLE : 0);
	if (!link->poll || !uv_is_active((uv_handle_t *)link->poll)) {
		if (sb_pg_link_watch(link, events) < 0)
			sb_pg_link_drop(link, "cannot watch the socket");
	} else if (link->watched != events) { /* two system calls, also for the same ones */
		link->watched = events;
		(void)uv_poll_start(link->poll, events, on_poll);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct sb_pg_link *link = poll->data;

	(void)status; /* an error of the socket: libpq finds it and has the words */
	(void)events;
	if (!link)
		return;
	if (link->state == SB_PG_LINK_CONNECTING)
		sb_pg_link_step(link);
	else if (!link->dropped[0])
		sb_pg_link_ready(link);
}

static void on_dropper(uv_timer_t *timer)
{
	struct sb_pg_link *link = timer->data;
	char why[sizeof(link->dropped)];

	(void)snprintf(why, sizeof(why), "%s", link->dropped);
	sb_pg_link_lose(link, why);
}

/* ---- for the user ---- */

struct sb_pg_link *sb_pg_link_new(uv_loop_t *loop, const struct sb_pg_url *url,
				  const struct sb_pg_link_timing *timing,
				  struct sb_pg_link_user *user)
{
	struct sb_pg_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->loop = loop;
	link->url = url;
	link->timing = *timing;
	link->user = user;
	sb_backoff_init(&link->backoff, timing->backoff_min_ms, timing->backoff_max_ms);
	(void)uv_timer_init(loop, &link->timer);
	(void)uv_timer_init(loop, &link->dropper);
	link->open_timers = 2;
	link->timer.data = link->dropper.data = link;
	return link;
}

void sb_pg_link_start(struct sb_pg_link *link)
{
	link->state = SB_PG_LINK_WAITING;
	(void)uv_timer_start(&link->timer, sb_pg_link_on_timer, 0, 0);
}

PGconn *sb_pg_link_conn(struct sb_pg_link *link)
{
	return link->state == SB_PG_LINK_SETTING_UP || link->state == SB_PG_LINK_ESTABLISHED
		       ? link->conn
		       : NULL;
}

void sb_pg_link_established(struct sb_pg_link *link)
{
	if (link->state != SB_PG_LINK_SETTING_UP)
		return;
	link->state = SB_PG_LINK_ESTABLISHED;
	link->since_ms = uv_now(link->loop);
	(void)uv_timer_stop(&link->timer);
}

void sb_pg_link_drop(struct sb_pg_link *link, const char *why)
{
	if (!sb_pg_link_conn(link) || link->closing || link->dropped[0])
		return;
	(void)snprintf(link->dropped, sizeof(link->dropped), "%s", *why ? why : "dropped");
	(void)uv_timer_start(&link->dropper, on_dropper, 0, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct sb_pg_link *link = handle->data;
	struct sb_pg_link_user *user = link->user;
	void (*on_closed)(struct sb_pg_link_user *) = link->on_closed;

	if (--link->open_timers > 0)
		return;
	free(link);
	on_closed(user);
}

static void finish_close(struct sb_pg_link *link)
{
	sb_pg_link_abandon_lookup(link);
	sb_pg_link_disconnect(link);
	link->state = SB_PG_LINK_IDLE;
	uv_close((uv_handle_t *)&link->timer, on_timer_closed);
	uv_close((uv_handle_t *)&link->dropper, on_timer_closed);
}

void sb_pg_link_close(struct sb_pg_link *link, void (*on_closed)(struct sb_pg_link_user *user))
{
	if (!link || link->closing)
		return;
	link->closing = true;
	link->on_closed = on_closed;
	if (!link->dispatching)
		finish_close(link);
}
