/* The inside of a session, for core's own files. */
#ifndef SB_CORE_SESSION_PRIVATE_H
#define SB_CORE_SESSION_PRIVATE_H

#include "daemon/core/deadline.h"
#include "daemon/core/session.h"
#include "daemon/core/store.h"
#include "protocol/message.h"

/* What is known before the database has answered; freed then. */
struct sb_greeting {
	int64_t device_id; /* 0: no token yet */
	uint8_t proof[SB_TOKEN_PROOF_BYTES];
	bool has_cursor;
	struct sb_cursor cursor;
	uint64_t unheard; /* hub->unheard when the database was asked */
};

struct sb_session {
	struct sb_hub *hub;
	struct sb_link *link;
	struct sb_mailbox *mailbox;			/* NULL before welcome */
	struct sb_session *mailbox_prev, *mailbox_next; /* in mailbox->sessions */
	struct sb_session *device_next; /* others of the same device; see devices.h */
	struct sb_greeting *greeting;	/* NULL after the database answered */
	struct sb_frame *first;		/* the welcome, or the last words, until pulled */
	struct sb_failure *failures;	/* to be saved with the next ack */
	struct sb_sent_log *sent_log;	/* see sent.h; NULL: nothing is unacked */
	struct sb_deadline deadline;	/* hello, authentication, heartbeat or close */
	struct sb_session *prev, *next; /* in hub->sessions */

	uint64_t id;
	int64_t device_id;  /* 0 before its token was found good */
	int64_t session_no; /* of the device when this session took over; mode once: when it came */
	int64_t expires_at_s; /* Unix time; 0: never */

	struct sb_epoch epoch; /* of the cursors this session speaks */
	int64_t sent;	       /* the last seq sent, or where it started */
	int64_t acked;	       /* the last seq that the client has dealt with */
	int64_t reset_seq;     /* where the last reset led: what lies before counts as dealt with */
	int64_t saving;	       /* what the ack in flight says */
	int64_t saving_failed; /* the lowest seq that it says has failed; 0: none */
	int64_t saved;	       /* what the database has */
	uint64_t progress_ms;  /* when events were first unacked, or last acked */
	int64_t followed_seq;  /* measured until its ack is saved; 0: none */
	int64_t followed_us;   /* when that one was published */

	uint32_t return_ms; /* what its goodbye said */
	uint16_t failure_count;
	uint16_t limit;	      /* events unacked or of one poll, at most */
	uint8_t wait_seconds; /* of a poll */
	uint8_t role;	      /* enum sb_role */
	uint8_t state;	      /* enum sb_session_state */
	uint8_t reason;	      /* enum sb_reason */
	uint8_t reset_reason; /* enum sb_reset_reason */

	bool save_asked : 1;  /* an ack is in flight to the database */
	bool save_silent : 1; /* only hello's cursor is: no ack of this session waits for it */
	bool asked : 1;	      /* a fetch in flight was asked with this session there */
	bool settled : 1;     /* a fetch asked after it joined was answered */
	bool on_run : 1;      /* counted among the run's takers */
	bool asleep : 1;      /* did not take a run in time; wakes by pulling */
	bool owes_reset : 1;  /* a reset is to be sent */
	bool reset_open : 1;  /* a reset was sent or is to be, and is not acked */
	bool owes_acked : 1;  /* an acked is to be sent */
	bool owes_pong : 1;   /* the client's ping is to be answered */
	bool owes_ping : 1;   /* a heartbeat is to be sent */
	bool awaits_echo : 1; /* a heartbeat was sent, nothing was heard since */
	bool gave : 1;	      /* a poll: something was pulled that its client must see */
	bool wait_over : 1;   /* a poll: nothing came in its time */
	bool is_on : 1;	      /* the store was told that it is there */
};

/* An ack of the client may name more than these are acked: whether one more event may go out. */
bool sb_session_has_room(const struct sb_session *session);

/* Whether it is sent events at all. */
static inline bool sb_session_takes_events(const struct sb_session *session)
{
	return session->role <= SB_ROLE_POLL;
}

/* The database has everything of its device up to `seq` of its epoch, by whatever way it came. */
void sb_session_confirm(struct sb_session *session, int64_t seq);

/* A poll's time is over. */
void sb_session_wait_over(struct sb_session *session);

/* Tells the store that this live session is there, or no more. */
void sb_session_tell_presence(struct sb_session *session, bool on);

/* There is something to pull. */
void sb_session_wake(struct sb_session *session);

/* The mailbox's numbering is news: go on in the new epoch, or owe a reset. */
void sb_session_follow(struct sb_session *session);

/* Start over at `seq` of the session's epoch, and tell the client why. */
void sb_session_reset(struct sb_session *session, int64_t seq, enum sb_reset_reason reason);

/* Says in the log that this session has a seq beyond head, of the epoch that there still is. */
void sb_session_tell_beyond(const struct sb_session *session, int64_t seq);

/* Ask the store to save the newest ack, unless it is saved or one is in flight. */
void sb_session_save(struct sb_session *session);

/* The session goes: asks for what is not even in flight yet. What the client said is kept, whoever
 * hears it. */
void sb_session_save_last(struct sb_session *session);
/*
 * Whether a failure of what is saved already is on its way to the database:
 * `acked` now would tell its client to forget it.
 */
bool sb_session_keeps_failures_back(const struct sb_session *session);

/* Up to `seq` the numbers hold no event (the jump between two epochs): go on from there. */
void sb_session_skip(struct sb_session *session, int64_t seq);

/* Leaves with these last words (takes the reference; may be NULL) before the close. */
void sb_session_leave(struct sb_session *session, enum sb_reason reason,
		      struct sb_frame *last_words);

/* How its device stands, and the daemon: the last words of an ASK. `answer` NULL: the daemon only.
 */
void sb_session_tell(struct sb_session *session, const struct sb_authenticated *answer);

/* ---- measure.c ---- */

/* The only way to another state. */
void sb_session_enter(struct sb_session *session, enum sb_session_state state);
/* This event goes out; session->sent is its seq. */
void sb_session_measure_sent(struct sb_session *session, const struct sb_frame *frame);
/* session->saved has grown. */
void sb_session_measure_saved(struct sb_session *session);

/* It begins, and so many events wait for it. */
void sb_session_measure_catch_up(const struct sb_session *session, int64_t events);

/* ---- answers of the store, from hub.c ---- */
void sb_session_authenticated(struct sb_session *session, const struct sb_authenticated *answer);
void sb_session_ack_saved(struct sb_session *session, const struct sb_ack_saved *answer);

/* ---- time, from hub.c ---- */
void sb_session_heartbeat(struct sb_session *session);

#endif
