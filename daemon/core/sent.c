/* A row of times for one session; see sent.h. */
#include "daemon/core/sent.h"
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 4

/* A log with room for twice as many, or for the first few; NULL: no memory. */
static struct sb_sent_log *grow(struct sb_session *session)
{
	struct sb_sent_log *old = session->sent_log, *grown;
	uint16_t size = old ? (uint16_t)(2 * old->size) : SIZE_MIN;

	grown = calloc(1, sizeof(*grown) + size * sizeof(grown->us[0]));
	if (!grown)
		return NULL;
	grown->session = session;
	grown->size = size;
	if (old) {
		grown->first = old->first;
		grown->count = old->count;
		grown->told = old->told;
		memcpy(grown->us, old->us, old->count * sizeof(old->us[0]));
		sb_sent_fini(session);
	}
	session->sent_log = grown;
	return grown;
}

void sb_sent_note(struct sb_session *session, int64_t seq)
{
	struct sb_sent_log *log = session->sent_log;
	struct sb_hub *hub = session->hub;

	if (log && seq != log->first + log->count)
		log->count = log->told =
			0; /* numbers jumped: what was before is another history's */
	if (!log || log->count == log->size)
		log = grow(session);
	if (!log)
		return;
	if (log->count == 0)
		log->first = seq;
	log->us[log->count++] = hub->clock->wall_us(hub->clock);
	if (!log->late.queue)
		sb_deadline_start(&log->late, &hub->lates, sb_hub_now(hub));
}

void sb_sent_forget(struct sb_session *session, int64_t seq)
{
	struct sb_sent_log *log = session->sent_log;
	uint16_t gone;

	if (!log || seq < log->first)
		return;
	if (seq >= log->first + log->count - 1) {
		sb_sent_fini(session);
		return;
	}
	gone = (uint16_t)(seq - log->first + 1);
	log->first += gone;
	log->count = (uint16_t)(log->count - gone);
	log->told = log->told > gone ? (uint16_t)(log->told - gone) : 0;
	memmove(log->us, log->us + gone, log->count * sizeof(log->us[0]));
}

/* An ack that comes by a request of its own is for events that another session was sent. */
static struct sb_session *holder(struct sb_session *session)
{
	struct sb_session *other = sb_devices_find(session->hub, session->device_id);

	if (session->sent_log)
		return session;
	while (other && !(other->sent_log && sb_epoch_equal(&other->epoch, &session->epoch)))
		other = other->device_next;
	return other;
}

struct sb_session *sb_sent_lend(struct sb_session *session, struct sb_save_ack *question)
{
	struct sb_session *held_by = holder(session);
	const struct sb_sent_log *log = held_by ? held_by->sent_log : NULL;
	int64_t covered;

	if (!log || question->cursor.seq < log->first)
		return NULL;
	covered = question->cursor.seq - log->first + 1;
	question->sent_first = log->first;
	question->sent_count = covered < log->count ? (size_t)covered : log->count;
	question->sent_us = log->us;
	return held_by;
}

void sb_sent_tell(struct sb_session *session)
{
	struct sb_sent_log *log = session->sent_log;
	struct sb_sent question = {.device_id = session->device_id};

	if (!log || log->told == log->count)
		return;
	question.first = log->first + log->told;
	question.count = (size_t)(log->count - log->told);
	question.us = log->us + log->told;
	/* For want of memory nobody will know. */
	(void)session->hub->store->ops->sent(session->hub->store, &question);
	log->told = log->count;
}

void sb_sent_fini(struct sb_session *session)
{
	if (!session->sent_log)
		return;
	sb_deadline_stop(&session->sent_log->late);
	free(session->sent_log);
	session->sent_log = NULL;
}

void sb_sent_tick(struct sb_hub *hub, uint64_t now_ms)
{
	struct sb_deadline *due;

	/* `late` is the first field. */
	while ((due = sb_deadlines_take(&hub->lates, now_ms)))
		sb_sent_tell(((struct sb_sent_log *)(void *)due)->session);
}
