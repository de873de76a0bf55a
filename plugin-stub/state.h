/*
 * What the plug-in must still know after a crash: how far it came, which failures
 * the server has not confirmed, and on which way it got through, since when in
 * Unix seconds (none: websocket).
 *
 * One JSON file, replaced as a whole:
 *
 *     {"device":7,"cursor":"k3f9q2.43","failed":[{"cursor":"k3f9q2.42","reason":"unsupported"}],"transport":"stream","transport_since":1763976000}
 *
 * Losing it is harmless: the server's own cursor serves then, and what comes
 * twice is recognised by uid and version.
 *
 * The device is there because a cursor counts as an ack: that of one mailbox,
 * sent with the token of another, would ack bookings nobody has seen.
 */
#ifndef SB_PLUGIN_STATE_H
#define SB_PLUGIN_STATE_H

#include "plugin-stub/choice.h"
#include "protocol/cursor.h"
#include "protocol/limits.h"
#include "protocol/message.h"
#include <stdbool.h>
#include <stddef.h>

/* One event that could not be written as an appointment. */
struct sb_pending_failure {
	struct sb_cursor cursor; /* the event's own */
	enum sb_failure_reason reason;
	bool sent; /* in this session; never saved */
};

struct sb_progress {
	bool has_cursor;
	struct sb_cursor cursor;
	size_t failed_count; /* each of them at or before the cursor, in its epoch */
	struct sb_pending_failure failed[SB_FAILED_MAX];
};

struct sb_state; /* an open, locked state file */

/*
 * Opens the state at `path` and locks it (a file `path`.lock beside it) against
 * a second process; borrows `path` until return. `device_id`: whose it is; 0
 * when that is not known.
 *
 * 0; -EWOULDBLOCK when another process has it; -EPERM when the lock is another
 * user's; or another negative errno. The file itself need not be there, its folder must.
 */
int sb_state_open(const char *path, int64_t device_id, struct sb_state **ret_state);

enum sb_state_found {
	SB_STATE_READ,
	SB_STATE_MISSING,
	SB_STATE_CORRUPT,
	SB_STATE_FOREIGN, /* another device's */
	SB_STATE_PLANTED, /* another user's file */
};

/* Fills *ret_progress; empty unless READ. Negative errno only when the disk would not read. */
int sb_state_load(struct sb_state *state, struct sb_progress *ret_progress,
		  enum sb_state_found *ret_found);

/* On the disk, folder entry included, when this returns 0; negative errno else, and the old state
 * stays. */
int sb_state_save(struct sb_state *state, const struct sb_progress *progress);

/* The way that the state which was loaded names, or that was set since. It is on the disk with the
 * next save. */
enum sb_way sb_state_way(const struct sb_state *state);
void sb_state_set_way(struct sb_state *state, enum sb_way way, int64_t now_s);

/* Whether the way that is first anyway is to be tried before the remembered one: that was found
 * `again_s` ago, or nobody knows when. */
bool sb_state_way_is_old(const struct sb_state *state, int64_t now_s, int64_t again_s);

/* Unlocks and frees. Accepts NULL. */
void sb_state_close(struct sb_state *state);

#endif
