/*
 * A booking as an iCalendar object (RFC 5545), and what an existing one says
 * of its own age.
 *
 * Instants are in UTC, which needs no VTIMEZONE; zone and local time come
 * along as X- properties for whoever wants to show them.
 */
#ifndef SB_PLUGIN_ICAL_H
#define SB_PLUGIN_ICAL_H

#include "protocol/message.h"
#include <stdint.h>

/* Makes libical report errors by its results instead of by aborting. Once per process, before the
 * rest. */
void sb_ical_setup(void);

/*
 * The text of the appointment after this change, in *ret_text, which the
 * caller frees with free().
 *
 * `old` is the text of the appointment as it stands, or NULL. A cancelled
 * event may bring nothing but its uid: what the old text knew beside it stays,
 * with STATUS:CANCELLED and the new version, so that a late `created` finds a
 * newer one there. SEQUENCE goes on from the old text's.
 *
 * 0; -ENOTSUP when this cannot be an appointment (no start, no duration, an
 * instant beyond year 9999, ...); -ENOMEM.
 */
int sb_ical_write(const struct sb_server_message *message, const char *old, char **ret_text);

/*
 * The version in `text`: X-SLOTBELL-VERSION. Where another program left that
 * out, SEQUENCE, which is below every version in milliseconds.
 *
 * 0; -EBADMSG when the text is no calendar with an appointment of this uid.
 */
int sb_ical_version(const char *text, const char *uid, int64_t *ret_version);

enum sb_ical_holds {
	SB_ICAL_NOTHING, /* no calendar with an appointment that has a uid */
	SB_ICAL_THIS,	 /* an appointment of this uid */
	SB_ICAL_ANOTHER, /* an appointment of another uid */
};

enum sb_ical_holds sb_ical_holds(const char *text, const char *uid);

#endif
