/*
 * One mailbox's turn of the pump: who is hungry, one fetch, hand out the run.
 */
#include "daemon/core/mailbox.h"
#include "daemon/base/log.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <utlist.h>

struct sb_mailbox *sb_mailbox_get(struct sb_hub *hub, int64_t id,
				  const struct sb_numbering *numbering)
{
	struct sb_mailbox *mailbox;

	mailbox = sb_table_find(&hub->mailboxes, (uint64_t)id);
	if (mailbox)
		return mailbox;
	mailbox = calloc(1, sizeof(*mailbox));
	if (!mailbox)
		return NULL;
	mailbox->hub = hub;
	mailbox->id = id;
	mailbox->numbering = *numbering;
	if (sb_table_add(&hub->mailboxes, mailbox) != 0) {
		free(mailbox);
		return NULL;
	}
	return mailbox;
}

/* Whatever is to be done is done by then, at the latest. */
static void start_deadline(struct sb_mailbox *mailbox)
{
	sb_deadline_start(&mailbox->deadline, &mailbox->hub->runs, sb_hub_now(mailbox->hub));
}

static void free_run(struct sb_mailbox *mailbox)
{
	struct sb_run *run = mailbox->run;

	if (!run)
		return;
	mailbox->run = NULL;
	for (size_t i = 0; i < run->count; i++)
		sb_frame_unref(run->events[i].frame);
	sb_deadline_stop(&mailbox->deadline);
	free(run);
}

void sb_mailbox_free(struct sb_mailbox *mailbox)
{
	free_run(mailbox);
	sb_deadline_stop(&mailbox->deadline);
	sb_table_remove(&mailbox->hub->mailboxes, mailbox);
	free(mailbox);
}

/*
 * While a fetch is in flight the mailbox stays, so that its answer, which is
 * older than any session to come, finds its own asker and nobody else.
 */
static void free_if_empty(struct sb_mailbox *mailbox)
{
	if (!mailbox->sessions && !mailbox->fetching)
		sb_mailbox_free(mailbox);
}

void sb_mailbox_join(struct sb_mailbox *mailbox, struct sb_session *session)
{
	DL_APPEND2(mailbox->sessions, session, mailbox_prev, mailbox_next);
	session->mailbox = mailbox;
	/*
	 * A booking may have been committed between the authentication's snapshot
	 * and this moment, and its notification found nobody here. So register
	 * first, then fetch, always; the session is settled by the answer.
	 */
	session->settled = false;
	sb_mailbox_feed(mailbox);
}

void sb_mailbox_leave(struct sb_mailbox *mailbox, struct sb_session *session)
{
	sb_mailbox_taken(mailbox, session);
	DL_DELETE2(mailbox->sessions, session, mailbox_prev, mailbox_next);
	session->mailbox = NULL;
	/* The run may have gone with it, and the deadline by which others would have asked. */
	sb_mailbox_feed(mailbox);
	free_if_empty(mailbox);
}

void sb_mailbox_look(struct sb_mailbox *mailbox)
{
	mailbox->stale = true;
	sb_mailbox_feed(mailbox);
}

static bool is_hungry(const struct sb_mailbox *mailbox, const struct sb_session *session)
{
	if (session->on_run || session->asleep || !sb_session_has_room(session))
		return false;
	return mailbox->stale || !session->settled || session->sent < mailbox->numbering.head;
}

void sb_mailbox_feed(struct sb_mailbox *mailbox)
{
	struct sb_fetch question = {.mailbox_id = mailbox->id, .after = INT64_MAX};
	struct sb_session *session;

	if (mailbox->fetching)
		return;
	DL_FOREACH2(mailbox->sessions, session, mailbox_next) {
		if (is_hungry(mailbox, session) && session->sent < question.after)
			question.after = session->sent;
	}
	if (question.after == INT64_MAX)
		return;
	if (mailbox->hub->store->ops->fetch(mailbox->hub->store, &question) != 0) {
		start_deadline(mailbox); /* out of memory */
		return;
	}
	mailbox->fetching = true;
	mailbox->stale = false;
	DL_FOREACH2(mailbox->sessions, session, mailbox_next)
		session->asked = true;
}

/* Replaces the run by these events. What cannot be held for want of memory ends the run early: it
 * is fetched again. -ENOMEM: not even one could be held. */
