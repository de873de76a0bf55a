/*
 * A session's life, and what it owes when the carrier pulls.
 *
 * The order on the wire is decided in sb_session_pull() and nowhere else:
 * welcome, reset?, booking…, live, booking….
 */
#include "daemon/core/session.h"
#include "daemon/base/log.h"
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/numbering.h"
#include "daemon/core/sent.h"
#include "daemon/core/session_private.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct sb_session *sb_session_new(struct sb_hub *hub, struct sb_link *link)
{
	struct sb_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->greeting = calloc(1, sizeof(*session->greeting));
	if (!session->greeting) {
		free(session);
		return NULL;
	}
	session->hub = hub;
	session->link = link;
	session->reason = SB_REASON_LOST;
	session->limit = (uint16_t)hub->config.window;
	session->id = ++hub->next_session_id;
	if (sb_table_add(&hub->by_id, session) != 0) {
		free(session->greeting);
		free(session);
		return NULL;
	}
	DL_APPEND(hub->sessions, session);
	hub->stats.sessions++;
	hub->stats.states[SB_SESSION_GREETING]++;
	hub->stats.unauthenticated++;
	hub->stats.sessions_total++;
	if (hub->draining)
		sb_session_close(session, SB_REASON_DRAINING);
	else if (hub->stats.sessions > hub->config.max_sessions)
		sb_session_close(session, SB_REASON_BUSY);
	else
		sb_deadline_start(&session->deadline, &hub->greetings, sb_hub_now(hub));
	return session;
}

/* Out of all that others could find it by: no event, no answer reaches it any more. */
static void detach(struct sb_session *session)
{
	if (session->mailbox) {
		sb_session_save_last(session);
		sb_sent_tell(session);
		sb_sent_fini(session);
		sb_session_tell_presence(session, false);
		sb_devices_remove(session->hub, session);
		sb_mailbox_leave(session->mailbox, session);
	}
	free(session->greeting);
	session->greeting = NULL;
}

void sb_session_gone(struct sb_session *session)
{
	char name[SB_SESSION_NAME_MAX + 1];
	struct sb_hub *hub;

	if (!session)
		return;
	hub = session->hub;
	hub->stats.closes[session->reason]++;
	hub->stats.sessions--;
	hub->stats.states[session->state]--;
	if (!session->device_id)
		hub->stats.unauthenticated--;
	sb_session_name(session, name);
	sb_log(session->device_id && session->role <= SB_ROLE_ONCE ? SB_LOG_INFO : SB_LOG_DEBUG,
	       "session ended",
	       "session=%s device=%" PRId64 " reason=%s sent=%" PRId64 " saved=%" PRId64, name,
	       session->device_id, sb_reason_word(session->reason), session->sent, session->saved);
	detach(session);
	sb_deadline_stop(&session->deadline);
	sb_frame_unref(session->first);
	free(session->failures);
	DL_DELETE(hub->sessions, session);
	sb_table_remove(&hub->by_id, session);
	free(session);
}

void sb_session_wake(struct sb_session *session)
{
	session->link->ops->wake(session->link);
}

bool sb_session_has_room(const struct sb_session *session)
{
	int64_t from = session->acked > session->reset_seq ? session->acked : session->reset_seq;

	if (session->state != SB_SESSION_CATCHING_UP && session->state != SB_SESSION_LIVE)
		return false;
	/* A poll is content with what one fetch brought. */
	if (!sb_session_takes_events(session) ||
	    (session->gave && session->settled && !session->on_run))
		return false;
	return sb_numbering_distance(&session->mailbox->numbering, from, session->sent) <
	       session->limit;
}

static void note_rival(const struct sb_session *session)
{
	struct sb_hub *hub = session->hub;

	if (sb_rivals_note(&hub->rivals, session->device_id, sb_hub_now(hub)) == SB_RIVALS_PATIENCE)
		sb_log(SB_LOG_WARNING, "sessions replace each other",
		       "device=%" PRId64
		       " hint=\"two machines share its token, or its connection flaps\"",
		       session->device_id);
}

void sb_session_leave(struct sb_session *session, enum sb_reason reason,
		      struct sb_frame *last_words)
{
	if (session->state >= SB_SESSION_LEAVING) {
		sb_frame_unref(last_words);
		return;
	}
	sb_session_enter(session, SB_SESSION_LEAVING);
	session->reason = (uint8_t)reason;
	sb_frame_unref(session->first);
	session->first = last_words;
	if (reason == SB_REASON_REPLACED && session->role == SB_ROLE_LIVE)
		note_rival(session);
	detach(session);
	sb_deadline_start(&session->deadline, &session->hub->closings, sb_hub_now(session->hub));
	sb_session_wake(session);
}

static uint32_t when_to_return(struct sb_session *session)
{
	struct sb_link *link = session->link;

	if (link->ops->return_ms && !sb_session_is_authenticated(session))
		return link->ops->return_ms(link);
	return sb_hub_return_ms(session->hub);
}

