/*
 * A mailbox that has sessions here: its numbering, its sessions, and the run
 * of events that are on their way to them.
 *
 * Words: a session is *hungry* when it could take an event and may lack one;
 * a *run* is what one fetch brought, contiguous in seq, held as frames only
 * until the sessions that wait for it took it, or for SB_RUN_MS: no cache of
 * personal data. A session that is slower than that is a cursor again, and
 * asks anew when its socket can be written.
 *
 * Level-triggered: whatever happens, the mailbox asks "who is hungry?" and
 * fetches what lies after the hungriest. At most one fetch is in flight.
 *
 * The invariant: while a session is hungry, a fetch is in flight, or the
 * deadline runs that asks again, or the link of a session here is woken, whose
 * pull asks. So no failure and no lack of memory leaves a session waiting for
 * the next booking.
 */
#ifndef SB_CORE_MAILBOX_H
#define SB_CORE_MAILBOX_H

#include "daemon/core/deadline.h"
#include "daemon/core/frame.h"
#include "daemon/core/store.h"
#include <stdbool.h>

#define SB_RUN_MS 2000

struct sb_hub;
struct sb_session;

struct sb_run_event {
	int64_t seq;
	struct sb_frame *frame; /* one reference */
};

/* What one fetch brought: the events after `after`, in order, none left out. */
struct sb_run {
	int64_t after;
	size_t count;
	uint32_t takers; /* sessions that still want something of it */
	struct sb_run_event events[];
};

struct sb_mailbox {
	struct sb_hub *hub;
	int64_t id;
	struct sb_numbering numbering; /* as the newest fetch told it */
	struct sb_session *sessions;   /* registered ones; linked by their mailbox_prev/next */
	bool fetching;		       /* one is in flight */
	bool stale;	    /* something may have been committed since the last fetch was asked */
	struct sb_run *run; /* NULL: nothing is on its way */
	/* SB_RUN_MS: then the run is over, or what could not be asked or held is asked again. */
	struct sb_deadline deadline;
};

/* Finds or makes it; NULL when out of memory. `numbering` serves a new one until its first fetch.
 */
struct sb_mailbox *sb_mailbox_get(struct sb_hub *hub, int64_t id,
				  const struct sb_numbering *numbering);

/* Registers a session, which is hungry by that: whatever was committed before is fetched. */
void sb_mailbox_join(struct sb_mailbox *mailbox, struct sb_session *session);

/* The session's last touch; frees the mailbox with its last session, or with the fetch then in
 * flight. */
void sb_mailbox_leave(struct sb_mailbox *mailbox, struct sb_session *session);

/* Frees it at the hub's end; else it frees itself. */
void sb_mailbox_free(struct sb_mailbox *mailbox);

/*
 * Look at this mailbox again: something may have been committed.
 *
 * A hint, never the truth. Asks the store for one fetch, or marks the one in
 * flight to be repeated. Never calls back.
 */
void sb_mailbox_look(struct sb_mailbox *mailbox);

/* A session became able to take more: fetch if somebody is hungry. */
void sb_mailbox_feed(struct sb_mailbox *mailbox);

/* The answer to a fetch. Wakes links; frees a mailbox that nobody is in any more. */
void sb_mailbox_fetched(struct sb_mailbox *mailbox, const struct sb_fetched *answer);
void sb_mailbox_fetch_failed(struct sb_mailbox *mailbox);

/* The frame of the run that comes next after `seq`, borrowed; NULL: nothing here, see
 * sb_mailbox_feed(). */
const struct sb_run_event *sb_mailbox_next(const struct sb_mailbox *mailbox, int64_t seq);

/* This session wants nothing more of the run; the last one's going frees it. */
void sb_mailbox_taken(struct sb_mailbox *mailbox, struct sb_session *session);

/* Its deadline has passed: a session that did not take the run is a cursor again, and what could
 * not be asked is asked again. */
void sb_mailbox_due(struct sb_mailbox *mailbox);

#endif
