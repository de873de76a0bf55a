/*
 * The hub: news come in by id, are looked up, and are handed to the one they
 * concern. What is gone is not found, and that is all there is to cancelling.
 */
#include "daemon/core/hub.h"
#include "daemon/base/log.h"
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/sent.h"
#include "daemon/core/session_private.h"
#include <stddef.h>
#include <stdlib.h>
#include <utlist.h>

/* Heartbeats that are due within this part of their interval go together: done in a row they cost a
 * sixth less than in small parts. So many at most, which take a millisecond and a half. */
#define BEATS_AHEAD   10
#define BEATS_AT_ONCE 128
/* A drain says its goodbyes in steps of this. */
#define DRAIN_STEP_MS 100

#define owner_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct sb_hub *sb_hub_new(const struct sb_hub_config *config, struct sb_store *store,
			  struct sb_clock *clock)
{
	struct sb_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return NULL;
	hub->store = store;
	hub->clock = clock;
	sb_table_init(&hub->by_id, offsetof(struct sb_session, id));
	sb_table_init(&hub->devices, offsetof(struct sb_session, device_id));
	sb_table_init(&hub->mailboxes, offsetof(struct sb_mailbox, id));
	hub->runs.wait_ms = SB_RUN_MS;
	hub->lates.wait_ms = SB_SENT_LATE_MS;
	for (uint32_t seconds = 0; seconds <= SB_POLL_WAIT_MAX_SECONDS; seconds++)
		hub->polls[seconds].wait_ms = seconds * 1000;
	sb_hub_configure(hub, config);
	return hub;
}

void sb_hub_configure(struct sb_hub *hub, const struct sb_hub_config *config)
{
	uint64_t now = sb_hub_now(hub);

	hub->config = *config;
	sb_deadlines_set_wait(&hub->greetings, config->hello_ms, now);
	sb_deadlines_set_wait(&hub->waits, config->authenticate_ms, now);
	sb_deadlines_set_wait(&hub->beats, config->heartbeat_ms, now);
	sb_deadlines_set_wait(&hub->closings, config->closing_ms, now);
}

void sb_hub_free(struct sb_hub *hub)
{
	struct sb_mailbox *mailbox;

	if (!hub)
		return;
	while ((mailbox = sb_table_next(&hub->mailboxes, NULL)))
		sb_mailbox_free(mailbox);
	sb_table_fini(&hub->mailboxes);
	sb_table_fini(&hub->devices);
	sb_table_fini(&hub->by_id);
	sb_rivals_fini(&hub->rivals);
	free(hub);
}

uint64_t sb_hub_now(const struct sb_hub *hub)
{
	return hub->clock->now_ms(hub->clock);
}

uint32_t sb_hub_return_ms(struct sb_hub *hub)
{
	return sb_admission_return_ms(&hub->admission, sb_hub_now(hub),
				      hub->config.return_per_second,
				      hub->clock->random(hub->clock));
}

static struct sb_session *find_session(struct sb_hub *hub, uint64_t id)
{
	return sb_table_find(&hub->by_id, id);
}

static struct sb_mailbox *find_mailbox(struct sb_hub *hub, int64_t id)
{
	return sb_table_find(&hub->mailboxes, (uint64_t)id);
}

/* ---- news, hints and answers of the store ---- */

void sb_hub_look(struct sb_hub *hub, int64_t mailbox_id)
{
	struct sb_mailbox *mailbox = find_mailbox(hub, mailbox_id);

	if (mailbox)
		sb_mailbox_look(mailbox);
}

void sb_hub_recheck(struct sb_hub *hub, int64_t device_id)
{
	if (!sb_devices_find(hub, device_id)) {
		/*
		 * Nobody's, or one's whose authentication is still on its way: its
		 * answer may be older than this news, so such a session asks by itself.
		 */
		hub->unheard++;
		return;
	}
	/* For want of memory it is not asked; the reconcile comes to it all the same. */
	(void)hub->store->ops->recheck(hub->store, device_id);
}

void sb_hub_authenticated(struct sb_hub *hub, uint64_t session_id,
			  const struct sb_authenticated *answer)
{
	struct sb_session *session = find_session(hub, session_id);

	if (session)
		sb_session_authenticated(session, answer);
}

void sb_hub_authenticate_failed(struct sb_hub *hub, uint64_t session_id)
{
	struct sb_session *session = find_session(hub, session_id);

	if (session)
		sb_session_close(session, SB_REASON_DEGRADED);
}

