/* What the parts of the client share: client.c (connections), client_end.c (their ends),
 * client_session.c (messages), client_settle.c (disk and acks). */
#ifndef SB_PLUGIN_CLIENT_PRIVATE_H
#define SB_PLUGIN_CLIENT_PRIVATE_H

#include "plugin-stub/client.h"

void sb_client_tell(struct sb_client *client, const struct sb_news *news);
void sb_client_trouble(struct sb_client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The next connection, now. */
void sb_client_connect(struct sb_client *client, uint64_t now_ms);
/* Mode once: are we through? */
void sb_client_look_whether_done(struct sb_client *client, uint64_t now_ms);
/* No more connections. */
void sb_client_end(struct sb_client *client, int exit_code);

/* Ask for the connection's end; nothing to do once it is asked for. */
void sb_client_close(struct sb_client *client, int code);
void sb_client_drop(struct sb_client *client);

/* Takes the message in `message` (leaves it empty): into the calendar now, settled later. */
void sb_client_take_booking(struct sb_client *client, struct sb_server_message *message);
/* What lay before this cursor cannot be had: go on from there, once that is on the disk. */
void sb_client_take_reset(struct sb_client *client, const struct sb_cursor *cursor);
/* The server goes on from `start` in an epoch of its own, without a reset: our cursor and failures
 * are of that epoch now. */
void sb_client_take_epoch(struct sb_client *client, const struct sb_cursor *start);
/* Flush, save, report what is pending. After trouble with the disk the connection is on its way
 * out. */
void sb_client_settle(struct sb_client *client);
/* Sends the newest cursor, with the failures that this session has not reported yet. */
void sb_client_ack(struct sb_client *client);
/* An acked came: what it covers is confirmed. */
void sb_client_confirm(struct sb_client *client, const struct sb_cursor *cursor);
/* Forgets what was pending without acking it. */
void sb_client_forget_pending(struct sb_client *client);

#endif
