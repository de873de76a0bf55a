/*
 * What a client says, and what that means for its session. Every refusal goes
 * one way: an error message with words for its developer, then the close.
 */
#include "daemon/base/log.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/numbering.h"
#include "daemon/core/sent.h"
#include "daemon/core/session_private.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void sb_session_refuse(struct sb_session *session, enum sb_reason reason, const char *detail)
{
	char name[SB_SESSION_NAME_MAX + 1];
	struct sb_frame *error;
	struct sb_text text;

	if (session->state >= SB_SESSION_LEAVING)
		return;
	sb_session_name(session, name);
	sb_log(SB_LOG_INFO, "client refused",
	       "session=%s device=%" PRId64 " reason=%s detail=\"%s\"", name, session->device_id,
	       sb_reason_word(reason), detail);
	sb_text_init(&text);
	sb_error_encode(&text, reason, detail);
	error = sb_frame_new(&text);
	if (error)
		error->type = SB_SERVER_ERROR;
	sb_session_leave(session, reason, error);
	sb_text_fini(&text);
}

void sb_session_left(struct sb_session *session, enum sb_reason reason)
{
	if (session->state < SB_SESSION_LEAVING)
		session->reason = (uint8_t)reason;
}

void sb_session_heard(struct sb_session *session)
{
	session->awaits_echo = false;
}

/* ---- hello ---- */

static int take_token(struct sb_session *session, const char *text, size_t len)
{
	struct sb_token token;
	int result = sb_token_parse(text, len, &token);

	if (result == 0) {
		session->greeting->device_id = token.device_id;
		sb_token_proof(&token, session->greeting->proof);
	}
	sb_token_wipe(&token);
	return result;
}

void sb_session_header_token(struct sb_session *session, const char *text, size_t len)
{
	if (session->state != SB_SESSION_GREETING)
		return;
	if (take_token(session, text, len) != 0)
		sb_session_refuse(session, SB_REASON_BAD_TOKEN,
				  "the Authorization header holds no Slotbell token");
}

/* The one of this seq, or a new one at the end. NULL: there are too many. */
static struct sb_failure *failure_of(struct sb_session *session, int64_t seq)
{
	for (size_t i = 0; i < session->failure_count; i++) {
		if (session->failures[i].seq == seq)
			return &session->failures[i];
	}
	return session->failure_count < SB_FAILED_MAX ? &session->failures[session->failure_count++]
						      : NULL;
}

/* Keeps what failed for the next save. A seq named again, as clients do until they are told that it
 * is kept, has its newer reason. */