void sb_hub_fetched(struct sb_hub *hub, int64_t mailbox_id, const struct sb_fetched *answer)
{
	struct sb_mailbox *mailbox = find_mailbox(hub, mailbox_id);

	/* A mailbox that was emptied and made anew may get the old one's answer, once: nobody in it
	 * was asked for. */
	if (mailbox && mailbox->fetching)
		sb_mailbox_fetched(mailbox, answer);
}

void sb_hub_fetch_failed(struct sb_hub *hub, int64_t mailbox_id)
{
	struct sb_mailbox *mailbox = find_mailbox(hub, mailbox_id);

	if (mailbox && mailbox->fetching)
		sb_mailbox_fetch_failed(mailbox);
}

void sb_hub_ack_saved(struct sb_hub *hub, uint64_t session_id, const struct sb_ack_saved *answer)
{
	struct sb_session *session = find_session(hub, session_id);

	hub->acks_answered++;
	if (session)
		sb_session_ack_saved(session, answer);
}

void sb_hub_ack_failed(struct sb_hub *hub, uint64_t session_id)
{
	struct sb_session *session = find_session(hub, session_id);

	hub->acks_answered++;
	if (session)
		sb_session_close(session, SB_REASON_DEGRADED);
}

static bool differs(const struct sb_numbering *held, const struct sb_numbering *told)
{
	return held->head != told->head || held->floor != told->floor ||
	       !sb_epoch_equal(&held->epoch, &told->epoch);
}

/* Its device's row is as it should be: acks that came by another way, events that were not heard
 * of, and whether the session itself has what is there. */
static void stand(struct sb_session *session, const struct sb_device_state *state)
{
	/* The database went back, to a backup say, and counts sessions from there again. */
	if (session->role == SB_ROLE_LIVE && state->session_no < session->session_no)
		session->session_no = state->session_no;
	if (sb_epoch_equal(&session->epoch, &state->numbering.epoch))
		sb_session_confirm(session, state->acked);
	if (differs(&session->mailbox->numbering, &state->numbering) || session->mailbox->stale)
		sb_mailbox_look(session->mailbox);
	else
		sb_mailbox_feed(session->mailbox);
	if (session->asleep)
		sb_session_wake(session);
}

void sb_hub_device_state(struct sb_hub *hub, const struct sb_device_state *state)
{
	struct sb_session *session = sb_devices_find(hub, state->device_id), *next;

	for (; session; session = next) {
		next = session->device_next;
		if (state->outcome == SB_AUTH_EXPIRED)
			sb_session_close(session, SB_REASON_EXPIRED);
		else if (state->outcome != SB_AUTH_OK)
			sb_session_close(session, SB_REASON_REVOKED);
		else if (session->role == SB_ROLE_LIVE && state->session_no > session->session_no)
			sb_session_close(session, SB_REASON_REPLACED);
		else
			stand(session, state);
	}
}

void sb_hub_database(struct sb_hub *hub, bool up)
{
	hub->database_up = up;
}

bool sb_hub_database_is_up(const struct sb_hub *hub)
{
	return hub->database_up;
}

enum sb_standing sb_hub_standing(const struct sb_hub *hub)
{
	if (hub->draining)
		return SB_STANDING_DRAINING;
	if (!hub->database_up)
		return SB_STANDING_DEGRADED;
	if (hub->stats.sessions >= hub->config.max_sessions)
		return SB_STANDING_BUSY;
	return SB_STANDING_READY;
}

void sb_hub_tell_presence(struct sb_hub *hub)
{
	struct sb_session *session;

	for (session = hub->sessions; session; session = session->next) {
		if (session->is_on)
			sb_session_tell_presence(session, true);
	}
}

uint32_t sb_hub_instance(const struct sb_hub *hub)
{
	return hub->config.instance;
}

size_t sb_hub_held_devices(struct sb_hub *hub, int64_t after, int64_t *devices, size_t max)
{
	return sb_devices_after(hub, after, devices, max);
}

/* ---- time ---- */

static struct sb_session *take_session(struct sb_deadlines *queue, uint64_t now)
{
	struct sb_deadline *due = sb_deadlines_take(queue, now);

	return due ? owner_of(due, struct sb_session, deadline) : NULL;
}

