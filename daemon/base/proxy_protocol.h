/*
 * The PROXY protocol, version 2, section 2.2: what the daemon reads
 * (edge/proxy_header.c) and slotbellctl doctor says where it is asked for.
 */
#ifndef SB_BASE_PROXY_PROTOCOL_H
#define SB_BASE_PROXY_PROTOCOL_H

#define SB_PROXY_SIGNATURE     "\r\n\r\n\0\r\nQUIT\n"
#define SB_PROXY_SIGNATURE_LEN 12
/* The byte behind it: version in the high half, command in the low one. */
#define SB_PROXY_COMMAND_LOCAL 0x20 /* a connection of the proxy's own, without an address */
#define SB_PROXY_COMMAND_PROXY 0x21
/* All of it up to the length of what follows: an address family and two bytes more. */
#define SB_PROXY_FIXED 16

#endif
