/*
 * What the database says about a session: who it is and where it starts, and
 * that its acks are kept.
 */
#include "daemon/base/log.h"
#include "daemon/core/admission.h"
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/numbering.h"
#include "daemon/core/sent.h"
#include "daemon/core/session_private.h"
#include <inttypes.h>
#include <stdlib.h>

static void refuse_outcome(struct sb_session *session, enum sb_auth_outcome outcome)
{
	switch (outcome) {
	case SB_AUTH_REVOKED:
		sb_session_refuse(session, SB_REASON_REVOKED,
				  "this device was revoked; enrol it anew");
		break;
	case SB_AUTH_EXPIRED:
		sb_session_refuse(session, SB_REASON_EXPIRED,
				  "this token's time is over; get a new one");
		break;
	case SB_AUTH_OK:
	case SB_AUTH_UNKNOWN:
		sb_session_refuse(session, SB_REASON_BAD_TOKEN, "no such token");
		break;
	}
}

/*
 * One live session per device: the newer wins. Returns false when this session
 * itself is the older one, because answers crossed on their way.
 */
static bool take_over(struct sb_session *session)
{
	struct sb_session *other = sb_devices_find(session->hub, session->device_id), *next;

	for (struct sb_session *s = other; s; s = s->device_next) {
		if (s->role == SB_ROLE_LIVE && s->session_no > session->session_no)
			return false;
	}
	for (; other; other = next) {
		next = other->device_next;
		if (other != session && other->role == SB_ROLE_LIVE)
			sb_session_close(other, SB_REASON_REPLACED);
	}
	return true;
}

static struct sb_frame *welcome(const struct sb_session *session,
				const struct sb_authenticated *answer)
{
	const struct sb_hub_config *config = &session->hub->config;
	char name[SB_SESSION_NAME_MAX + 1];
	struct sb_welcome message = {
		.session = name,
		.mailbox = answer->address,
		.cursor = {.epoch = session->epoch, .seq = session->sent},
		.head = answer->numbering.head,
		.window = config->window,
		.heartbeat_seconds = config->heartbeat_ms / 1000,
		.server_time_us = session->hub->clock->wall_us(session->hub->clock),
		.reconnect_min_ms = config->reconnect_min_ms,
		.reconnect_max_ms = config->reconnect_max_ms,
	};
	struct sb_frame *frame;
	struct sb_text text;

	sb_session_name(session, name);
	sb_text_init(&text);
	sb_welcome_encode(&text, &message);
	frame = sb_frame_new(&text);
	if (frame)
		frame->type = SB_SERVER_WELCOME;
	sb_text_fini(&text);
	return frame;
}

/* How long it may stay until somebody looks after it again. */
static void start_deadline(struct sb_session *session)
{
	struct sb_hub *hub = session->hub;
	struct sb_deadlines *queue = &hub->waits; /* it is here for an answer of the database */

	if (session->role == SB_ROLE_LIVE || session->role == SB_ROLE_ONCE)
		queue = &hub->beats;
	else if (session->role == SB_ROLE_POLL && session->wait_seconds)
		queue = &hub->polls[session->wait_seconds];
	sb_deadline_start(&session->deadline, queue, sb_hub_now(hub));
}

/* Said first to those that stay; a poll and an ack have their answer, and nothing else. */
static bool wants_welcome(const struct sb_session *session)
{
	return session->role == SB_ROLE_LIVE || session->role == SB_ROLE_ONCE;
}

struct start {
	int64_t seq;   /* where the session starts */
	int64_t acked; /* what hello's cursor acks, if that is further than the stored one */
	bool reset;
	enum sb_reset_reason reset_reason;
	int64_t beyond; /* what the client or its row has of this epoch, and the mailbox not; or 0
			 */
};

/*
 * The later of hello's cursor and the stored one; a reset where the client's is of no use or events
 * are gone. An ack by itself is about its own cursor and no other: were it answered with a later
 * one that the database has meanwhile, a stream might still bring what lies between.
 */
