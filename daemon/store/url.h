/*
 * A PostgreSQL URL taken apart: its hosts, which we try one at a time, and the
 * rest, which goes to libpq as it is.
 *
 * Why not leave the hosts to libpq: asynchronous libpq hangs for ever on a host
 * that accepts and stays mute, and its look-up of names blocks the loop.
 *
 * Never connects by itself to more than it is told to; never logs, and none of
 * its words repeat the URL, which may hold a password.
 */
#ifndef SB_STORE_URL_H
#define SB_STORE_URL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#define SB_PG_HOSTS_MAX 16

struct sb_pg_host {
	char *name;    /* a name, an address or a folder of sockets; NULL: libpq's default folder */
	char *address; /* the URL's hostaddr, or NULL */
	char *port;    /* or NULL: libpq's default */
};

struct sb_pg_url {
	PQconninfoOption *options;
	char *password;	   /* for a URL that has none; or NULL */
	size_t host_count; /* 1 to SB_PG_HOSTS_MAX */
	struct sb_pg_host hosts[SB_PG_HOSTS_MAX];
};

/*
 * Parses a URL or a key=value string. 0; -EINVAL with what is wrong, for a
 * person, in `why` (at most `size` bytes with terminator); or -ENOMEM.
 */
int sb_pg_url_parse(const char *text, struct sb_pg_url **ret_url, char *why, size_t size);

/* The password to use unless the URL has one: copied. NULL: none. 0 or -ENOMEM. */
int sb_pg_url_set_password(struct sb_pg_url *url, const char *password);

/* Accepts NULL. */
void sb_pg_url_free(struct sb_pg_url *url);

/* Whether connecting needs the name looked up first. */
bool sb_pg_host_needs_lookup(const struct sb_pg_host *host);

/* For a person's eyes: the name, the address, or "the local socket". Borrowed from `host`. */
const char *sb_pg_host_label(const struct sb_pg_host *host);

/*
 * Begins one asynchronous attempt (PQconnectStartParams) at one address.
 * `address` is numeric, or NULL: host's own. Returns libpq's connection, which
 * may be NULL (out of memory) or already bad; the caller owns it.
 *
 * target_session_attrs is not libpq's here: whoever sets the connection up
 * refuses a server that cannot be written to, and can say so in words.
 */
PGconn *sb_pg_url_connect(const struct sb_pg_url *url, const struct sb_pg_host *host,
			  const char *address);

#endif
