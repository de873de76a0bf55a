/*
 * The hub: all mailboxes and sessions of one daemon, and the place where the
 * world's news come in.
 *
 *   store/listener ──look──► hub ──► mailbox ──fetch──► store ──fetched──► hub ──wake──► link
 *
 * Pure: no socket, no database, no clock of its own. Everything happens in the
 * loop's thread; no call blocks, and none calls back into its caller.
 */
#ifndef SB_CORE_HUB_H
#define SB_CORE_HUB_H

#include "daemon/base/clock.h"
#include "daemon/base/histogram.h"
#include "daemon/core/session.h"
#include "daemon/core/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_hub_config {
	uint32_t window;       /* unacked events in flight, at most; 1 to SB_WINDOW_MAX */
	uint32_t heartbeat_ms; /* a ping when this long has passed; silence for twice that is death
				*/
	uint32_t hello_ms;     /* from connection to hello */
	uint32_t authenticate_ms; /* from hello to the database's answer: a bounded wait while it is
				     away */
	uint32_t stalled_ms;	  /* events sent, none acked */
	uint32_t closing_ms;	  /* for a peer to take its close */
	uint32_t reconnect_min_ms, reconnect_max_ms; /* what welcome advises */
	uint32_t return_per_second; /* how many of those sent away may come back each second; from
				       1 on */
	size_t max_sessions;
	uint32_t instance; /* random: tells this process' session names from another's */
};

/* Borrows store and clock until sb_hub_free(); copies config. NULL when out of memory. */
struct sb_hub *sb_hub_new(const struct sb_hub_config *config, struct sb_store *store,
			  struct sb_clock *clock);
/*
 * From now on this configuration, copied. Deadlines that run stay. Window,
 * heartbeat and instance must be as they were: each session was told them.
 */
void sb_hub_configure(struct sb_hub *hub, const struct sb_hub_config *config);
/* All sessions are gone before. Accepts NULL. */
void sb_hub_free(struct sb_hub *hub);

/* ---- news, hints and answers of the store ---- */

/* slotbell_wake: something may have been committed for this mailbox. */
void sb_hub_look(struct sb_hub *hub, int64_t mailbox_id);
/* slotbell_control: something may have happened to this device. */
void sb_hub_recheck(struct sb_hub *hub, int64_t device_id);

/* Answers, one to each question. *_failed: the statement failed for this item alone; the session
 * gets 1013. */
void sb_hub_authenticated(struct sb_hub *hub, uint64_t session_id,
			  const struct sb_authenticated *answer);
void sb_hub_authenticate_failed(struct sb_hub *hub, uint64_t session_id);
void sb_hub_fetched(struct sb_hub *hub, int64_t mailbox_id, const struct sb_fetched *answer);
void sb_hub_fetch_failed(struct sb_hub *hub, int64_t mailbox_id);
void sb_hub_ack_saved(struct sb_hub *hub, uint64_t session_id, const struct sb_ack_saved *answer);
void sb_hub_ack_failed(struct sb_hub *hub, uint64_t session_id);
/* One device, as the database sees it now: closes what is revoked or replaced, looks where heads
 * differ. */
void sb_hub_device_state(struct sb_hub *hub, const struct sb_device_state *state);

/* LISTEN is committed and statements run, or not so any more. */
void sb_hub_database(struct sb_hub *hub, bool up);
bool sb_hub_database_is_up(const struct sb_hub *hub);

/* May one come in? From memory; knows of no device. */
enum sb_standing sb_hub_standing(const struct sb_hub *hub);

/* The database has forgotten who is on here: it is told of every live session. */
void sb_hub_tell_presence(struct sb_hub *hub);
/* As in its config: the first half of its sessions' names. */
uint32_t sb_hub_instance(const struct sb_hub *hub);

/* Ids of the devices held here, ascending, each greater than `after`: at most `max` of them;
 * returns how many. */
size_t sb_hub_held_devices(struct sb_hub *hub, int64_t after, int64_t *devices, size_t max);

/* ---- time ---- */

/* Acts on deadlines that have passed. To be called when one is due, and again while one still is.
 */
void sb_hub_tick(struct sb_hub *hub);

/* When the next deadline is due, by the hub's clock; UINT64_MAX when there is none. May come
 * nearer with every other call. */
uint64_t sb_hub_due_ms(const struct sb_hub *hub);

/* ---- the end ---- */

/* When a client that is sent away now should come back, in ms: a slot of its own, see admission.h.
 */
uint32_t sb_hub_return_ms(struct sb_hub *hub);

/*
 * No new sessions. Those there are hear goodbye `draining`, each with its own
 * time to come back, one after the other over at most `spread_ms`; with 0, or
 * called again with 0, all of them now.
 */
void sb_hub_drain(struct sb_hub *hub, uint32_t spread_ms);
/* Whether an ack is on its way to the database, or to be: worth a moment before the end. */
bool sb_hub_has_unsaved(const struct sb_hub *hub);

/* ---- what it has seen, for status and metrics ---- */

/* Upper bounds of the buckets for how many events a session had to catch up with, each included. */
#define SB_CATCH_UP_BUCKETS 9
extern const uint32_t sb_catch_up_bounds[SB_CATCH_UP_BUCKETS];

struct sb_hub_stats {
	size_t sessions;		       /* now, in any state */
	size_t states[SB_SESSION_STATE_COUNT]; /* now, by state */
	size_t unauthenticated;		       /* now, before welcome */
	size_t mailboxes;		       /* now, with sessions */
	uint64_t sessions_total;	       /* since the start, as all below */
	uint64_t events_sent[SB_TRANSPORT_COUNT];
	uint64_t acks_saved;
	uint64_t closes[SB_REASON_COUNT];
	struct sb_histogram commit_to_sent;  /* of live sessions */
	struct sb_histogram commit_to_acked; /* of the same, one event per session at a time */
	uint64_t catch_ups[SB_CATCH_UP_BUCKETS + 1]; /* sessions, by events that waited for them */
	uint64_t catch_up_events;		     /* that waited, in all */
};

void sb_hub_get_stats(const struct sb_hub *hub, struct sb_hub_stats *ret_stats);

#endif
