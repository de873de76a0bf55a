/* Numeric addresses. */
#include "daemon/base/address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, in_port_t *ret_port)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > 65535)
		return -EINVAL;
	*ret_port = htons((in_port_t)port);
	return 0;
}

/* A link-local one may name its interface: fe80::1%eth0. */
static int parse_v6(char *host, struct sockaddr_in6 *v6)
{
	char *percent = strchr(host, '%');

	if (percent) {
		*percent = '\0';
		v6->sin6_scope_id = if_nametoindex(percent + 1);
		if (!v6->sin6_scope_id)
			return -EINVAL;
	}
	return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
}

int sb_address_parse(const char *text, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret_address;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 3] = "";
	size_t len = colon ? (size_t)(colon - text) : 0;

	memset(ret_address, 0, sizeof(*ret_address));
	if (!colon || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		v6->sin6_family = AF_INET6;
		return parse_v6(host + 1, v6) == 0 ? parse_port(colon + 1, &v6->sin6_port)
						   : -EINVAL;
	}
	v4->sin_family = AF_INET;
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? parse_port(colon + 1, &v4->sin_port)
							    : -EINVAL;
}
