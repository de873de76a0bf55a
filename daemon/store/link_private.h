/*
 * What link.c (life and bytes) and link_connect.c (rounds and attempts) share.
 */
#ifndef SB_STORE_LINK_PRIVATE_H
#define SB_STORE_LINK_PRIVATE_H

#include "daemon/store/link.h"
#include "protocol/backoff.h"
#include <netdb.h>
#include <stdbool.h>

enum sb_pg_link_state {
	SB_PG_LINK_IDLE,       /* before start, or closed */
	SB_PG_LINK_WAITING,    /* the timer begins the next round */
	SB_PG_LINK_LOOKING_UP, /* the timer ends the attempt, as in all states below but the last */
	SB_PG_LINK_CONNECTING,
	SB_PG_LINK_SETTING_UP,
	SB_PG_LINK_ESTABLISHED,
};

struct sb_pg_lookup {
	uv_getaddrinfo_t request;
	struct sb_pg_link *link; /* NULL: nobody waits for it any more */
};

struct sb_pg_link {
	struct sb_pg_link_user *user;
	uv_loop_t *loop;
	const struct sb_pg_url *url;
	struct sb_pg_link_timing timing;
	struct sb_backoff backoff;
	enum sb_pg_link_state state;
	uv_timer_t timer;
	uv_timer_t dropper; /* fires in the next turn after sb_pg_link_drop() */
	unsigned int open_timers;

	size_t preferred; /* the host that a round begins with: the last good one */
	size_t tried;	  /* hosts of this round */
	struct sb_pg_lookup *lookup;
	struct addrinfo *addresses, *next_address;

	PGconn *conn;
	uv_poll_t *poll;   /* made anew for each step of connecting */
	int watched;	   /* what it waits for, of uv_poll's events */
	uint64_t since_ms; /* established at */
	bool dispatching;  /* inside sb_pg_link_ready(): conn must stay */
	bool closing;
	char dropped[256]; /* why; "": not dropped */
	void (*on_closed)(struct sb_pg_link_user *user);
};

/* The host of the attempt, or of the connection, as it stands. */
const struct sb_pg_host *sb_pg_link_host(const struct sb_pg_link *link);

/* ---- link.c ---- */

/*
 * Watches the connection's socket for these events of uv_poll, by a new handle:
 * libpq may have changed it, even under the same number. 0, or libuv's error.
 */
int sb_pg_link_watch(struct sb_pg_link *link, int events);
void sb_pg_link_unwatch(struct sb_pg_link *link);
/* The socket of a made connection is ready: reads, tells the user, writes. */
void sb_pg_link_ready(struct sb_pg_link *link);
/* Lets go of connection and timers, and of nothing else. */
void sb_pg_link_disconnect(struct sb_pg_link *link);

/* ---- link_connect.c ---- */

/* One attempt, or an established connection, is over: tells the user, and goes on trying. */
void sb_pg_link_lose(struct sb_pg_link *link, const char *why);
/* The socket of a connection in the making is ready. */
void sb_pg_link_step(struct sb_pg_link *link);
/* The timer's callback: the next round, or the end of an attempt's time. */
void sb_pg_link_on_timer(uv_timer_t *timer);
/* Lets go of a look-up and of what it found. */
void sb_pg_link_abandon_lookup(struct sb_pg_link *link);

#endif
