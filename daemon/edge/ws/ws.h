/* The websocket as a session's carrier. */
#ifndef SB_EDGE_WS_WS_H
#define SB_EDGE_WS_WS_H

#include "daemon/edge/connection.h"

/* Goes on as a websocket: 101 was sent. `token` of the Authorization header, borrowed; NULL:
 * none. 0, or -ENOMEM. */
int sb_ws_begin(struct sb_connection *connection, const char *token);

#endif