/* Whoever's token is over goes now. A look at all sessions, but only when one is due. */
static void expire(struct sb_hub *hub)
{
	int64_t now_s = hub->clock->wall_us(hub->clock) / 1000000;
	struct sb_session *session, *next;

	if (!hub->next_expiry_s || now_s < hub->next_expiry_s)
		return;
	hub->next_expiry_s = 0;
	DL_FOREACH_SAFE(hub->sessions, session, next) {
		if (session->mailbox && session->expires_at_s && session->expires_at_s <= now_s)
			sb_session_close(session, SB_REASON_EXPIRED);
		else if (session->mailbox)
			sb_hub_expect_expiry(hub, session->expires_at_s);
	}
}

void sb_hub_expect_expiry(struct sb_hub *hub, int64_t at_s)
{
	if (at_s && (!hub->next_expiry_s || at_s < hub->next_expiry_s))
		hub->next_expiry_s = at_s;
}

/*
 * Heartbeats go out together: who is due within the next moment goes along with
 * the first that is, so that the process wakes once for many of them. Only so
 * many at a time, for bookings wait meanwhile.
 */
static void beat(struct sb_hub *hub, uint64_t now)
{
	uint32_t ahead_ms = hub->beats.wait_ms / BEATS_AHEAD;
	struct sb_session *session;

	if (sb_deadlines_due_ms(&hub->beats) > now)
		return;
	for (int i = 0; i < BEATS_AT_ONCE; i++) {
		session = take_session(&hub->beats, now + ahead_ms);
		if (!session)
			return;
		sb_session_heartbeat(session);
	}
}

void sb_hub_tick(struct sb_hub *hub)
{
	uint64_t now = sb_hub_now(hub);
	struct sb_session *session;
	struct sb_deadline *due;

	while ((session = take_session(&hub->greetings, now)))
		sb_session_refuse(session, SB_REASON_NO_HELLO, "no hello in time");
	while ((session = take_session(&hub->waits, now))) {
		if (session->role == SB_ROLE_ASK)
			sb_session_tell(session, NULL);
		else
			sb_session_close(session, SB_REASON_DEGRADED);
	}
	for (size_t i = 0; i <= SB_POLL_WAIT_MAX_SECONDS; i++) {
		while ((session = take_session(&hub->polls[i], now)))
			sb_session_wait_over(session);
	}
	beat(hub, now);
	while ((session = take_session(&hub->closings, now)))
		session->link->ops->cut(session->link);
	while ((due = sb_deadlines_take(&hub->runs, now)))
		sb_mailbox_due(owner_of(due, struct sb_mailbox, deadline));
	sb_sent_tick(hub, now);
	if (hub->draining)
		sb_hub_drain_step(hub);
	expire(hub);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When the first token ends, which is a time of the wall clock, by the hub's. */
static uint64_t expiry_due_ms(const struct sb_hub *hub)
{
	int64_t left_ms;

	if (!hub->next_expiry_s)
		return UINT64_MAX;
	left_ms = hub->next_expiry_s * 1000 - hub->clock->wall_us(hub->clock) / 1000;
	return sb_hub_now(hub) + (left_ms > 0 ? (uint64_t)left_ms : 0);
}

uint64_t sb_hub_due_ms(const struct sb_hub *hub)
{
	uint64_t first = expiry_due_ms(hub);

	first = earlier(first, sb_deadlines_due_ms(&hub->greetings));
	first = earlier(first, sb_deadlines_due_ms(&hub->waits));
	first = earlier(first, sb_deadlines_due_ms(&hub->beats));
	first = earlier(first, sb_deadlines_due_ms(&hub->closings));
	first = earlier(first, sb_deadlines_due_ms(&hub->runs));
	first = earlier(first, sb_deadlines_due_ms(&hub->lates));
	for (size_t i = 0; i <= SB_POLL_WAIT_MAX_SECONDS; i++)
		first = earlier(first, sb_deadlines_due_ms(&hub->polls[i]));
	if (hub->draining)
		first = earlier(first, sb_hub_now(hub) + DRAIN_STEP_MS);
	return first;
}

/* ---- the end ---- */

bool sb_hub_has_unsaved(const struct sb_hub *hub)
{
	return hub->acks_asked != hub->acks_answered;
}

void sb_hub_get_stats(const struct sb_hub *hub, struct sb_hub_stats *ret_stats)
{
	*ret_stats = hub->stats;
	ret_stats->mailboxes = hub->mailboxes.count;
}
