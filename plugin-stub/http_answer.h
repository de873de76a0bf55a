/* What the server's HTTP answers say (docs/http.md): problems, how a device stands, events. */
#ifndef SB_PLUGIN_HTTP_ANSWER_H
#define SB_PLUGIN_HTTP_ANSWER_H

#include "plugin-stub/ending.h"
#include "plugin-stub/http.h"
#include "protocol/message.h"

/*
 * An answer that is not the one wanted, as an end of the connection. The close
 * code is that of the problem document's `reason`; without one it is not the
 * daemon that speaks (a proxy's 403 is no revoked device), and the code is 1006.
 */
void sb_http_answer_end(struct sb_ending *ending, const struct sb_http_answer *answer);

/* False when it is no answer of GET /v1/reconnect. */
bool sb_http_answer_reconnect(const struct sb_http_answer *answer,
			      struct sb_reconnect *ret_reconnect);
/* The end of a connection to a daemon that is not ready, with its hint. */
void sb_http_answer_not_ready(struct sb_ending *ending, const struct sb_reconnect *reconnect);

/*
 * Calls on_message for each of an answer's messages, until it returns false.
 * 0; -EPROTO when it is no answer of GET /v1/bookings; -ENOMEM.
 */
int sb_http_answer_messages(const struct sb_http_answer *answer,
			    bool (*on_message)(void *data, const char *bytes, size_t len),
			    void *data);

#endif
