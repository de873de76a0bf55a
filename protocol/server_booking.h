/* The booking inside of a booking message. Not for use outside of this library. */
#ifndef SB_PROTOCOL_SERVER_BOOKING_H
#define SB_PROTOCOL_SERVER_BOOKING_H

#include "protocol/json.h"
#include "protocol/message.h"

/*
 * Reads a booking; its strings and attendees live as long as `json`. 0; -EPROTO
 * with *ret_refusal; or -ENOMEM.
 */
int sb_booking_decode(struct sb_json *json, const json_t *object, struct sb_booking *ret_booking,
		      struct sb_refusal *ret_refusal);

#endif
