/*
 * The PROXY protocol, version 2: who is behind the proxy that connected.
 *
 * The binary header that goes before everything else on a connection, as the
 * HAProxy project specifies it (doc/proxy-protocol.txt, section 2.2). Version 1
 * is refused, as is everything else that is not exactly this.
 *
 * Bytes in, an address out: no socket here. It is fed with as many bytes as it
 * wants, never more, so that nothing that comes after the header is taken.
 */
#ifndef SB_EDGE_PROXY_HEADER_H
#define SB_EDGE_PROXY_HEADER_H

#include "daemon/base/network.h"
#include "daemon/base/proxy_protocol.h"
#include <stdint.h>

/* Addresses and extensions, at most; a header may say 65535. HAProxy sends some hundred bytes. */
#define SB_PROXY_PAYLOAD_MAX 4096

/* Signature, version, family and length. */
/* Two IPv6 addresses and two ports: the longest that is looked at. */
#define SB_PROXY_ADDRESSES 36

struct sb_proxy_header {
	uint32_t got;
	uint32_t len; /* of the whole header, once its fixed part is there; else 0 */
	uint8_t bytes[SB_PROXY_FIXED + SB_PROXY_ADDRESSES];
};

enum sb_proxy_state {
	SB_PROXY_MORE,	  /* so far it is one */
	SB_PROXY_BAD,	  /* it is none */
	SB_PROXY_LOCAL,	  /* complete: the proxy speaks for itself, or does not say for whom */
	SB_PROXY_RELAYED, /* complete: somebody else's connection */
};

void sb_proxy_header_init(struct sb_proxy_header *header);

/* How many bytes may be fed at most; 0 when it is complete. */
uint32_t sb_proxy_header_wants(const struct sb_proxy_header *header);

/* At most as many as it wants. With SB_PROXY_RELAYED *ret_client is who connected to the proxy. */
enum sb_proxy_state sb_proxy_header_feed(struct sb_proxy_header *header, const uint8_t *bytes,
					 uint32_t len, struct sb_ip *ret_client);

#endif