void sb_session_close(struct sb_session *session, enum sb_reason reason)
{
	struct sb_frame *goodbye = NULL;

	if (session->state >= SB_SESSION_LEAVING)
		return;
	if (sb_reason_says_goodbye(reason)) {
		struct sb_text text;

		sb_text_init(&text);
		if (!session->return_ms)
			session->return_ms = when_to_return(session);
		sb_goodbye_encode(&text, reason, session->return_ms);
		goodbye = sb_frame_new(&text);
		if (goodbye)
			goodbye->type = SB_SERVER_GOODBYE;
		sb_text_fini(&text);
	}
	sb_session_leave(session, reason, goodbye);
}

void sb_session_send_away(struct sb_session *session, enum sb_reason reason, uint32_t return_ms)
{
	if (session->state >= SB_SESSION_LEAVING)
		return;
	session->return_ms = return_ms;
	sb_session_close(session, reason);
}

enum sb_reason sb_session_reason(const struct sb_session *session)
{
	return session->reason;
}

uint32_t sb_session_return_ms(const struct sb_session *session)
{
	return session->return_ms;
}

bool sb_session_is_authenticated(const struct sb_session *session)
{
	return session->device_id != 0;
}

void sb_session_name(const struct sb_session *session, char buffer[SB_SESSION_NAME_MAX + 1])
{
	(void)snprintf(buffer, SB_SESSION_NAME_MAX + 1, "%08" PRIx32 "-%" PRIu64,
		       session->hub->config.instance, session->id);
}

void sb_session_tell_presence(struct sb_session *session, bool on)
{
	struct sb_presence news = {
		.session_id = session->id, .device_id = session->device_id, .on = on};

	if (!on && !session->is_on)
		return;
	session->is_on = on;
	/* For want of memory the database has it wrong until this session or this process ends. */
	(void)session->hub->store->ops->presence(session->hub->store, &news);
}

/* ---- in new numbers ---- */

void sb_session_reset(struct sb_session *session, int64_t seq, enum sb_reset_reason reason)
{
	session->sent = seq;
	session->reset_seq = seq;
	if (session->acked > seq)
		session->acked = seq;
	if (session->saved > seq)
		session->saved = seq;
	session->reset_reason = (uint8_t)reason;
	session->owes_reset = true;
	session->reset_open = true;
	session->followed_seq = 0;
	session->progress_ms = sb_hub_now(session->hub);
	sb_sent_fini(session);
	sb_mailbox_taken(session->mailbox, session);
}

void sb_session_follow(struct sb_session *session)
{
	const struct sb_numbering *numbering = &session->mailbox->numbering;
	struct sb_cursor here = {.epoch = session->epoch, .seq = session->sent};

	session->epoch = numbering->epoch;
	switch (sb_numbering_judge(numbering, &here)) {
	case SB_VERDICT_GOOD:
		if (session->sent < numbering->floor)
			sb_session_reset(session, numbering->floor, SB_RESET_EXPIRED);
		break;
	case SB_VERDICT_EPOCH:
		/* What it was sent beyond base vanished in the failover; up to base it has all. */
		sb_session_reset(session,
				 session->sent < numbering->base ? session->sent : numbering->base,
				 SB_RESET_EPOCH);
		break;
	case SB_VERDICT_BEYOND:
		sb_session_tell_beyond(session, session->sent);
		sb_session_reset(session, numbering->head, SB_RESET_UNKNOWN_CURSOR);
		break;
	}
}

void sb_session_skip(struct sb_session *session, int64_t seq)
{
	session->sent = seq;
	if (!sb_numbering_distance(&session->mailbox->numbering, session->acked, seq))
		session->acked = seq;
}

/* ---- the carrier's side ---- */

typedef void encode_at(struct sb_text *text, const struct sb_cursor *cursor);

static enum sb_pull control(struct sb_session *session, enum sb_server_type type, int64_t seq,
			    struct sb_text *text, struct sb_frame **ret_frame)
{
	*ret_frame = sb_frame_new(text);
	sb_text_fini(text);
	if (*ret_frame) {
		(*ret_frame)->type = type;
		(*ret_frame)->cursor = (struct sb_cursor){.epoch = session->epoch, .seq = seq};
		return SB_PULL_FRAME;
	}
	/* No memory for a line of text: this session ends, the process goes on. */
	sb_session_leave(session, SB_REASON_BUSY, NULL);
	sb_session_enter(session, SB_SESSION_CLOSED);
	return SB_PULL_CLOSE;
}

static enum sb_pull control_at(struct sb_session *session, enum sb_server_type type,
			       encode_at *encode, int64_t seq, struct sb_frame **ret_frame)
{
	struct sb_cursor cursor = {.epoch = session->epoch, .seq = seq};
	struct sb_text text;

	sb_text_init(&text);
	encode(&text, &cursor);
	return control(session, type, seq, &text, ret_frame);
}

static enum sb_pull pull_reset(struct sb_session *session, struct sb_frame **ret_frame)
{
	struct sb_cursor cursor = {.epoch = session->epoch, .seq = session->sent};
	struct sb_text text;

	session->owes_reset = false;
	session->gave = session->role == SB_ROLE_POLL;
	sb_text_init(&text);
	sb_reset_encode(&text, &cursor, session->reset_reason);
	return control(session, SB_SERVER_RESET, session->sent, &text, ret_frame);
}

