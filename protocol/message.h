/*
 * The messages of slotbell.v1: one JSON object per text frame, `type` first.
 *
 * Both directions are here, each as "bytes in, struct out" and back, so that
 * daemon, stub plug-in, tests and fuzzers share one reading of the protocol.
 * A decoder never trusts a length, a depth or a number; what it refuses it
 * refuses with words fit for the peer's error message, and these never repeat
 * what the peer sent.
 */
#ifndef SB_PROTOCOL_MESSAGE_H
#define SB_PROTOCOL_MESSAGE_H

#include "protocol/booking.h"
#include "protocol/cursor.h"
#include "protocol/limits.h"
#include "protocol/reason.h"
#include "protocol/text.h"
#include "protocol/token.h"

#define SB_SUBPROTOCOL "slotbell.v1"

/* Why a message was refused. */
struct sb_refusal {
	enum sb_reason reason;		/* BAD_MESSAGE or TOO_BIG */
	char detail[SB_DETAIL_MAX + 1]; /* for a person: "ack.cursor is not EPOCH.SEQ" */
};

/* ---- client to server ---- */

enum sb_mode { SB_MODE_LIVE, SB_MODE_ONCE };

struct sb_hello {
	bool has_token;
	char token[SB_TOKEN_MAX + 1]; /* as sent, if it fits; a longer one is refused */
	bool has_cursor;
	struct sb_cursor cursor;
	enum sb_mode mode;
	char client_name[SB_CLIENT_NAME_MAX + 1];	/* "" if not said */
	char client_version[SB_CLIENT_VERSION_MAX + 1]; /* "" if not said */
};

#define SB_FAILURES(X)          \
	X(CONFLICT, "conflict") \
	X(REJECTED, "rejected") \
	X(UNSUPPORTED, "unsupported")

enum sb_failure_reason {
#define SB_FAILURE_ENUM(name, word) SB_FAILURE_##name,
	SB_FAILURES(SB_FAILURE_ENUM)
#undef SB_FAILURE_ENUM
		SB_FAILURE_COUNT
};

/* Codes only: free text would tell of other appointments. */
const char *sb_failure_word(enum sb_failure_reason reason);

struct sb_failure {
	int64_t seq; /* at most the ack's own */
	enum sb_failure_reason reason;
};

struct sb_ack {
	struct sb_cursor cursor; /* cumulative: everything up to there is dealt with */
	size_t failed_count;
	struct sb_failure failed[SB_FAILED_MAX];
};

enum sb_client_type { SB_CLIENT_HELLO, SB_CLIENT_ACK, SB_CLIENT_PING };

struct sb_client_message {
	enum sb_client_type type;
	union {
		struct sb_hello hello;
		struct sb_ack ack;
	};
};

/* 0; or -EPROTO with *ret_refusal filled; or -ENOMEM. Unknown fields are ignored, an unknown type
 * is refused. */
int sb_client_message_decode(const char *bytes, size_t len, struct sb_client_message *ret_message,
			     struct sb_refusal *ret_refusal);
void sb_client_message_encode(struct sb_text *text, const struct sb_client_message *message);

/* ---- server to client ---- */

struct sb_welcome {
	const char *session;	 /* the session's name in log and `slotbellctl sessions` */
	const char *mailbox;	 /* its address */
	struct sb_cursor cursor; /* where the session starts */
	int64_t head;
	uint32_t window;
	uint32_t heartbeat_seconds;
	int64_t server_time_us; /* Unix time, microseconds */
	uint32_t reconnect_min_ms, reconnect_max_ms;
};

#define SB_RESETS(X)          \
	X(EXPIRED, "expired") \
	X(EPOCH, "epoch")     \
	X(UNKNOWN_CURSOR, "unknown-cursor")

enum sb_reset_reason {
#define SB_RESET_ENUM(name, word) SB_RESET_##name,
	SB_RESETS(SB_RESET_ENUM)
#undef SB_RESET_ENUM
		SB_RESET_COUNT
};

const char *sb_reset_word(enum sb_reset_reason reason);