static struct start choose_start(const struct sb_session *session,
				 const struct sb_authenticated *answer)
{
	const struct sb_greeting *greeting = session->greeting;
	const struct sb_numbering *numbering = &answer->numbering;
	struct start start = {.seq = answer->acked};

	/* An older state of the database came back, with nothing to tell it from the one that was:
	 * what is numbered from here on would pass for what the device has. */
	if (answer->acked > numbering->head) {
		start.seq = numbering->head;
		start.reset = true;
		start.reset_reason = SB_RESET_UNKNOWN_CURSOR;
		start.beyond = answer->acked;
	}
	if (greeting->has_cursor) {
		switch (sb_numbering_judge(numbering, &greeting->cursor)) {
		case SB_VERDICT_GOOD:
			if (greeting->cursor.seq > start.seq || session->role == SB_ROLE_ACK)
				start.seq = greeting->cursor.seq;
			break;
		case SB_VERDICT_EPOCH:
			start.reset = true;
			start.reset_reason = SB_RESET_EPOCH;
			break;
		case SB_VERDICT_BEYOND:
			start.reset = true;
			start.reset_reason = SB_RESET_UNKNOWN_CURSOR;
			start.beyond = greeting->cursor.seq;
			break;
		}
	}
	start.acked = start.seq;
	if (start.seq < numbering->floor) {
		if (!start.reset)
			start.reset_reason = SB_RESET_EXPIRED;
		start.reset = true;
		start.seq = numbering->floor;
	}
	return start;
}

void sb_session_tell(struct sb_session *session, const struct sb_authenticated *answer)
{
	struct sb_reconnect reconnect = {.state = sb_hub_standing(session->hub)};
	struct sb_frame *words;
	struct sb_text text;

	/* Who is known and asks will come: the answers add up to a rate. A stranger takes no slot.
	 */
	if (reconnect.state != SB_STANDING_READY)
		reconnect.retry_after_ms = sb_hub_return_ms(session->hub);
	else if (answer)
		reconnect.retry_after_ms = sb_hub_return_ms(session->hub) - SB_RETURN_MIN_MS;
	if (answer) {
		struct start start = choose_start(session, answer);

		reconnect.has_device = true;
		reconnect.epoch = answer->numbering.epoch;
		reconnect.head = answer->numbering.head;
		reconnect.acked = answer->acked;
		reconnect.pending = sb_numbering_distance(&answer->numbering, start.seq,
							  answer->numbering.head);
	}
	sb_text_init(&text);
	sb_reconnect_encode(&text, &reconnect);
	words = sb_frame_new(&text);
	sb_text_fini(&text);
	sb_session_leave(session, words ? SB_REASON_BYE : SB_REASON_BUSY, words);
}

/* Its token is good. */
static void know_device(struct sb_session *session)
{
	session->device_id = session->greeting->device_id;
	session->hub->stats.unauthenticated--;
}

void sb_session_tell_beyond(const struct sb_session *session, int64_t seq)
{
	sb_log(SB_LOG_ERROR, "numbers came back",
	       "mailbox=%" PRId64 " device=%" PRId64 " seq=%" PRId64 " head=%" PRId64
	       " hint=\"an older state of the database was started in place of the newer: "
	       "slotbellctl db new-epoch\"",
	       session->mailbox->id, session->device_id, seq, session->mailbox->numbering.head);
}

static const char *const role_words[] = {
	[SB_ROLE_LIVE] = "live", [SB_ROLE_ONCE] = "once", [SB_ROLE_POLL] = "poll",
	[SB_ROLE_ACK] = "ack",	 [SB_ROLE_ASK] = "ask",
};

