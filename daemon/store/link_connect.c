/*
 * How a connection comes about: wait, look a name up, connect step by step, let
 * the user set it up; and where it goes on after a loss. See link.h.
 */
#include "daemon/store/link_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A connection that held this long was a success; a shorter one counts as one more failure. */
#define STEADY_MS 1000

static void next_host(struct sb_pg_link *link);

static void forget_addresses(struct sb_pg_link *link)
{
	if (link->addresses)
		uv_freeaddrinfo(link->addresses);
	link->addresses = link->next_address = NULL;
}

/* ---- rounds ---- */

static void wait_for_next_round(struct sb_pg_link *link)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = (uint32_t)uv_hrtime();
	link->state = SB_PG_LINK_WAITING;
	link->tried = 0;
	(void)uv_timer_start(&link->timer, sb_pg_link_on_timer,
			     sb_backoff_next(&link->backoff, random), 0);
}

void sb_pg_link_lose(struct sb_pg_link *link, const char *why)
{
	bool established = link->state == SB_PG_LINK_ESTABLISHED;
	char words[320];

	(void)snprintf(words, sizeof(words), "%s: %s", sb_pg_host_label(sb_pg_link_host(link)),
		       why);
	words[strcspn(words, "\n")] = '\0';
	if (established) {
		link->preferred = link->dropped[0] ? 0
						   : (link->preferred + link->tried - 1) %
							     link->url->host_count;
		if (uv_now(link->loop) - link->since_ms >= STEADY_MS)
			sb_backoff_reset(&link->backoff);
		forget_addresses(link);
	}
	sb_pg_link_disconnect(link);
	link->state = SB_PG_LINK_WAITING;
	link->user->ops->on_down(link->user, words);
	if (link->closing)
		return;
	if (established)
		wait_for_next_round(link);
	else
		next_host(link);
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
	link->state = SB_PG_LINK_SETTING_UP;
	(void)PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
	if (PQsetnonblocking(link->conn, 1) < 0 || sb_pg_link_watch(link, UV_READABLE) < 0) {
		sb_pg_link_lose(link, "cannot watch the socket");
		return;
	}
	link->user->ops->on_connected(link->user);
}

void sb_pg_link_step(struct sb_pg_link *link)
{
	int events = 0;

	sb_pg_link_unwatch(link);
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
		sb_pg_link_lose(link, PQerrorMessage(link->conn));
		return;
	}
	if (sb_pg_link_watch(link, events) < 0)
		sb_pg_link_lose(link, "cannot watch the socket");
}

/* One attempt at one address, or at the host as it stands. */
static void attempt(struct sb_pg_link *link, const char *address)
{
	link->state = SB_PG_LINK_CONNECTING;
	(void)uv_timer_start(&link->timer, sb_pg_link_on_timer, link->timing.connect_ms, 0);
	link->conn = sb_pg_url_connect(link->url, sb_pg_link_host(link), address);
	if (!link->conn)
		sb_pg_link_lose(link, "out of memory");
	else if (PQstatus(link->conn) == CONNECTION_BAD)
		sb_pg_link_lose(link, PQerrorMessage(link->conn));
	else if (sb_pg_link_watch(link, UV_WRITABLE) < 0)
		sb_pg_link_lose(link, "cannot watch the socket");
}

static void attempt_next_address(struct sb_pg_link *link)
{
	char address[NI_MAXHOST];
	struct addrinfo *found = link->next_address;

	link->next_address = found->ai_next;
	if (getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
			NI_NUMERICHOST) != 0) {
		sb_pg_link_lose(link, "has an address that cannot be written down");
		return;
	}
	attempt(link, address);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct sb_pg_lookup *lookup = (struct sb_pg_lookup *)request;
	struct sb_pg_link *link = lookup->link;

	free(lookup);
	if (!link) {
		uv_freeaddrinfo(found);
		return;
	}
	link->lookup = NULL;
	if (status < 0) {
		sb_pg_link_lose(link, uv_strerror(status));
		return;
	}
	link->addresses = link->next_address = found;
	attempt_next_address(link);
}

void sb_pg_link_abandon_lookup(struct sb_pg_link *link)
{
	forget_addresses(link);
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
	struct sb_pg_lookup *lookup = calloc(1, sizeof(*lookup));

	link->state = SB_PG_LINK_LOOKING_UP;
	(void)uv_timer_start(&link->timer, sb_pg_link_on_timer, link->timing.connect_ms, 0);
	if (!lookup ||
	    uv_getaddrinfo(link->loop, &lookup->request, on_looked_up, name, NULL, &hints) < 0) {
		free(lookup);
		sb_pg_link_lose(link, "out of memory");
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
	host = sb_pg_link_host(link);
	if (sb_pg_host_needs_lookup(host))
		look_up(link, host->name);
	else
		attempt(link, NULL);
}

void sb_pg_link_on_timer(uv_timer_t *timer)
{
	struct sb_pg_link *link = timer->data;
	char words[64];

	if (link->state == SB_PG_LINK_WAITING) {
		next_host(link);
		return;
	}
	sb_pg_link_abandon_lookup(link);
	(void)snprintf(words, sizeof(words), "no answer within %u ms", link->timing.connect_ms);
	sb_pg_link_lose(link, words);
}
