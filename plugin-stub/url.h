/* The two addresses of the command line: the server's and the proxy's. */
#ifndef SB_PLUGIN_URL_H
#define SB_PLUGIN_URL_H

#include <stddef.h>
#include <stdint.h>

#define SB_HOST_MAX	  100 /* what libwebsockets' CONNECT takes, with room */
#define SB_PATH_MAX	  1024
#define SB_PROXY_AUTH_MAX 90 /* user:password; libwebsockets takes 95 */

#define SB_PATH_DEFAULT "/v1/session"

struct sb_url {
	char host[SB_HOST_MAX + 1]; /* without the brackets of an IPv6 literal */
	uint16_t port;
	char path[SB_PATH_MAX + 1]; /* with the query, if there is one */
};

struct sb_proxy {
	char host[SB_HOST_MAX + 1];
	uint16_t port;
	char auth[SB_PROXY_AUTH_MAX + 1]; /* user:password, percent-decoded; "" for none */
};

/*
 * wss://HOST[:PORT][/PATH] (RFC 6455 section 3). The port is 443 and the path
 * /v1/session if not given.
 *
 * 0; or -EINVAL with *ret_words, a constant that says what is wrong. ws://
 * is refused: a token never goes over the wire in clear.
 */
int sb_url_parse(const char *text, struct sb_url *ret_url, const char **ret_words);

/* HOST:PORT, an IPv6 literal in brackets (RFC 3986 section 3.2.2). Cut when `size` is too small. */
void sb_url_authority(const char *host, uint16_t port, char *text, size_t size);

/*
 * The path of another of the server's resources: `name` in place of the url's own
 * /v1/session, with whatever stands before it. Cut when `size` is too small.
 */
void sb_url_sibling(const struct sb_url *url, const char *name, char *path, size_t size);

/* http://[USER:PASSWORD@]HOST:PORT[/]. As for sb_url_parse(). */
int sb_proxy_parse(const char *text, struct sb_proxy *ret_proxy, const char **ret_words);

#endif
