/*
 * A booking and its changes, as the database tells them to the daemon and the
 * daemon to a plug-in.
 */
#ifndef SB_PROTOCOL_BOOKING_H
#define SB_PROTOCOL_BOOKING_H

#include "protocol/cursor.h"
#include "protocol/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_CHANGES(X)         \
	X(CREATED, "created") \
	X(UPDATED, "updated") \
	X(CANCELLED, "cancelled")

enum sb_change {
#define SB_CHANGE_ENUM(name, word) SB_CHANGE_##name,
	SB_CHANGES(SB_CHANGE_ENUM)
#undef SB_CHANGE_ENUM
		SB_CHANGE_COUNT
};

const char *sb_change_word(enum sb_change change);
/* 0, or -EINVAL: no such word. */
int sb_change_parse(const char *word, enum sb_change *ret_change);

/*
 * One event as the daemon has it from the database. Strings are borrowed and
 * NUL-terminated; NULL is "not given". A cancelled event may have nothing but
 * its uid: the least data that does the job.
 *
 * attendees and details are JSON as PostgreSQL's jsonb prints it, so they are
 * valid and are passed on as they are. details is an object with any of
 * organizer, location, join_url, description.
 */
struct sb_event {
	int64_t seq;
	int64_t version; /* of the booking: says which of two of its states is newer */
	enum sb_change change;
	int64_t published_at_us; /* Unix time, microseconds: when its commit began */
	const char *uid;
	bool has_starts_at;
	int64_t starts_at_s;	  /* Unix time, seconds */
	const char *starts_local; /* "2026-11-24T10:00:00" in time_zone, or NULL */
	const char *time_zone;	  /* IANA name, or NULL */
	int duration_minutes;	  /* 0: not given */
	const char *subject;
	const char *attendees;
	const char *details;
	bool is_spoiled; /* the row holds what cannot be said: all but seq and uid is nothing */
};

/* Appends the whole booking message: what a session sends for this event in this epoch. */
void sb_event_encode(struct sb_text *text, const struct sb_event *event,
		     const struct sb_epoch *epoch);

/*
 * The same, but nothing that a client cannot read. Where the event holds such a
 * thing, its booking is said with uid and version only, which a client reports
 * as a failed event: nothing behind it is held up, and no seq is missing.
 * -EBADMSG then, for the log; else 0.
 */
int sb_event_encode_readable(struct sb_text *text, const struct sb_event *event,
			     const struct sb_epoch *epoch);

#endif
