/*
 * When a session's events were sent, for as long as they are not acked: for
 * their receipts. There only while something is unacked, so a session at rest
 * pays a pointer for it.
 *
 * The times go to the store with the ack that covers them. Where no ack comes
 * for SB_SENT_LATE_MS, or the session ends, they are told on their own, so that
 * who asks where a booking is learns that it was sent.
 */
#ifndef SB_CORE_SENT_H
#define SB_CORE_SENT_H

#include "daemon/core/deadline.h"
#include <stddef.h>
#include <stdint.h>

#define SB_SENT_LATE_MS 2000

struct sb_hub;
struct sb_session;
struct sb_save_ack;

struct sb_sent_log {
	struct sb_deadline late; /* in hub->lates */
	struct sb_session *session;
	int64_t first; /* the seq of us[0]; the others follow it without a hole */
	uint16_t count, size;
	uint16_t told; /* so many of them, from the first on, the store knows already */
	int64_t us[];  /* Unix time in microseconds */
};

/* An event was sent just now. For want of memory nobody will know when. */
void sb_sent_note(struct sb_session *session, int64_t seq);

/* Everything up to `seq` is dealt with: its times are of no more use. */
void sb_sent_forget(struct sb_session *session, int64_t seq);

/* Gives this ack the times that it covers, wherever this hub has them; `question` borrows them
 * until the log is told to forget. Returns whose log they are of, or NULL. */
struct sb_session *sb_sent_lend(struct sb_session *session, struct sb_save_ack *question);

/* Tells the store what it does not know yet. */
void sb_sent_tell(struct sb_session *session);

/* Frees the log. */
void sb_sent_fini(struct sb_session *session);

/* Tells of those that are late. */
void sb_sent_tick(struct sb_hub *hub, uint64_t now_ms);

#endif
