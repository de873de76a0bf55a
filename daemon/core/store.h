/*
 * What core asks of the database, and how the answers come back.
 *
 * One of core's two seams (the other is link.h). Implemented by store/queries
 * on PostgreSQL and by the unit tests' world in memory.
 *
 * Every question is a value, named by ids and never by pointers, so an answer
 * may come late without harm: core looks the id up, and finds nothing if it is
 * gone. Each question gets exactly one answer, by a call of the sb_hub_*
 * functions of hub.h, never from inside the asking call. While the database
 * is away questions wait; they are asked again when it is back.
 */
#ifndef SB_CORE_STORE_H
#define SB_CORE_STORE_H

#include "protocol/booking.h"
#include "protocol/message.h"
#include <stdbool.h>
#include <stdint.h>

/* Who is this? A session that takes over raises the device's session_no. */
struct sb_authenticate {
	uint64_t session_id; /* the answer's address */
	int64_t device_id;
	uint8_t proof[SB_TOKEN_PROOF_BYTES];
	bool takes_over; /* false for mode once */
};

/* What lies after this seq in this mailbox? */
struct sb_fetch {
	int64_t mailbox_id; /* the answer's address */
	int64_t after;
};

/* This device has dealt with everything up to the cursor, these failed. */
struct sb_save_ack {
	uint64_t session_id; /* the answer's address */
	int64_t device_id;
	/* Not saved once the device has a newer one, which was told where it starts. INT64_MAX:
	 * saved all the same. */
	int64_t session_no;
	struct sb_cursor cursor;
	size_t failed_count;
	const struct sb_failure *failed; /* borrowed until return */
	bool announce; /* tell other daemons: one of them may hold the session that this acks for */
	/* When events that it covers were sent, Unix time in microseconds: of seq sent_first and
	 * the ones after it. */
	int64_t sent_first;
	size_t sent_count;	/* 0: nobody knows */
	const int64_t *sent_us; /* borrowed until return */
};

/* These events were sent, and are not acked yet. */
struct sb_sent {
	int64_t device_id;
	int64_t first; /* seq of the first one; the others follow it */
	size_t count;
	const int64_t *us; /* when, Unix time in microseconds; borrowed until return */
};

/* A live session began or ended. */
struct sb_presence {
	uint64_t session_id;
	int64_t device_id;
	bool on;
};

struct sb_store;

struct sb_store_ops {
	/* All: 0, or -ENOMEM: not asked, no answer will come. */
	int (*authenticate)(struct sb_store *store, const struct sb_authenticate *question);
	int (*fetch)(struct sb_store *store, const struct sb_fetch *question);
	int (*save_ack)(struct sb_store *store, const struct sb_save_ack *question);
	/* What does this device's row say now? Asked for the same device again before the answer:
	 * one answer. */
	int (*recheck)(struct sb_store *store, int64_t device_id);

	/* News for those who look at the database, without an answer. What is told of one
	 * session arrives in that order. The store may ask for every presence again by
	 * sb_hub_tell_presence(). */
	int (*sent)(struct sb_store *store, const struct sb_sent *news);
	int (*presence)(struct sb_store *store, const struct sb_presence *news);
};

/* Implementers put it first in their own struct. */
struct sb_store {
	const struct sb_store_ops *ops;
};

/* ---- answers ---- */

/* A mailbox's numbering, as one row of the database tells it. */
struct sb_numbering {
	struct sb_epoch epoch;
	struct sb_epoch previous_epoch; /* text "" if there was none */
	int64_t base;  /* where the previous epoch ended: its cursors up to here go on */
	int64_t head;  /* the newest seq */
	int64_t floor; /* events up to here may have been deleted unseen; after it all are here */
};

enum sb_auth_outcome { SB_AUTH_OK, SB_AUTH_UNKNOWN, SB_AUTH_REVOKED, SB_AUTH_EXPIRED };

struct sb_authenticated {
	enum sb_auth_outcome outcome; /* the rest only for OK */
	int64_t mailbox_id;
	const char *address; /* borrowed until return */
	int64_t session_no;  /* of the device, after this session took over */
	int64_t acked; /* the stored cursor's seq, in the numbering's current epoch or before */
	int64_t expires_at_s; /* Unix time, seconds; 0: never */
	struct sb_numbering numbering;
};

struct sb_fetched {
	struct sb_numbering numbering;
	int64_t after; /* as asked */
	const struct sb_event
		*events; /* borrowed until return; ascending by seq, the next ones after `after` */
	size_t count;
};

/* `saved`: the ack is in the database. `replaced`: it is not, for a newer session has taken over.
 * Else its cursor is of a history that is no more, or its device is gone. */
struct sb_ack_saved {
	bool saved, replaced;
	int64_t acked; /* what the row holds now */
};

/* One held device, as the database sees it now. */
struct sb_device_state {
	int64_t device_id;
	enum sb_auth_outcome outcome; /* UNKNOWN: the row is gone */
	int64_t session_no;
	int64_t acked;
	struct sb_numbering numbering;
};

#endif
