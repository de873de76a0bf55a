/*
 * A session: one live connection of one device, from hello to close.
 *
 *   greeting ──hello──► authenticating ──ok──► catching up ──head──► live
 *       └───────────────────┴──────────────────────┴─────────────────┴──► leaving ──► closed
 *
 * A session is a cursor and a few flags. What it owes its client is derived
 * from them when the carrier pulls; nothing is queued. Its inputs come from
 * three sides, each in a file of its own: the client (session_client.c), the
 * database (session_store.c), time and operators (hub.c).
 */
#ifndef SB_CORE_SESSION_H
#define SB_CORE_SESSION_H

#include "daemon/core/frame.h"
#include "daemon/core/link.h"
#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/reason.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_hub;
struct sb_session;

/*   name	     word             what it is waiting for */
#define SB_SESSION_STATES(X)                                                                  \
	X(GREETING, "greeting")		    /* no hello yet */                                \
	X(AUTHENTICATING, "authenticating") /* the database was asked who this is */          \
	X(CATCHING_UP, "catching-up")	    /* welcome; events up to head are on their way */ \
	X(LIVE, "live")			    /* events come as they are booked */              \
	X(LEAVING, "leaving")		    /* last words and the close wait to be pulled */  \
	X(CLOSED, "closed")		    /* the close was pulled; the connection will go */

enum sb_session_state {
#define SB_SESSION_STATE_ENUM(name, word) SB_SESSION_##name,
	SB_SESSION_STATES(SB_SESSION_STATE_ENUM)
#undef SB_SESSION_STATE_ENUM
		SB_SESSION_STATE_COUNT
};

/*
 * A connection was accepted: it has the hub's hello time to say hello.
 * Borrows `link` until sb_session_gone(). NULL when out of memory. When the
 * hub is full or drains, the session only lives to say so.
 */
struct sb_session *sb_session_new(struct sb_hub *hub, struct sb_link *link);

/* The connection is gone: frees the session. Accepts NULL. */
void sb_session_gone(struct sb_session *session);

/* ---- what the client did ---- */

/* What it is there for. All but LIVE may stand beside a live session of their device. */
enum sb_role {
	SB_ROLE_LIVE, /* everything, as it is booked; takes the device's live session over */
	SB_ROLE_ONCE, /* catches up, and leaves when its ack is saved */
	SB_ROLE_POLL, /* takes what is there, or waits a while for something, and leaves */
	SB_ROLE_ACK,  /* brings an ack, and leaves when it is saved */
	SB_ROLE_ASK,  /* asks how its device stands, and leaves */
};

/* What a client wants, however it said so: by hello, or by an HTTP request. */
struct sb_opening {
	enum sb_role role;
	bool has_cursor; /* counts as an ack of everything up to there */
	struct sb_cursor cursor;
	uint32_t limit;		  /* POLL: events at most, up to the window; 0: the window */
	uint32_t wait_seconds;	  /* POLL: 0 to SB_POLL_WAIT_MAX_SECONDS */
	const struct sb_ack *ack; /* ACK: instead of the cursor; borrowed until return */
};

/* Says who and what for, once; the token came before. */
void sb_session_open(struct sb_session *session, const struct sb_opening *opening);

/* The token of the Authorization header, before anything is received. `text` is borrowed until
 * return. */
void sb_session_header_token(struct sb_session *session, const char *text, size_t len);

/* One whole text message; borrowed until return. */
void sb_session_receive(struct sb_session *session, const char *bytes, size_t len);

/* It broke the protocol below the messages (a binary frame, a frame too big): an error with
 * `detail`, then the close. */
void sb_session_refuse(struct sb_session *session, enum sb_reason reason, const char *detail);

/* It closed by itself and said why: BYE, GOING_AWAY, or LOST for anything else. */
void sb_session_left(struct sb_session *session, enum sb_reason reason);

/* Something of it was heard (a pong, say): it is alive. */
void sb_session_heard(struct sb_session *session);

/* ---- what the carrier takes ---- */

enum sb_pull {
	SB_PULL_NONE,  /* nothing now; the link is woken when that changes */
	SB_PULL_FRAME, /* send this message; one reference is the caller's */
	SB_PULL_PING,  /* send a protocol ping */
	SB_PULL_CLOSE, /* close with sb_session_reason(); nothing follows */
};

enum sb_pull sb_session_pull(struct sb_session *session, struct sb_frame **ret_frame);

/* Why it closes; SB_REASON_LOST while it does not. */
enum sb_reason sb_session_reason(const struct sb_session *session);

/* When its client should come back, in ms: what its goodbye says; 0 if that says nothing. */
uint32_t sb_session_return_ms(const struct sb_session *session);

/* Whether its token was good, be it open still or not. */
bool sb_session_is_authenticated(const struct sb_session *session);

/* ---- what the daemon wants ---- */

/* Say goodbye (where the reason asks for it) and close. The first reason stays. */
void sb_session_close(struct sb_session *session, enum sb_reason reason);

/* The same, for a reason that says goodbye, with a time to come back that the caller knows. */
void sb_session_send_away(struct sb_session *session, enum sb_reason reason, uint32_t return_ms);

/* Its name in welcome, log and `slotbellctl sessions`. */
void sb_session_name(const struct sb_session *session, char buffer[SB_SESSION_NAME_MAX + 1]);

#endif
