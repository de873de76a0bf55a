/*
 * A websocket client (RFC 6455) of the smallest kind: messages of one frame,
 * one after the other, over a wire. Enough to be a plug-in for a minute.
 */
#ifndef SB_CTL_WEBSOCKET_H
#define SB_CTL_WEBSOCKET_H

#include "daemon/ctl/wire.h"

#define SB_WEBSOCKET_MESSAGE_MAX 65536

/* Upgrades the connection. False: wire->why says why, with the server's status if it has one. */
bool sb_websocket_open(struct sb_wire *wire, const char *host, const char *path,
		       const char *protocol);
bool sb_websocket_send(struct sb_wire *wire, const char *text, size_t len);
/*
 * The next text message, with a terminator, to be freed. NULL: wire->why, which
 * names the close code if the server closed. Pings are answered on the way.
 */
char *sb_websocket_receive(struct sb_wire *wire, size_t *ret_len);
/* Says goodbye (1000); does not wait for the answer. */
void sb_websocket_bye(struct sb_wire *wire);

#endif