void sb_welcome_encode(struct sb_text *text, const struct sb_welcome *welcome);
void sb_live_encode(struct sb_text *text, const struct sb_cursor *cursor);
void sb_acked_encode(struct sb_text *text, const struct sb_cursor *cursor);
void sb_reset_encode(struct sb_text *text, const struct sb_cursor *cursor,
		     enum sb_reset_reason reason);
void sb_goodbye_encode(struct sb_text *text, enum sb_reason reason, uint32_t reconnect_after_ms);
void sb_error_encode(struct sb_text *text, enum sb_reason code, const char *detail);
void sb_pong_encode(struct sb_text *text);

/*
 * The answer to GET /v1/reconnect: may I come in, when, and what did I miss.
 * Not a message of a session, and without `type`.
 */
#define SB_STANDINGS(X)                                                      \
	X(READY, "ready")	/* come in */                                \
	X(BUSY, "busy")		/* full */                                   \
	X(DRAINING, "draining") /* this daemon ends; another may be there */ \
	X(DEGRADED, "degraded") /* the database is away */

enum sb_standing {
#define SB_STANDING_ENUM(name, word) SB_STANDING_##name,
	SB_STANDINGS(SB_STANDING_ENUM)
#undef SB_STANDING_ENUM
		SB_STANDING_COUNT
};

const char *sb_standing_word(enum sb_standing state);

struct sb_reconnect {
	enum sb_standing state;
	uint32_t retry_after_ms; /* 0: now */
	bool has_device;	 /* asked with a token; else the rest is not told */
	struct sb_epoch epoch;
	int64_t head;	 /* the mailbox's newest seq */
	int64_t acked;	 /* the device's */
	int64_t pending; /* events between the two */
};

void sb_reconnect_encode(struct sb_text *text, const struct sb_reconnect *reconnect);

struct sb_attendee {
	const char *name;  /* may be "" */
	const char *email; /* never "" */
};

/* A booking as a client reads it. Strings live as long as the message; "" is "not given". */
struct sb_booking {
	const char *uid;
	int64_t version;
	bool has_starts_at;
	int64_t starts_at_s; /* Unix time, seconds */
	const char *starts_local, *time_zone;
	int duration_minutes; /* 0: not given */
	const char *subject;
	struct sb_attendee *attendees; /* owned by the message */
	size_t attendee_count;
	struct sb_attendee organizer; /* email "": not given */
	const char *location, *join_url, *description;
};

enum sb_server_type {
	SB_SERVER_WELCOME,
	SB_SERVER_BOOKING,
	SB_SERVER_LIVE,
	SB_SERVER_ACKED,
	SB_SERVER_RESET,
	SB_SERVER_GOODBYE,
	SB_SERVER_ERROR,
	SB_SERVER_PONG,
	SB_SERVER_UNKNOWN, /* a newer server's: to be ignored */
};

struct sb_server_message {
	enum sb_server_type type;
	struct sb_cursor cursor; /* welcome, booking, live, acked, reset */
	struct sb_welcome welcome;
	struct {
		enum sb_change change;
		bool unreadable; /* cursor and change are all there is; `detail` says why */
		int64_t published_at_us;
		struct sb_booking booking;
	} event;
	enum sb_reset_reason reset_reason;
	char word[64]; /* goodbye: its reason; error: its code; as sent, for a newer server may have
			  more */
	uint32_t reconnect_after_ms;	/* goodbye */
	char detail[SB_DETAIL_MAX + 1]; /* error; booking that is unreadable */
	void *root;			/* what the strings live in; jansson's */
};

/*
 * 0; -EPROTO with *ret_refusal; -ENOMEM; or -EBADMSG with *ret_refusal: an event
 * whose envelope (seq, cursor, change) can be read, and whose booking cannot.
 * Then *ret_message has the envelope: the event is acked as failed, and the
 * session goes on. After 0, sb_server_message_fini() frees what the strings
 * live in.
 */
int sb_server_message_decode(const char *bytes, size_t len, struct sb_server_message *ret_message,
			     struct sb_refusal *ret_refusal);
/* Accepts NULL and a message that was never filled (all zero). */
void sb_server_message_fini(struct sb_server_message *message);

#endif
