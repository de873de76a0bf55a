/* The URL taken apart, and one attempt made of its parts. See url.h. */
#include "daemon/store/url.h"
#include "daemon/store/conninfo.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYWORDS_MAX 64

/* Ours, whatever the URL says. */
static const char *const forced[][2] = {
	{"gssencmode", "disable"}, /* its negotiation blocks */
	{"target_session_attrs", "any"},
	{"client_encoding", "UTF8"},
};

/* Ours, unless the URL says otherwise: a dead peer is noticed within half a minute. */
static const char *const preset[][2] = {
	{"application_name", "slotbelld"}, {"keepalives", "1"},	      {"keepalives_idle", "10"},
	{"keepalives_interval", "5"},	   {"keepalives_count", "3"}, {"tcp_user_timeout", "20000"},
};

static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		if (strcmp(o->keyword, keyword) == 0)
			return o->val && *o->val ? o->val : NULL;
	}
	return NULL;
}

static size_t list_len(const char *list)
{
	size_t n = 1;

	if (!list)
		return 0;
	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* The list's nth element as a copy; an empty or absent one is NULL. */
static int list_get(const char *list, size_t n, char **ret_element)
{
	size_t len;

	*ret_element = NULL;
	if (!list)
		return 0;
	while (n-- > 0)
		list = strchr(list, ',') + 1;
	len = strcspn(list, ",");
	if (len == 0)
		return 0;
	*ret_element = strndup(list, len);
	return *ret_element ? 0 : -ENOMEM;
}

static int refuse(char *why, size_t size, const char *words)
{
	(void)snprintf(why, size, "%s", words);
	return -EINVAL;
}

static int parse_hosts(struct sb_pg_url *url, char *why, size_t size)
{
	const char *names = option(url->options, "host");
	const char *addresses = option(url->options, "hostaddr");
	const char *ports = option(url->options, "port");
	size_t count;
	int r = 0;

	/* libpq would take these from the environment, and then block on the name. */
	if (!names && !addresses) {
		names = getenv("PGHOST");
		addresses = getenv("PGHOSTADDR");
	}
	count = addresses ? list_len(addresses) : list_len(names);
	if (count == 0)
		count = 1;
	if (count > SB_PG_HOSTS_MAX)
		return refuse(why, size, "names more than 16 hosts");
	if (names && list_len(names) != count)
		return refuse(why, size, "has not as many hostaddr as host entries");
	if (ports && list_len(ports) != 1 && list_len(ports) != count)
		return refuse(why, size, "has not as many ports as hosts");
	for (size_t i = 0; i < count && r == 0; i++) {
		struct sb_pg_host *host = &url->hosts[i];

		url->host_count = i + 1;
		r = list_get(names, i, &host->name);
		if (r == 0)
			r = list_get(addresses, i, &host->address);
		if (r == 0)
			r = list_get(ports, list_len(ports) == 1 ? 0 : i, &host->port);
	}
	return r;
}

int sb_pg_url_parse(const char *text, struct sb_pg_url **ret_url, char *why, size_t size)
{
	struct sb_pg_url *url = calloc(1, sizeof(*url));
	char *message = NULL;
	int r;

	if (!url)
		return -ENOMEM;
	/* libpq's own message quotes the URL, password and all: it is thrown away. */
	url->options = PQconninfoParse(text, &message);
	if (!url->options)
		r = message ? refuse(why, size,
				     "is not a PostgreSQL URL "
				     "(postgresql://user@host:port/database)")
			    : -ENOMEM;
	else if (sb_conninfo_has_spilled(url->options))
		r = refuse(why, size,
			   "cannot be read: each of @ : / ? % within a name or password is "
			   "written %40 %3A %2F %3F %25");
	else if (option(url->options, "service"))
		r = refuse(why, size, "names a service file: write host, port and database out");
	else if (option(url->options, "replication"))
		r = refuse(why, size, "asks for a replication connection");
	else
		r = parse_hosts(url, why, size);
	PQfreemem(message);
	if (r < 0) {
		sb_pg_url_free(url);
		return r;
	}
	*ret_url = url;
	return 0;
}

int sb_pg_url_set_password(struct sb_pg_url *url, const char *password)
{
	char *copy = password ? strdup(password) : NULL;

	if (password && !copy)
		return -ENOMEM;
	url->password = copy;
	return 0;
}

void sb_pg_url_free(struct sb_pg_url *url)
{
	if (!url)
		return;
	if (url->password)
		explicit_bzero(url->password, strlen(url->password));
	free(url->password);
	for (size_t i = 0; i < url->host_count; i++) {
		free(url->hosts[i].name);
		free(url->hosts[i].address);
		free(url->hosts[i].port);
	}
	PQconninfoFree(url->options);
	free(url);
}

static bool is_folder(const char *name)
{
	return name[0] == '/' || name[0] == '@';
}

static bool is_address(const char *name)
{
	unsigned char binary[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1;
}

bool sb_pg_host_needs_lookup(const struct sb_pg_host *host)
{
	return !host->address && host->name && !is_folder(host->name) && !is_address(host->name);
}

const char *sb_pg_host_label(const struct sb_pg_host *host)
{
	if (host->name)
		return host->name;
	return host->address ? host->address : "the local socket";
}

PGconn *sb_pg_url_connect(const struct sb_pg_url *url, const struct sb_pg_host *host,
			  const char *address)
{
	const char *keywords[KEYWORDS_MAX + 1];
	const char *values[KEYWORDS_MAX + 1];
	size_t n = 0;

	/* Of two equal keywords libpq takes the later one; empty values count as not given. */
	for (size_t i = 0; i < sizeof(preset) / sizeof(preset[0]); i++, n++) {
		keywords[n] = preset[i][0];
		values[n] = preset[i][1];
	}
	keywords[n] = "password";
	values[n++] = url->password;
	for (const PQconninfoOption *o = url->options; o->keyword && n < KEYWORDS_MAX - 6; o++) {
		if (!o->val || !*o->val || strcmp(o->keyword, "host") == 0 ||
		    strcmp(o->keyword, "hostaddr") == 0 || strcmp(o->keyword, "port") == 0)
			continue;
		keywords[n] = o->keyword;
		values[n++] = o->val;
	}
	for (size_t i = 0; i < sizeof(forced) / sizeof(forced[0]); i++, n++) {
		keywords[n] = forced[i][0];
		values[n] = forced[i][1];
	}
	keywords[n] = "host";
	values[n++] = host->name;
	keywords[n] = "hostaddr";
	values[n++] = address ? address : host->address;
	keywords[n] = "port";
	values[n++] = host->port;
	keywords[n] = NULL;
	values[n] = NULL;
	return PQconnectStartParams(keywords, values, 0);
}
