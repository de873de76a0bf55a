/* Addresses and networks: written, compared. */
#include "daemon/base/network.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96
/* The longest there is, and a little that makes it none. */
#define WORD_MAX 64

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct sb_ip sb_ip_of_v4(const uint8_t bytes[4])
{
	struct sb_ip ip;

	memcpy(ip.bytes, mapped, sizeof(mapped));
	memcpy(ip.bytes + sizeof(mapped), bytes, 4);
	return ip;
}

struct sb_ip sb_ip_of(const struct sockaddr *address)
{
	struct sb_ip ip = {0};

	if (address->sa_family == AF_INET)
		return sb_ip_of_v4(
			(const uint8_t *)&((const struct sockaddr_in *)(const void *)address)
				->sin_addr);
	if (address->sa_family == AF_INET6)
		memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
		       16);
	return ip;
}

bool sb_ip_is_v4(const struct sb_ip *ip)
{
	return !memcmp(ip->bytes, mapped, sizeof(mapped));
}

struct sb_ip sb_ip_household(const struct sb_ip *ip)
{
	struct sb_ip household = *ip;

	if (!sb_ip_is_v4(ip))
		memset(household.bytes + 8, 0, 8);
	return household;
}

void sb_ip_format_household(const struct sb_ip *household, char buffer[SB_IP_TEXT_MAX])
{
	if (sb_ip_is_v4(household)) {
		(void)inet_ntop(AF_INET, household->bytes + sizeof(mapped), buffer, SB_IP_TEXT_MAX);
		return;
	}
	(void)inet_ntop(AF_INET6, household->bytes, buffer, SB_IP_TEXT_MAX);
	memcpy(buffer + strlen(buffer), "/64", sizeof("/64"));
}

/* ---- networks ---- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return !rest || !((a[bytes] ^ b[bytes]) >> (8 - rest));
}

static bool has_bits_beyond(const struct sb_network *network)
{
	static const uint8_t zero[16];
	struct sb_ip rest = network->ip;

	for (unsigned int bit = 0; bit < network->bits; bit++)
		rest.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return memcmp(rest.bytes, zero, sizeof(zero)) != 0;
}

/* "ADDRESS" or "ADDRESS/BITS"; what is wrong with it, or NULL. */
static const char *parse_one(char *word, struct sb_network *ret_network)
{
	char *slash = strchr(word, '/'), *end;
	uint8_t v4[4];
	unsigned int offset = 0;
	unsigned long bits = 128;

	if (slash)
		*slash = '\0';
	if (inet_pton(AF_INET, word, v4) == 1) {
		ret_network->ip = sb_ip_of_v4(v4);
		offset = MAPPED_BITS;
	} else if (inet_pton(AF_INET6, word, ret_network->ip.bytes) != 1) {
		return "is neither ADDRESS nor ADDRESS/BITS, as in 10.0.0.0/8 or 2001:db8::1";
	}
	if (slash) {
		/* One spelling: no sign, no blank, no leading zero. */
		bits = strtoul(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end || (slash[1] == '0' && slash[2]) ||
		    bits > 128 - offset)
			return offset ? "has bits that are not 0 to 32"
				      : "has bits that are not 0 to 128";
		bits += offset;
	}
	ret_network->bits = (uint8_t)bits;
	return has_bits_beyond(ret_network) ? "is an address within its network; write the "
					      "network with zeros at its end"
					    : NULL;
}

int sb_networks_parse(const char *text, struct sb_networks *ret_networks, char *why, size_t size)
{
	const char *separators = ", \t", *between = "";
	size_t told = 0;
	bool bad = false;

	ret_networks->count = 0;
	for (text += strspn(text, separators); *text; text += strspn(text, separators)) {
		size_t len = strcspn(text, separators);
		struct sb_network network = {0};
		char word[WORD_MAX];
		const char *problem = "is too long for an address";

		if (ret_networks->count == SB_NETWORKS_MAX) {
			(void)snprintf(why, size, "has more than %d networks", SB_NETWORKS_MAX);
			return -1;
		}
		if (len < sizeof(word)) {
			memcpy(word, text, len);
			word[len] = '\0';
			problem = parse_one(word, &network);
		}
		bad |= problem != NULL;
		if (!problem) {
			ret_networks->list[ret_networks->count++] = network;
		} else if (told < size) { /* what does not fit is told the next time */
			told += (size_t)snprintf(why + told, size - told, "%s%.*s %s", between,
						 (int)len, text, problem);
			between = "; ";
		}
		text += len;
	}
	return bad ? -1 : 0;
}

bool sb_networks_have(const struct sb_networks *networks, const struct sb_ip *ip)
{
	for (size_t i = 0; i < networks->count; i++) {
		const struct sb_network *network = &networks->list[i];

		/* A prefix shorter than the mapping's own would take IPv4 in by accident. */
		if (network->bits < MAPPED_BITS && sb_ip_is_v4(ip))
			continue;
		if (same_bits(network->ip.bytes, ip->bytes, network->bits))
			return true;
	}
	return false;
}
