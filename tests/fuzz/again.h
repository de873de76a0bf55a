/*
 * A server message that was read, written again: for tests that read what they
 * wrote. The daemon never does this; it writes from the database's rows.
 */
#ifndef SB_FUZZ_AGAIN_H
#define SB_FUZZ_AGAIN_H

#include "protocol/message.h"

/* Appends the message as the daemon would write it; an unknown type as {"type":"unknown"}. */
void again_server_message(struct sb_text *text, const struct sb_server_message *message);

#endif