static int make_run(struct sb_mailbox *mailbox, const struct sb_fetched *answer)
{
	struct sb_run *run = NULL;
	struct sb_text text;

	free_run(mailbox);
	if (answer->count)
		run = calloc(1, sizeof(*run) + answer->count * sizeof(run->events[0]));
	if (!run)
		return answer->count ? -ENOMEM : 0;
	run->after = answer->after;
	sb_text_init(&text);
	for (size_t i = 0; i < answer->count; i++) {
		struct sb_frame *frame;

		sb_text_clear(&text);
		if (sb_event_encode_readable(&text, &answer->events[i], &mailbox->numbering.epoch) <
		    0)
			sb_log(SB_LOG_ERROR, "event unreadable", "mailbox=%" PRId64 " seq=%" PRId64,
			       mailbox->id, answer->events[i].seq);
		frame = sb_frame_new(&text);
		if (!frame)
			break;
		frame->type = SB_SERVER_BOOKING;
		frame->cursor = (struct sb_cursor){.epoch = mailbox->numbering.epoch,
						   .seq = answer->events[i].seq};
		frame->published_at_us = answer->events[i].published_at_us;
		run->events[i] =
			(struct sb_run_event){.seq = answer->events[i].seq, .frame = frame};
		run->count++;
	}
	sb_text_fini(&text);
	mailbox->run = run;
	return run->count ? 0 : -ENOMEM;
}

/* Whether the session takes from the run: it stands somewhere in it, and not at its end. */
static bool takes_from(const struct sb_run *run, const struct sb_session *session)
{
	return run && run->count && session->sent >= run->after &&
	       session->sent < run->events[run->count - 1].seq;
}

static void drop_run(struct sb_mailbox *mailbox)
{
	struct sb_session *session;

	DL_FOREACH2(mailbox->sessions, session, mailbox_next) {
		/* It did not take what it was woken for: it asks again when its socket can be
		 * written. */
		session->asleep |= session->on_run;
		session->on_run = false;
	}
	free_run(mailbox);
}

void sb_mailbox_fetched(struct sb_mailbox *mailbox, const struct sb_fetched *answer)
{
	struct sb_session *session;
	int result;

	mailbox->fetching = false;
	if (!mailbox->sessions) {
		sb_mailbox_free(mailbox);
		return;
	}
	drop_run(mailbox);
	/* Fetches of a mailbox are one at a time, so this is the newest; heads may go back after a
	 * failover. */
	mailbox->numbering = answer->numbering;
	result = make_run(mailbox, answer);

	DL_FOREACH2(mailbox->sessions, session, mailbox_next) {
		if (!session->asked)
			continue; /* it joined after the question: this answer may be older than its
				     start */
		session->asked = false;
		session->settled = true;
		sb_session_follow(session);
		if (!answer->count && session->sent >= answer->after &&
		    session->sent < answer->numbering.head)
			sb_session_skip(session, answer->numbering.head);
		if (sb_session_takes_events(session) && takes_from(mailbox->run, session)) {
			session->on_run = true;
			mailbox->run->takers++;
		}
		sb_session_wake(session);
	}
	if (mailbox->run && !mailbox->run->takers)
		free_run(mailbox);
	if (mailbox->run || result != 0)
		start_deadline(mailbox);
	if (result == 0) /* else not again at once */
		sb_mailbox_feed(mailbox);
}

void sb_mailbox_fetch_failed(struct sb_mailbox *mailbox)
{
	mailbox->fetching = false;
	mailbox->stale = true;
	/* Not asked again at once, for what made it fail may last: by the next look, or by the
	 * deadline. A run that is there has started it. */
	if (!mailbox->run)
		start_deadline(mailbox);
	free_if_empty(mailbox);
}

const struct sb_run_event *sb_mailbox_next(const struct sb_mailbox *mailbox, int64_t seq)
{
	const struct sb_run *run = mailbox->run;
	size_t low = 0, high = run ? run->count : 0;

	if (!run || seq < run->after)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run->events[middle].seq <= seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < run->count ? &run->events[low] : NULL;
}

void sb_mailbox_taken(struct sb_mailbox *mailbox, struct sb_session *session)
{
	if (!session->on_run)
		return;
	session->on_run = false;
	if (--mailbox->run->takers == 0)
		free_run(mailbox);
}

void sb_mailbox_due(struct sb_mailbox *mailbox)
{
	drop_run(mailbox);
	sb_mailbox_feed(mailbox);
}
