/*
 * IP addresses as sixteen bytes, and lists of networks of them.
 *
 * An IPv4 address is held as the IPv6 address that it is mapped to
 * (::ffff:192.0.2.1, RFC 4291 section 2.5.5.2), so that one client is one
 * client, whichever family the socket has.
 */
#ifndef SB_BASE_NETWORK_H
#define SB_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sb_ip {
	uint8_t bytes[16];
};

/* All zero where the socket address is of no IP family. */
struct sb_ip sb_ip_of(const struct sockaddr *address);
struct sb_ip sb_ip_of_v4(const uint8_t bytes[4]);
bool sb_ip_is_v4(const struct sb_ip *ip);

/* Who counts as one: an IPv4 address, or the /64 of an IPv6 address, for whoever has one of these
 * has all of them. */
struct sb_ip sb_ip_household(const struct sb_ip *ip);

/* "192.0.2.1", "2001:db8::1", and the prefix of a household: "2001:db8::/64". */
#define SB_IP_TEXT_MAX 64
void sb_ip_format_household(const struct sb_ip *household, char buffer[SB_IP_TEXT_MAX]);

/* ---- networks ---- */

#define SB_NETWORKS_MAX 64

struct sb_network {
	struct sb_ip ip;
	uint8_t bits; /* 0 to 128; of a mapped IPv4 network, 96 more than it is written with */
};

struct sb_networks {
	size_t count;
	struct sb_network list[SB_NETWORKS_MAX];
};

/*
 * Addresses and CIDR networks, separated by spaces or commas: "127.0.0.1,
 * 10.0.0.0/8 2001:db8::/32". 0, or -1 with words for the operator in `why`, which may be NULL, of
 * size 0.
 */
int sb_networks_parse(const char *text, struct sb_networks *ret_networks, char *why, size_t size);

/* ::/0 are all IPv6 addresses and no IPv4 one; these are 0.0.0.0/0. */
bool sb_networks_have(const struct sb_networks *networks, const struct sb_ip *ip);

#endif
