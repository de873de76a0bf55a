/*
 * The user's calendar: a folder with one .ics file per booking.
 *
 * In Outlook this is the calendar itself, with our uid in a property of the
 * item; the rules are the same: a version is written once, an older or equal
 * one never overwrites, and a cancelled booking stays as such, so that a late
 * `created` cannot revive it.
 */
#ifndef SB_PLUGIN_CALENDAR_H
#define SB_PLUGIN_CALENDAR_H

#include "protocol/message.h"
#include <limits.h>

struct sb_calendar; /* an open, locked folder */

/*
 * Opens the folder `path`, making it if its parent is there, and locks it:
 * one plug-in per calendar. Borrows `path` until return.
 *
 * 0; -EWOULDBLOCK when another process has it; -EPERM when its lock is another
 * user's; or another negative errno.
 */
int sb_calendar_open(const char *path, struct sb_calendar **ret_calendar);

enum sb_written {
	SB_WRITTEN, /* the file is there, safe after sb_calendar_sync() */
	SB_REPEAT,  /* this version or a newer one was there already */
	/* To be reported as failures: no other event is to wait for these. */
	SB_UNSUPPORTED, /* cannot be an appointment here */
	SB_IN_THE_WAY,	/* a folder, or what is another user's, has the appointment's name */
};

/*
 * Applies one booking message. ret_file gets the file's full path.
 *
 * 0 with *ret_written; or negative errno when the disk would not: nothing
 * changed then, and the event is not to be acked.
 */
int sb_calendar_write(struct sb_calendar *calendar, const struct sb_server_message *event,
		      enum sb_written *ret_written, char ret_file[PATH_MAX]);

/* Puts all that was written since the last call on the disk. 0 or negative errno. */
int sb_calendar_sync(struct sb_calendar *calendar);

/* Unlocks and frees. Accepts NULL. */
void sb_calendar_close(struct sb_calendar *calendar);

#endif
