/* PROXY protocol version 2, byte for byte. */
#include "daemon/edge/door/proxy_header.h"
#include <string.h>

enum {
	AT_COMMAND = SB_PROXY_SIGNATURE_LEN,
	AT_FAMILY = 13, /* address family, transport */
	AT_LEN = 14,	/* of what follows, two bytes, big end first */
};

enum {
	FAMILY_UNSPECIFIED = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	FAMILY_UNIX = 0x31, /* a stream from a socket of the proxy's own machine */
};

void sb_proxy_header_init(struct sb_proxy_header *header)
{
	memset(header, 0, sizeof(*header));
}

uint32_t sb_proxy_header_wants(const struct sb_proxy_header *header)
{
	return (header->len ? header->len : SB_PROXY_FIXED) - header->got;
}

static uint32_t payload_len(const struct sb_proxy_header *header)
{
	return (uint32_t)header->bytes[AT_LEN] << 8 | header->bytes[AT_LEN + 1];
}

/* What the addresses of this family take; UINT32_MAX: we cannot have a connection of this family.
 */
static uint32_t addresses_len(uint8_t family)
{
	switch (family) {
	case FAMILY_UNSPECIFIED:
		return 0;
	case FAMILY_TCP4:
		return 12;
	case FAMILY_TCP6:
		return SB_PROXY_ADDRESSES;
	case FAMILY_UNIX:
		return 216;
	default:
		return UINT32_MAX; /* datagrams, and what is not specified */
	}
}

/* The fixed part, as far as it is there. */
static bool is_good(const struct sb_proxy_header *header)
{
	uint32_t got = header->got < SB_PROXY_FIXED ? header->got : SB_PROXY_FIXED;

	if (memcmp(header->bytes, SB_PROXY_SIGNATURE,
		   got < SB_PROXY_SIGNATURE_LEN ? got : SB_PROXY_SIGNATURE_LEN) != 0)
		return false;
	if (got > AT_COMMAND && header->bytes[AT_COMMAND] != SB_PROXY_COMMAND_LOCAL &&
	    header->bytes[AT_COMMAND] != SB_PROXY_COMMAND_PROXY)
		return false;
	if (got < SB_PROXY_FIXED)
		return true;
	if (payload_len(header) > SB_PROXY_PAYLOAD_MAX)
		return false;
	/* LOCAL has no address, whatever its family says. */
	return header->bytes[AT_COMMAND] == SB_PROXY_COMMAND_LOCAL ||
	       payload_len(header) >= addresses_len(header->bytes[AT_FAMILY]);
}

static enum sb_proxy_state conclude(const struct sb_proxy_header *header, struct sb_ip *ret_client)
{
	if (header->bytes[AT_COMMAND] == SB_PROXY_COMMAND_LOCAL)
		return SB_PROXY_LOCAL;
	switch (header->bytes[AT_FAMILY]) {
	case FAMILY_TCP4:
		*ret_client = sb_ip_of_v4(header->bytes + SB_PROXY_FIXED);
		return SB_PROXY_RELAYED;
	case FAMILY_TCP6:
		memcpy(ret_client->bytes, header->bytes + SB_PROXY_FIXED, 16);
		return SB_PROXY_RELAYED;
	default:
		return SB_PROXY_LOCAL;
	}
}

enum sb_proxy_state sb_proxy_header_feed(struct sb_proxy_header *header, const uint8_t *bytes,
					 uint32_t len, struct sb_ip *ret_client)
{
	/* Beyond the addresses are extensions (TLVs), which nobody here reads. */
	if (header->got < sizeof(header->bytes)) {
		size_t room = sizeof(header->bytes) - header->got;

		memcpy(header->bytes + header->got, bytes, len < room ? len : room);
	}
	header->got += len;
	if (!is_good(header))
		return SB_PROXY_BAD;
	if (header->got >= SB_PROXY_FIXED)
		header->len = SB_PROXY_FIXED + payload_len(header);
	if (sb_proxy_header_wants(header))
		return SB_PROXY_MORE;
	return conclude(header, ret_client);
}
