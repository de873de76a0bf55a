/*
 * Why a session ends: one list gives close code, word on the wire, label in
 * metrics and word in the log.
 *
 * Codes below 4000 are RFC 6455 section 7.4.1 and the IANA registry; those
 * from 4000 on are ours (section 7.4.2, private use).
 */
#ifndef SB_PROTOCOL_REASON_H
#define SB_PROTOCOL_REASON_H

#include <stdbool.h>

/*   name           code  word             goodbye before it, with reconnect_after_ms */
#define SB_REASONS(X)                                                                             \
	X(BYE, 1000, "bye", false)		     /* done: mode once, or the client left */    \
	X(GOING_AWAY, 1001, "going-away", false)     /* the client's page or process goes */      \
	X(BAD_FRAME, 1002, "bad-frame", false)	     /* a frame that RFC 6455 forbids */          \
	X(BAD_ENCODING, 1007, "bad-encoding", false) /* a close whose reason is not UTF-8 */      \
	X(TOO_BIG, 1009, "too-big", false)	     /* a message over SB_CLIENT_MESSAGE_MAX */   \
	X(DRAINING, 1012, "draining", true)	     /* this daemon ends or restarts */           \
	X(BUSY, 1013, "busy", true)		     /* full; try again later */                  \
	X(DEGRADED, 1013, "degraded", true)	     /* the database is away */                   \
	X(STALLED, 1013, "stalled", true)	     /* events sent, none acked for minutes */    \
	X(BAD_MESSAGE, 4400, "bad-message", false)   /* an error message says what was bad */     \
	X(BAD_TOKEN, 4401, "bad-token", false)	     /* missing, malformed, unknown or wrong */   \
	X(REVOKED, 4403, "revoked", false)	     /* the device was revoked */                 \
	X(EXPIRED, 4403, "expired", false)	     /* the token's time is over */               \
	X(NO_HELLO, 4408, "no-hello", false)	     /* no hello in time */                       \
	X(REPLACED, 4409, "replaced", false)	     /* a newer session of this device */         \
	X(TOO_MANY, 4429, "too-many", true)	     /* too many connections from this address */ \
	X(LOST, 1006, "lost", false)		     /* the connection vanished; never sent */

enum sb_reason {
#define SB_REASON_ENUM(name, code, word, goodbye) SB_REASON_##name,
	SB_REASONS(SB_REASON_ENUM)
#undef SB_REASON_ENUM
		SB_REASON_COUNT
};

/* The websocket close code. 1006 (RFC 6455 section 7.1.5) is never sent. */
int sb_reason_close_code(enum sb_reason reason);

/* The word for wire, metrics and log: a constant, never NULL. */
const char *sb_reason_word(enum sb_reason reason);

/* Whether a goodbye with reconnect_after_ms goes before this close, since a close carries no delay.
 */
bool sb_reason_says_goodbye(enum sb_reason reason);

#endif