void sb_session_authenticated(struct sb_session *session, const struct sb_authenticated *answer)
{
	struct sb_hub *hub = session->hub;
	struct sb_mailbox *mailbox;
	struct start start;
	bool was_unheard;
	char name[SB_SESSION_NAME_MAX + 1];

	if (session->state != SB_SESSION_AUTHENTICATING)
		return;
	if (answer->outcome != SB_AUTH_OK) {
		refuse_outcome(session, answer->outcome);
		return;
	}
	if (session->role == SB_ROLE_ASK) {
		know_device(session);
		sb_session_tell(session, answer);
		return;
	}
	/* A live one takes the place of the one before it. */
	if (session->role != SB_ROLE_LIVE &&
	    sb_devices_count_short(hub, session->greeting->device_id) >= SB_DEVICE_SHORT_MAX) {
		sb_session_close(session, SB_REASON_TOO_MANY);
		return;
	}
	start = choose_start(session, answer);
	mailbox = sb_mailbox_get(hub, answer->mailbox_id, &answer->numbering);
	if (!mailbox) {
		sb_session_close(session, SB_REASON_BUSY);
		return;
	}
	know_device(session);
	session->session_no = answer->session_no;
	session->expires_at_s = answer->expires_at_s;
	session->epoch = answer->numbering.epoch;
	session->saved = answer->acked < start.acked ? answer->acked : start.acked;
	session->acked = start.acked;
	session->sent = start.acked;
	if (wants_welcome(session))
		session->first = welcome(session, answer);
	sb_session_enter(session, SB_SESSION_CATCHING_UP);
	sb_session_measure_catch_up(session, sb_numbering_distance(&answer->numbering, start.seq,
								   answer->numbering.head));
	session->progress_ms = sb_hub_now(hub);
	was_unheard = session->greeting->unheard != hub->unheard;
	free(session->greeting);
	session->greeting = NULL;
	start_deadline(session);
	sb_session_name(session, name);
	sb_log(wants_welcome(session) ? SB_LOG_INFO : SB_LOG_DEBUG, "session began",
	       "session=%s device=%" PRId64 " mailbox=%" PRId64 " start=%" PRId64 " head=%" PRId64
	       " role=%s",
	       name, session->device_id, mailbox->id, start.seq, answer->numbering.head,
	       role_words[session->role]);

	/* Registered first, then fetched: see sb_mailbox_join(). */
	sb_mailbox_join(mailbox, session);
	if ((wants_welcome(session) && !session->first) || sb_devices_add(hub, session) != 0) {
		sb_session_close(session, SB_REASON_BUSY);
		return;
	}
	if (start.beyond)
		sb_session_tell_beyond(session, start.beyond);
	if (session->role == SB_ROLE_LIVE && !take_over(session)) {
		sb_session_close(session, SB_REASON_REPLACED);
		return;
	}
	if (session->role == SB_ROLE_LIVE)
		sb_session_tell_presence(session, true);
	sb_hub_expect_expiry(hub, session->expires_at_s);
	if (was_unheard)
		sb_hub_recheck(hub, session->device_id);
	sb_session_save(session);
	/* An acked answers acks: else one for hello's cursor could pass for the answer to an ack
	 * with failures that crossed it. */
	session->save_silent = session->save_asked && session->role != SB_ROLE_ACK;
	/* An ack is good also where the events that it is about are gone. */
	if (session->role == SB_ROLE_ACK && start.reset_reason == SB_RESET_EXPIRED)
		start.reset = false;
	if (start.reset && session->mailbox)
		sb_session_reset(session, start.seq, start.reset_reason);
	else if (session->role == SB_ROLE_ACK && !session->save_asked)
		session->owes_acked = true; /* said before: said again */
	sb_session_wake(session);
}

void sb_session_confirm(struct sb_session *session, int64_t seq)
{
	if (seq <= session->saved || seq > session->sent)
		return;
	session->saved = seq;
	sb_session_measure_saved(session);
	if (seq > session->acked) {
		session->acked = seq;
		session->progress_ms = sb_hub_now(session->hub);
		sb_sent_forget(session, seq);
	}
	if (!session->owes_reset && seq >= session->reset_seq)
		session->reset_open = false;
	/* Nobody waits for hello's cursor, by whichever way we hear that it is kept. */
	if (!session->save_silent || seq > session->saving)
		session->owes_acked = true;
	sb_session_wake(session); /* the window may be open again */
}

/* An ack came by a request of its own: the session that was sent the events hears of it here. */
static void confirm_others(const struct sb_session *session)
{
	struct sb_session *other = sb_devices_find(session->hub, session->device_id);

	for (; other; other = other->device_next) {
		if (other != session && sb_epoch_equal(&other->epoch, &session->epoch))
			sb_session_confirm(other, session->saved);
	}
}

void sb_session_ack_saved(struct sb_session *session, const struct sb_ack_saved *answer)
{
	if (!session->mailbox)
		return; /* it left meanwhile; its ack is kept all the same */
	if (answer->replaced) {
		sb_session_close(session, SB_REASON_REPLACED);
		return;
	}
	session->save_asked = false;
	session->saving_failed = 0;
	if (!answer->saved) {
		/* Its numbers are of a history that is no more, or its device is gone: look at
		 * both. */
		sb_mailbox_look(session->mailbox);
		sb_hub_recheck(session->hub, session->device_id);
		return;
	}
	/* Not beyond what was sent: a reset may have gone back meanwhile. */
	if (session->saving > session->saved && session->saving <= session->sent)
		session->saved = session->saving;
	sb_session_measure_saved(session);
	session->hub->stats.acks_saved++;
	if (!session->save_silent)
		session->owes_acked = true;
	session->save_silent = false;
	if (session->role == SB_ROLE_ACK)
		confirm_others(session);
	sb_session_save(session);
	sb_session_wake(session);
}
