/*
 * The connection's life: wait, look up, connect, let the user set it up, carry
 * bytes, lose it, wait again. See link.h.
 */
#include "daemon/store/link.h"
#include "protocol/backoff.h"
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A connection that held this long was a success; a shorter one counts as one more failure. */
#define STEADY_MS 1000

enum state {
	IDLE,	    /* before start, or closed */
	WAITING,    /* the timer begins the next round */
	LOOKING_UP, /* the timer ends the attempt, as in all states below but the last */
	CONNECTING,
	SETTING_UP,
	ESTABLISHED,
};

struct lookup {
	uv_getaddrinfo_t request;
	struct sb_pg_link *link; /* NULL: nobody waits for it any more */
};

struct sb_pg_link {
	struct sb_pg_link_user *user;
	uv_loop_t *loop;
	const struct sb_pg_url *url;
	struct sb_pg_link_timing timing;
	struct sb_backoff backoff;
	enum state state;
	uv_timer_t timer;
	uv_timer_t dropper; /* fires in the next turn after sb_pg_link_drop() */
	unsigned int open_timers;

	size_t preferred; /* the host that a round begins with: the last good one */
	size_t tried;	  /* hosts of this round */
	struct lookup *lookup;
	struct addrinfo *addresses, *next_address;

	PGconn *conn;
	uv_poll_t *poll;      /* made anew for each step of connecting */
	uint64_t since_ms;    /* established at */
	uint64_t established; /* how often */
	bool dispatching;     /* inside our own on_ready(): conn must stay */
	bool closing;
	char dropped[256]; /* why; "": not dropped */
	void (*on_closed)(struct sb_pg_link_user *user);
};

static void next_host(struct sb_pg_link *link);
static void on_poll(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static const struct sb_pg_host *current_host(const struct sb_pg_link *link)
{
	return &link->url->hosts[(link->preferred + link->tried - 1) % link->url->host_count];
}

/* ---- what an attempt holds, and letting go of it ---- */

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void unwatch(struct sb_pg_link *link)
{
	if (!link->poll)
		return;
	link->poll->data = NULL;
	uv_close((uv_handle_t *)link->poll, on_poll_closed);
	link->poll = NULL;
}

/* Watches the connection's socket as it is now; libpq may have changed it since the last step. */
static int watch(struct sb_pg_link *link, int events)
{
	int fd = PQsocket(link->conn);
	int r;

	unwatch(link);
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
	return uv_poll_start(link->poll, events, on_poll);
}

static void forget_addresses(struct sb_pg_link *link)
{
	if (link->addresses)
		uv_freeaddrinfo(link->addresses);
	link->addresses = link->next_address = NULL;
}

static void disconnect(struct sb_pg_link *link)
{
	unwatch(link);
	if (link->conn)
		PQfinish(link->conn);
	link->conn = NULL;
	link->dropped[0] = '\0';
	(void)uv_timer_stop(&link->dropper);
	(void)uv_timer_stop(&link->timer);
}

/* ---- rounds ---- */

static void wait_for_next_round(struct sb_pg_link *link)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = (uint32_t)uv_hrtime();
	link->state = WAITING;
	link->tried = 0;
	(void)uv_timer_start(&link->timer, on_timer, sb_backoff_next(&link->backoff, random), 0);
}

/* One attempt, or an established connection, is over. */
static void lose(struct sb_pg_link *link, const char *why)
{
	bool established = link->state == ESTABLISHED;
	char words[320];

	(void)snprintf(words, sizeof(words), "%s: %s", sb_pg_host_label(current_host(link)), why);
	words[strcspn(words, "\n")] = '\0';
	if (established) {
		link->preferred = link->dropped[0] ? 0
						   : (link->preferred + link->tried - 1) %
							     link->url->host_count;
		if (uv_now(link->loop) - link->since_ms >= STEADY_MS)
			sb_backoff_reset(&link->backoff);
		forget_addresses(link);
	}
	disconnect(link);
	link->state = WAITING;
	link->user->ops->on_down(link->user, words);
	if (link->closing)
		return;
	if (established)
		wait_for_next_round(link);
	else
		next_host(link);
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

static void on_ready(struct sb_pg_link *link)
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
		lose(link, PQerrorMessage(link->conn));
	else
		sb_pg_link_flush(link);
}

void sb_pg_link_flush(struct sb_pg_link *link)
{
	int r;

	if (!link->conn || link->closing || link->dropped[0])
		return;
	r = PQflush(link->conn);
	if (r < 0) {
		sb_pg_link_drop(link, PQerrorMessage(link->conn));
		return;
	}
	if (!link->poll || !uv_is_active((uv_handle_t *)link->poll)) {
		if (watch(link, UV_READABLE | (r == 1 ? UV_WRITABLE : 0)) < 0)
			sb_pg_link_drop(link, "cannot watch the socket");
		return;
	}
	(void)uv_poll_start(link->poll, UV_READABLE | (r == 1 ? UV_WRITABLE : 0), on_poll);
}

/* ---- connecting ---- */

static void ignore_notice(void *data, const PGresult *result)
{
	/* Notices may quote data, and libpq's default prints them. */
	(void)data;
	(void)result;
}