static enum sb_pull pull_pong(struct sb_session *session, struct sb_frame **ret_frame)
{
	struct sb_text text;

	session->owes_pong = false;
	sb_text_init(&text);
	sb_pong_encode(&text);
	return control(session, SB_SERVER_PONG, 0, &text, ret_frame);
}

static struct sb_frame *next_event(struct sb_session *session)
{
	struct sb_mailbox *mailbox = session->mailbox;
	const struct sb_run_event *event;
	struct sb_frame *frame;

	session->asleep = false;
	if (!session->settled || !sb_session_has_room(session))
		return NULL;
	event = session->on_run ? sb_mailbox_next(mailbox, session->sent) : NULL;
	if (!event) {
		sb_mailbox_feed(mailbox);
		return NULL;
	}
	if (session->acked == session->sent)
		session->progress_ms = sb_hub_now(session->hub);
	session->sent = event->seq;
	sb_sent_note(session, event->seq);
	session->gave = session->role == SB_ROLE_POLL;
	sb_session_measure_sent(session, event->frame);
	frame = sb_frame_ref(event->frame);
	if (!sb_mailbox_next(mailbox, session->sent)) {
		sb_mailbox_taken(mailbox, session);
		sb_mailbox_feed(mailbox);
	}
	return frame;
}

/* Whether it has what it came for. A session of role LIVE never has. */
static bool is_through(const struct sb_session *session)
{
	bool caught_up = session->state == SB_SESSION_LIVE;

	switch ((enum sb_role)session->role) {
	case SB_ROLE_ONCE: /* everything, and the database has its ack */
		return caught_up && session->saved >= session->sent && !session->reset_open;
	case SB_ROLE_POLL:
		return (session->gave && session->settled) ||
		       (caught_up && (session->wait_over || !session->wait_seconds));
	case SB_ROLE_ACK:
		return session->saved >= session->acked && !session->save_asked &&
		       !session->failure_count;
	case SB_ROLE_LIVE:
	case SB_ROLE_ASK: /* it left when it was told */
		break;
	}
	return false;
}

enum sb_pull sb_session_pull(struct sb_session *session, struct sb_frame **ret_frame)
{
	if (session->state == SB_SESSION_CLOSED)
		return SB_PULL_NONE;
	if (session->first) {
		*ret_frame = session->first;
		session->first = NULL;
		return SB_PULL_FRAME;
	}
	if (session->state == SB_SESSION_LEAVING) {
		sb_session_enter(session, SB_SESSION_CLOSED);
		return SB_PULL_CLOSE;
	}
	if (session->owes_ping) {
		session->owes_ping = false;
		return SB_PULL_PING;
	}
	if (session->owes_pong)
		return pull_pong(session, ret_frame);
	if (!session->mailbox)
		return SB_PULL_NONE;
	sb_session_save(session); /* again, after a save that failed */
	if (!session->mailbox)
		return sb_session_pull(session, ret_frame);
	if (session->owes_reset)
		return pull_reset(session, ret_frame);
	if (session->owes_acked && session->role != SB_ROLE_POLL &&
	    !sb_session_keeps_failures_back(session)) {
		session->owes_acked = false;
		return control_at(session, SB_SERVER_ACKED, sb_acked_encode, session->saved,
				  ret_frame);
	}
	*ret_frame = next_event(session);
	if (*ret_frame)
		return SB_PULL_FRAME;
	if (session->state == SB_SESSION_CATCHING_UP && session->settled &&
	    session->sent >= session->mailbox->numbering.head && sb_session_takes_events(session)) {
		sb_session_enter(session, SB_SESSION_LIVE);
		return control_at(session, SB_SERVER_LIVE, sb_live_encode, session->sent,
				  ret_frame);
	}
	if (is_through(session)) {
		sb_session_leave(session, SB_REASON_BYE, NULL);
		sb_session_enter(session, SB_SESSION_CLOSED);
		return SB_PULL_CLOSE;
	}
	return SB_PULL_NONE;
}

/* ---- time ---- */

void sb_session_wait_over(struct sb_session *session)
{
	if (session->state == SB_SESSION_CATCHING_UP) {
		/* Not even the first fetch was answered. */
		sb_session_close(session, SB_REASON_DEGRADED);
		return;
	}
	session->wait_over = true;
	sb_session_wake(session);
}

void sb_session_heartbeat(struct sb_session *session)
{
	uint64_t now = sb_hub_now(session->hub);
	const struct sb_hub_config *config = &session->hub->config;

	if (session->awaits_echo) {
		session->reason = SB_REASON_LOST;
		session->link->ops->cut(session->link);
		return;
	}
	if ((session->acked < session->sent || session->reset_open) &&
	    now - session->progress_ms >= config->stalled_ms) {
		sb_session_close(session, SB_REASON_STALLED);
		return;
	}
	session->owes_ping = true;
	session->awaits_echo = true;
	sb_deadline_start(&session->deadline, &session->hub->beats, now);
	sb_session_wake(session);
}
