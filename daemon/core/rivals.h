/*
 * Devices whose sessions replace each other again and again: two machines share
 * a token, and neither waits for its user, as a client should after a close with
 * 4409. Without end they would take turns, each throwing the other out.
 *
 * So who replaced whom is remembered for a while, and when that goes too quick,
 * the next one is sent away before it can replace anybody, each time for longer.
 * A connection that flaps, whose old session is still there when the new one
 * comes, looks the same from here; that is why the wait stays short.
 *
 * Of this daemon's sessions only, by whomever they were replaced: each daemon
 * sees its half of such a quarrel, and that is enough to end it.
 */
#ifndef SB_CORE_RIVALS_H
#define SB_CORE_RIVALS_H

#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#define SB_RIVALS_QUICK_MS	 60000 /* replaced again within this time: one more in the row */
#define SB_RIVALS_PATIENCE	 3     /* so many in a row are nothing yet but a bad day */
#define SB_RIVALS_WAIT_MIN_MS	 2000  /* then the wait begins with this, doubles with each, */
#define SB_RIVALS_WAIT_MAX_MS	 30000 /* and grows no longer than this */
#define SB_RIVALS_REMEMBERED_MAX 1024  /* devices; the one that was replaced longest ago goes */

struct sb_rival {
	int64_t device_id;
	uint64_t last_ms; /* when a session of it was replaced */
	uint32_t row;	  /* so many quick ones in a row */
	UT_hash_handle hh;
};

/* Zeroed at first. */
struct sb_rivals {
	struct sb_rival *by_device; /* hash, in the order of last_ms */
};

void sb_rivals_fini(struct sb_rivals *rivals);

/* A session of this device was replaced. Returns how many that were, quickly, in a row. */
uint32_t sb_rivals_note(struct sb_rivals *rivals, int64_t device_id, uint64_t now_ms);

/* How long from now on no session of this device may replace another one, in ms; mostly 0. */
uint32_t sb_rivals_wait_ms(const struct sb_rivals *rivals, int64_t device_id, uint64_t now_ms);

#endif