static void connected(struct sb_pg_link *link)
{
	link->state = SETTING_UP;
	(void)PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
	if (PQsetnonblocking(link->conn, 1) < 0 || watch(link, UV_READABLE) < 0) {
		lose(link, "cannot watch the socket");
		return;
	}
	link->user->ops->on_connected(link->user);
}

static void step(struct sb_pg_link *link)
{
	int events = 0;

	unwatch(link);
	switch (PQconnectPoll(link->conn)) {
	case PGRES_POLLING_READING:
		events = UV_READABLE;
		break;
	case PGRES_POLLING_WRITING:
		events = UV_WRITABLE;
		break;
	case PGRES_POLLING_OK:
		connected(link);
		return;
	default:
		lose(link, PQerrorMessage(link->conn));
		return;
	}
	if (watch(link, events) < 0)
		lose(link, "cannot watch the socket");
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct sb_pg_link *link = poll->data;

	(void)status; /* an error of the socket: libpq finds it and has the words */
	(void)events;
	if (!link)
		return;
	if (link->state == CONNECTING)
		step(link);
	else if (!link->dropped[0])
		on_ready(link);
}

/* One attempt at one address, or at the host as it stands. */
static void attempt(struct sb_pg_link *link, const char *address)
{
	link->state = CONNECTING;
	(void)uv_timer_start(&link->timer, on_timer, link->timing.connect_ms, 0);
	link->conn = sb_pg_url_connect(link->url, current_host(link), address);
	if (!link->conn)
		lose(link, "out of memory");
	else if (PQstatus(link->conn) == CONNECTION_BAD)
		lose(link, PQerrorMessage(link->conn));
	else if (watch(link, UV_WRITABLE) < 0)
		lose(link, "cannot watch the socket");
}

static void attempt_next_address(struct sb_pg_link *link)
{
	char address[NI_MAXHOST];
	struct addrinfo *found = link->next_address;

	link->next_address = found->ai_next;
	if (getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
			NI_NUMERICHOST) != 0) {
		lose(link, "has an address that cannot be written down");
		return;
	}
	attempt(link, address);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct lookup *lookup = (struct lookup *)request;
	struct sb_pg_link *link = lookup->link;

	free(lookup);
	if (!link) {
		uv_freeaddrinfo(found);
		return;
	}
	link->lookup = NULL;
	if (status < 0) {
		lose(link, uv_strerror(status));
		return;
	}
	link->addresses = link->next_address = found;
	attempt_next_address(link);
}

static void abandon_lookup(struct sb_pg_link *link)
{
	if (!link->lookup)
		return;
	/* A look-up that has begun cannot be stopped; it frees itself. */
	link->lookup->link = NULL;
	(void)uv_cancel((uv_req_t *)&link->lookup->request);
	link->lookup = NULL;
}

static void look_up(struct sb_pg_link *link, const char *name)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	link->state = LOOKING_UP;
	(void)uv_timer_start(&link->timer, on_timer, link->timing.connect_ms, 0);
	if (!lookup ||
	    uv_getaddrinfo(link->loop, &lookup->request, on_looked_up, name, NULL, &hints) < 0) {
		free(lookup);
		lose(link, "out of memory");
		return;
	}
	lookup->link = link;
	link->lookup = lookup;
}

/* The next address of this host, or the next host, or the next round. */
static void next_host(struct sb_pg_link *link)
{
	const struct sb_pg_host *host;

	if (link->next_address) {
		attempt_next_address(link);
		return;
	}
	forget_addresses(link);
	if (link->tried == link->url->host_count) {
		wait_for_next_round(link);
		return;
	}
	link->tried++;
	host = current_host(link);
	if (sb_pg_host_needs_lookup(host))
		look_up(link, host->name);
	else
		attempt(link, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct sb_pg_link *link = timer->data;
	char words[64];

	if (link->state == WAITING) {
		next_host(link);
		return;
	}
	abandon_lookup(link);
	(void)snprintf(words, sizeof(words), "no answer within %u ms", link->timing.connect_ms);
	lose(link, words);
}

static void on_dropper(uv_timer_t *timer)
{
	struct sb_pg_link *link = timer->data;
	char why[sizeof(link->dropped)];

	(void)snprintf(why, sizeof(why), "%s", link->dropped);
	lose(link, why);
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
	link->state = WAITING;
	(void)uv_timer_start(&link->timer, on_timer, 0, 0);
}

PGconn *sb_pg_link_conn(struct sb_pg_link *link)
{
	return link->state == SETTING_UP || link->state == ESTABLISHED ? link->conn : NULL;
}

void sb_pg_link_established(struct sb_pg_link *link)
{
	if (link->state != SETTING_UP)
		return;
	link->state = ESTABLISHED;
	link->since_ms = uv_now(link->loop);
	link->established++;
	(void)uv_timer_stop(&link->timer);
}

uint64_t sb_pg_link_times_established(const struct sb_pg_link *link)
{
	return link->established;
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
	abandon_lookup(link);
	forget_addresses(link);
	disconnect(link);
	link->state = IDLE;
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