static int add_failures(struct sb_session *session, const struct sb_ack *ack)
{
	size_t most = session->failure_count + ack->failed_count;
	struct sb_failure *grown;

	if (!ack->failed_count)
		return 0;
	if (most > SB_FAILED_MAX)
		most = SB_FAILED_MAX;
	grown = realloc(session->failures, most * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	session->failures = grown;
	for (size_t i = 0; i < ack->failed_count; i++) {
		struct sb_failure *failure = failure_of(session, ack->failed[i].seq);

		if (!failure)
			return -E2BIG;
		*failure = ack->failed[i];
	}
	return 0;
}

/* Of devices whose sessions replace each other too quickly the next one has to wait. */
static bool must_wait(struct sb_session *session)
{
	struct sb_hub *hub = session->hub;
	uint32_t wait_ms =
		sb_rivals_wait_ms(&hub->rivals, session->greeting->device_id, sb_hub_now(hub));

	if (!wait_ms || session->role != SB_ROLE_LIVE)
		return false;
	sb_session_send_away(session, SB_REASON_TOO_MANY, wait_ms);
	return true;
}

static void ask_who(struct sb_session *session)
{
	struct sb_hub *hub = session->hub;
	struct sb_authenticate question = {
		.session_id = session->id,
		.device_id = session->greeting->device_id,
		.takes_over = session->role == SB_ROLE_LIVE,
	};

	if (must_wait(session))
		return;
	memcpy(question.proof, session->greeting->proof, sizeof(question.proof));
	if (hub->store->ops->authenticate(hub->store, &question) != 0) {
		sb_session_close(session, SB_REASON_BUSY);
		return;
	}
	session->greeting->unheard = hub->unheard;
	sb_session_enter(session, SB_SESSION_AUTHENTICATING);
	sb_deadline_start(&session->deadline, &hub->waits, sb_hub_now(hub));
}

void sb_session_open(struct sb_session *session, const struct sb_opening *opening)
{
	struct sb_greeting *greeting = session->greeting;

	if (session->state != SB_SESSION_GREETING)
		return;
	session->role = (uint8_t)opening->role;
	session->wait_seconds = (uint8_t)opening->wait_seconds;
	if (opening->limit && opening->limit < session->limit)
		session->limit = (uint16_t)opening->limit;
	greeting->has_cursor = opening->has_cursor;
	greeting->cursor = opening->cursor;
	if (opening->ack) {
		greeting->has_cursor = true;
		greeting->cursor = opening->ack->cursor;
		if (add_failures(session, opening->ack) != 0) {
			sb_session_close(session, SB_REASON_BUSY);
			return;
		}
	}
	if (!greeting->device_id)
		sb_session_refuse(
			session, SB_REASON_BAD_TOKEN,
			"no token: send it in the Authorization header or in hello.token");
	else
		ask_who(session);
}

static void on_hello(struct sb_session *session, const struct sb_hello *hello)
{
	struct sb_opening opening = {
		.role = hello->mode == SB_MODE_ONCE ? SB_ROLE_ONCE : SB_ROLE_LIVE,
		.has_cursor = hello->has_cursor,
		.cursor = hello->cursor,
	};

	if (session->state != SB_SESSION_GREETING) {
		sb_session_refuse(session, SB_REASON_BAD_MESSAGE, "a second hello");
		return;
	}
	if (hello->has_token && take_token(session, hello->token, strlen(hello->token)) != 0) {
		sb_session_refuse(session, SB_REASON_BAD_TOKEN, "hello.token is no Slotbell token");
		return;
	}
	sb_session_open(session, &opening);
}

/* ---- ack ---- */

/* Where in the session's numbers this ack stands: a seq, or -EAGAIN: of numbers that are no more,
 * to be passed over. */
static int ack_seq(struct sb_session *session, const struct sb_cursor *cursor, int64_t *ret_seq)
{
	const struct sb_numbering *numbering = &session->mailbox->numbering;

	*ret_seq = cursor->seq;
	if (sb_epoch_equal(&cursor->epoch, &session->epoch)) {
		if (cursor->seq <= session->sent)
			return 0;
		/* Between a reset and its ack, acks of what was sent before it may still arrive. */
		return session->reset_open ? -EAGAIN : -ERANGE;
	}
	if (sb_epoch_equal(&cursor->epoch, &numbering->previous_epoch))
		return cursor->seq <= numbering->base && cursor->seq <= session->sent ? 0 : -EAGAIN;
	return session->reset_open ? -EAGAIN : -ERANGE;
}

static void on_ack(struct sb_session *session, const struct sb_ack *ack)
{
	int64_t seq;
	int result;

	if (!session->mailbox) {
		sb_session_refuse(session, SB_REASON_BAD_MESSAGE, "an ack before welcome");
		return;
	}
	result = ack_seq(session, &ack->cursor, &seq);
	if (result == -EAGAIN)
		return;
	if (result != 0) {
		sb_session_refuse(session, SB_REASON_BAD_MESSAGE,
				  "ack.cursor is of an event that was not sent");
		return;
	}
	session->save_silent = false;
	result = add_failures(session, ack);
	if (result == -E2BIG) {
		sb_session_refuse(session, SB_REASON_BAD_MESSAGE,
				  "too many failures before they were acked");
		return;
	}
	if (result != 0) {
		sb_session_close(session, SB_REASON_BUSY);
		return;
	}
	if (!session->owes_reset && seq >= session->reset_seq)
		session->reset_open = false;
	if (seq > session->acked) {
		session->acked = seq;
		session->progress_ms = sb_hub_now(session->hub);
		/* What lies beyond may be a jump between epochs, numbers without events. */
		if (!sb_numbering_distance(&session->mailbox->numbering, session->acked,
					   session->sent))
			session->acked = session->sent;
	}
	if (session->acked <= session->saved && !session->failure_count)
		session->owes_acked = true; /* said before: said again */
	else
		sb_session_save(session);
	sb_session_wake(session); /* the window may be open again */
}

/* The lowest seq of the failures that wait; 0: none do. */
static int64_t first_failure(const struct sb_session *session)
{
	int64_t first = 0;

	for (size_t i = 0; i < session->failure_count; i++) {
		if (!first || session->failures[i].seq < first)
			first = session->failures[i].seq;
	}
	return first;
}

bool sb_session_keeps_failures_back(const struct sb_session *session)
{
	int64_t waiting = first_failure(session);

	return (waiting && waiting <= session->saved) ||
	       (session->saving_failed && session->saving_failed <= session->saved);
}

static int ask_save(struct sb_session *session)
{
	struct sb_hub *hub = session->hub;
	struct sb_save_ack question = {
		.session_id = session->id,
		.device_id = session->device_id,
		.session_no = session->role == SB_ROLE_ONCE ? INT64_MAX : session->session_no,
		.cursor = {.epoch = session->epoch, .seq = session->acked},
		.failed_count = session->failure_count,
		.failed = session->failures,
		.announce = session->role == SB_ROLE_ACK,
	};
	struct sb_session *lender = sb_sent_lend(session, &question);
	int result = hub->store->ops->save_ack(hub->store, &question);

	if (result != 0)
		return result;
	if (lender)
		sb_sent_forget(lender, session->acked);
	hub->acks_asked++;
	session->save_asked = true;
	session->saving = session->acked;
	session->saving_failed = first_failure(session);
	free(session->failures);
	session->failures = NULL;
	session->failure_count = 0;
	return 0;
}

void sb_session_save(struct sb_session *session)
{
	if (session->save_asked || (session->acked <= session->saved && !session->failure_count))
		return;
	if (ask_save(session) != 0)
		sb_session_close(
			session,
			SB_REASON_BUSY); /* not saved, so not acked: it will be sent again */
}

void sb_session_save_last(struct sb_session *session)
{
	int64_t known = session->save_asked ? session->saving : session->saved;

	if (session->acked > known || session->failure_count)
		(void)ask_save(session);
}

/* ---- one message ---- */

void sb_session_receive(struct sb_session *session, const char *bytes, size_t len)
{
	struct sb_client_message message;
	struct sb_refusal refusal;
	int result;

	if (session->state >= SB_SESSION_LEAVING)
		return;
	session->awaits_echo = false;
	result = sb_client_message_decode(bytes, len, &message, &refusal);
	if (result == -EPROTO) {
		sb_session_refuse(session, refusal.reason, refusal.detail);
		return;
	}
	if (result != 0) {
		sb_session_close(session, SB_REASON_BUSY);
		return;
	}
	switch (message.type) {
	case SB_CLIENT_HELLO:
		on_hello(session, &message.hello);
		explicit_bzero(&message.hello.token, sizeof(message.hello.token));
		break;
	case SB_CLIENT_ACK:
		on_ack(session, &message.ack);
		break;
	case SB_CLIENT_PING:
		session->owes_pong = true;
		sb_session_wake(session);
		break;
	}
}
