/* Reads the command line's addresses (RFC 3986). Strict: a typing mistake is said, not guessed
 * around. */
#include "plugin-stub/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool skip_prefix(const char **text, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncasecmp(*text, prefix, len) != 0)
		return false;
	*text += len;
	return true;
}

static bool is_clean(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= 0x20 || c >= 0x7f)
			return false;
	}
	return true;
}

static bool is_host(const char *host)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, host, &v6) == 1)
		return true;
	return *host &&
	       host[strspn(host,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] ==
		       '\0';
}

/* Digits only, 1 to 65535, the whole of `len` bytes. */
static bool parse_port(const char *text, size_t len, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (port == 0 || port > 65535)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* HOST[:PORT] or [IPV6][:PORT] in `len` bytes. A missing port leaves *port as it is. */
static const char *parse_authority(const char *text, size_t len, char host[SB_HOST_MAX + 1],
				   uint16_t *port)
{
	const char *end = text + len;
	const char *host_end;

	if (len > 0 && *text == '[') {
		text++;
		host_end = memchr(text, ']', (size_t)(end - text));
		if (!host_end)
			return "the ']' of the IPv6 address is missing";
	} else {
		host_end = memchr(text, ':', len);
		if (!host_end)
			host_end = end;
	}
	if (host_end - text > SB_HOST_MAX)
		return "the host name is too long";
	memcpy(host, text, (size_t)(host_end - text));
	host[host_end - text] = '\0';
	if (!is_host(host))
		return "there is no host name in it";
	if (host_end < end && *host_end == ']')
		host_end++;
	if (host_end == end)
		return NULL;
	if (*host_end != ':' || !parse_port(host_end + 1, (size_t)(end - host_end - 1), port))
		return "the port is no number from 1 to 65535";
	return NULL;
}

static const char *parse_url(const char *text, struct sb_url *url)
{
	const char *words;
	size_t len;

	if (!is_clean(text))
		return "it has spaces or bytes beyond ASCII in it";
	if (skip_prefix(&text, "ws://"))
		return "ws:// would send the token in clear; use wss://";
	if (!skip_prefix(&text, "wss://"))
		return "it does not begin with wss://";
	len = strcspn(text, "/?#");
	if (memchr(text, '@', len))
		return "no user name belongs in it; the token comes from --token-file";
	url->port = 443;
	words = parse_authority(text, len, url->host, &url->port);
	if (words)
		return words;
	text += len;
	if (strchr(text, '#'))
		return "a websocket address has no fragment";
	if (strlen(text) >= SB_PATH_MAX)
		return "the path is too long";
	if (!*text || !strcmp(text, "/"))
		snprintf(url->path, sizeof(url->path), "%s", SB_PATH_DEFAULT);
	else
		snprintf(url->path, sizeof(url->path), "%s%s", *text == '/' ? "" : "/", text);
	return NULL;
}

int sb_url_parse(const char *text, struct sb_url *ret_url, const char **ret_words)
{
	memset(ret_url, 0, sizeof(*ret_url));
	*ret_words = parse_url(text, ret_url);
	return *ret_words ? -EINVAL : 0;
}

void sb_url_authority(const char *host, uint16_t port, char *text, size_t size)
{
	snprintf(text, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

void sb_url_sibling(const struct sb_url *url, const char *name, char *path, size_t size)
{
	size_t len = strcspn(url->path, "?"), own = strlen(SB_PATH_DEFAULT);
	bool has_prefix = len > own && !memcmp(url->path + len - own, SB_PATH_DEFAULT, own);

	snprintf(path, size, "%.*s%s", has_prefix ? (int)(len - own) : 0, url->path, name);
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return found ? (int)(found - digits) : -1;
}

static bool decode_percent(const char *text, size_t len, char *to, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			if (i + 2 >= len || hex_digit(text[i + 1]) < 0 ||
			    hex_digit(text[i + 2]) < 0)
				return false;
			c = hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]);
			i += 2;
		}
		if (c < 0x20 || used + 1 >= size)
			return false;
		to[used++] = (char)c;
	}
	to[used] = '\0';
	return true;
}

static const char *parse_proxy(const char *text, struct sb_proxy *proxy)
{
	const char *at;
	size_t len;

	if (!is_clean(text))
		return "it has spaces or bytes beyond ASCII in it";
	if (!skip_prefix(&text, "http://"))
		return "it does not begin with http://";
	len = strcspn(text, "/?#");
	if (text[len] && strcmp(text + len, "/") != 0)
		return "a proxy's address has no path";
	at = memrchr(text, '@', len);
	if (at) {
		if (!memchr(text, ':', (size_t)(at - text)))
			return "a user name needs a password: http://USER:PASSWORD@HOST:PORT";
		if (!decode_percent(text, (size_t)(at - text), proxy->auth, sizeof(proxy->auth)))
			return "user name and password are too long, or a % in them is not "
			       "followed by two digits";
		len -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	proxy->port = 0;
	at = parse_authority(text, len, proxy->host, &proxy->port);
	if (at)
		return at;
	return proxy->port ? NULL : "it needs a port: http://HOST:PORT";
}

int sb_proxy_parse(const char *text, struct sb_proxy *ret_proxy, const char **ret_words)
{
	memset(ret_proxy, 0, sizeof(*ret_proxy));
	*ret_words = parse_proxy(text, ret_proxy);
	return *ret_words ? -EINVAL : 0;
}
