/*
 * The client's order of work: appointment, state, ack. Bookings come from
 * client_session.c as they arrive; the turn's end settles them together.
 * Never acks what is not on the disk.
 */
#include "plugin-stub/client_private.h"
#include "protocol/link.h"

#include <stdlib.h>
#include <string.h>

static void disk_trouble(struct sb_client *client, const char *what, int err)
{
	sb_client_trouble(client, "%s: %s; the bookings are not acked and will come again", what,
			  strerror(-err));
	client->disk_trouble = true;
	sb_client_close(client, sb_reason_close_code(SB_REASON_GOING_AWAY));
}

void sb_client_forget_pending(struct sb_client *client)
{
	for (size_t i = 0; i < client->pending_count; i++) {
		sb_server_message_fini(&client->pending[i].message);
		free(client->pending[i].file);
	}
	client->pending_count = 0;
}

/* What cannot be read is one failed event: the next one comes all the same. */
static int write_appointment(struct sb_client *client, const struct sb_server_message *message,
			     enum sb_written *ret_written, char ret_file[PATH_MAX])
{
	if (!message->event.unreadable)
		return client->ops->write(client->world, message, ret_written, ret_file);
	*ret_written = SB_UNSUPPORTED;
	ret_file[0] = '\0';
	return 0;
}

void sb_client_take_booking(struct sb_client *client, struct sb_server_message *message)
{
	struct sb_client_pending *pending;
	enum sb_written written;
	char file[PATH_MAX];
	int err;

	/* One ack has one epoch, and so has one batch. */
	if (client->pending_count == SB_CLIENT_BATCH_MAX ||
	    (client->pending_count > 0 &&
	     !sb_epoch_equal(&client->pending[0].message.cursor.epoch, &message->cursor.epoch))) {
		sb_client_settle(client);
		if (client->ack_due)
			sb_client_ack(client);
	}
	if (client->state != SB_CLIENT_IN_SESSION)
		return;
	err = write_appointment(client, message, &written, file);
	if (err) {
		/* The ones before it are fine: theirs is the last ack of this connection. */
		sb_client_settle(client);
		if (client->ack_due)
			sb_client_ack(client);
		disk_trouble(client, "Cannot write the appointment", err);
		return;
	}
	pending = &client->pending[client->pending_count++];
	pending->message = *message;
	pending->written = written;
	pending->file = strdup(file);
	memset(message, 0, sizeof(*message));
}

static bool is_failure(enum sb_written written)
{
	return written == SB_UNSUPPORTED || written == SB_IN_THE_WAY;
}

static enum sb_failure_reason failure_of(enum sb_written written)
{
	return written == SB_IN_THE_WAY ? SB_FAILURE_CONFLICT : SB_FAILURE_UNSUPPORTED;
}

/* A newer report of the same event replaces the older one. */
static bool add_failure(struct sb_progress *progress, const struct sb_cursor *cursor,
			enum sb_failure_reason reason)
{
	struct sb_pending_failure *failure = NULL;

	for (size_t i = 0; i < progress->failed_count && !failure; i++) {
		struct sb_pending_failure *f = &progress->failed[i];

		if (f->cursor.seq == cursor->seq &&
		    sb_epoch_equal(&f->cursor.epoch, &cursor->epoch))
			failure = f;
	}
	if (!failure) {
		if (progress->failed_count == SB_FAILED_MAX)
			return false;
		failure = &progress->failed[progress->failed_count++];
	}
	failure->cursor = *cursor;
	failure->reason = reason;
	failure->sent = false;
	return true;
}

/* Failures of an epoch that acks no longer name. */
static void forget_other_epochs(struct sb_client *client, struct sb_progress *progress,
				const struct sb_epoch *epoch)
{
	size_t kept = 0;

	for (size_t i = 0; i < progress->failed_count; i++) {
		if (sb_epoch_equal(&progress->failed[i].cursor.epoch, epoch))
			progress->failed[kept++] = progress->failed[i];
		else if (!progress->failed[i].sent)
			sb_client_trouble(client,
					  "The failure of event %lld cannot be reported any more: "
					  "its epoch is over",
					  (long long)progress->failed[i].cursor.seq);
	}
	progress->failed_count = kept;
}

static bool is_behind(const struct sb_progress *progress, const struct sb_cursor *cursor)
{
	return !progress->has_cursor || !sb_epoch_equal(&progress->cursor.epoch, &cursor->epoch) ||
	       progress->cursor.seq < cursor->seq;
}

static bool advance(struct sb_client *client, struct sb_progress *progress)
{
	for (size_t i = 0; i < client->pending_count; i++) {
		const struct sb_client_pending *pending = &client->pending[i];
		const struct sb_cursor *cursor = &pending->message.cursor;

		if (is_behind(progress, cursor)) {
			forget_other_epochs(client, progress, &cursor->epoch);
			progress->cursor = *cursor;
			progress->has_cursor = true;
		}
		if (is_failure(pending->written) &&
		    !add_failure(progress, cursor, failure_of(pending->written)))
			return false;
	}
	return true;
}

/* The one place that tells of a link that the appointment does not have. It names no person. */
static void tell_link(struct sb_client *client, const struct sb_server_message *message)
{
	const char *link = message->event.booking.join_url;
	const char *problem = link && *link ? sb_link_problem(link) : NULL;

	if (problem)
		sb_client_trouble(client, "The join_url of event %lld is left out: %s",
				  (long long)message->cursor.seq, problem);
}

static const char *failure_words(const struct sb_client_pending *pending)
{
	if (pending->written == SB_IN_THE_WAY)
		return "something that may not be replaced has the appointment's name";
	if (pending->message.event.unreadable)
		return pending->message.detail; /* it repeats nothing of the booking */
	return "this booking cannot be written as an appointment";
}

static void tell_pending(struct sb_client *client)
{
	for (size_t i = 0; i < client->pending_count; i++) {
		const struct sb_client_pending *pending = &client->pending[i];
		struct sb_news news = {.message = &pending->message};

		if (is_failure(pending->written)) {
			news.kind = SB_NEWS_FAILED;
			news.failure = failure_of(pending->written);
			news.words = failure_words(pending);
		} else {
			news.kind = SB_NEWS_WRITTEN;
			news.repeat = pending->written == SB_REPEAT;
			news.file = pending->file ? pending->file : "";
		}
		if (news.kind == SB_NEWS_WRITTEN && !news.repeat)
			tell_link(client, &pending->message);
		sb_client_tell(client, &news);
	}
}

/* The batch is on the disk, or it is not to be acked. */
static int put_on_disk(struct sb_client *client, const struct sb_progress *progress)
{
	int err = 0;

	if (client->pending_count > 0) {
		err = client->ops->sync(client->world);
		if (err) {
			disk_trouble(client, "Cannot flush the calendar", err);
			return err;
		}
	}
	err = client->ops->save(client->world, progress);
	if (err)
		disk_trouble(client, "Cannot save the state", err);
	return err;
}

void sb_client_settle(struct sb_client *client)
{
	struct sb_progress next;

	if (client->pending_count == 0 && !client->progress_dirty)
		return;
	next = client->progress;
	if (!advance(client, &next)) {
		sb_client_trouble(client,
				  "The server has not confirmed %d reported failures; coming back",
				  SB_FAILED_MAX);
		sb_client_close(client, sb_reason_close_code(SB_REASON_GOING_AWAY));
	} else if (!put_on_disk(client, &next)) {
		client->progress = next;
		client->progress_dirty = false;
		if (client->pending_count > 0) {
			client->ack_due = true;
			client->disk_failures = 0;
			tell_pending(client);
		}
	}
	sb_client_forget_pending(client);
}

static bool is_within(const struct sb_cursor *cursor, const struct sb_cursor *end)
{
	return cursor->seq <= end->seq && sb_epoch_equal(&cursor->epoch, &end->epoch);
}

void sb_client_take_reset(struct sb_client *client, const struct sb_cursor *cursor)
{
	struct sb_progress next = client->progress;

	/* An ack names failures up to its own cursor, in its own epoch. */
	next.failed_count = 0;
	for (size_t i = 0; i < client->progress.failed_count; i++) {
		if (is_within(&client->progress.failed[i].cursor, cursor))
			next.failed[next.failed_count++] = client->progress.failed[i];
	}
	next.cursor = *cursor;
	next.has_cursor = true;
	if (put_on_disk(client, &next))
		return;
	client->progress = next;
	client->progress_dirty = false;
	client->ack_due = true;
}

void sb_client_take_epoch(struct sb_client *client, const struct sb_cursor *start)
{
	struct sb_progress *progress = &client->progress;

	/* Numbers up to where the new epoch branches off are the same in both. */
	for (size_t i = 0; i < progress->failed_count; i++) {
		struct sb_cursor *failed = &progress->failed[i].cursor;

		if (is_within(failed, &progress->cursor) && failed->seq <= start->seq)
			failed->epoch = start->epoch;
	}
	forget_other_epochs(client, progress, &start->epoch);
	progress->cursor = *start;
	client->progress_dirty = true;
}

/* Marks them sent. */
static void collect_failures(struct sb_progress *progress, struct sb_ack *ack)
{
	for (size_t i = 0; i < progress->failed_count; i++) {
		struct sb_pending_failure *failure = &progress->failed[i];

		if (failure->sent ||
		    !sb_epoch_equal(&failure->cursor.epoch, &progress->cursor.epoch))
			continue;
		ack->failed[ack->failed_count].seq = failure->cursor.seq;
		ack->failed[ack->failed_count].reason = failure->reason;
		ack->failed_count++;
		failure->sent = true;
	}
}

void sb_client_ack(struct sb_client *client)
{
	struct sb_client_message message = {.type = SB_CLIENT_ACK};

	client->ack_due = false;
	message.ack.cursor = client->progress.cursor;
	collect_failures(&client->progress, &message.ack);
	client->ops->send(client->world, &message);
	client->ack_sent = client->progress.cursor;
	client->ack_open = true;
}

void sb_client_confirm(struct sb_client *client, const struct sb_cursor *cursor)
{
	struct sb_progress *progress = &client->progress;
	size_t kept = 0;

	if (client->ack_open && sb_epoch_equal(&cursor->epoch, &client->ack_sent.epoch) &&
	    cursor->seq >= client->ack_sent.seq)
		client->ack_open = false;
	for (size_t i = 0; i < progress->failed_count; i++) {
		const struct sb_pending_failure *failure = &progress->failed[i];

		if (!failure->sent || failure->cursor.seq > cursor->seq ||
		    !sb_epoch_equal(&failure->cursor.epoch, &cursor->epoch))
			progress->failed[kept++] = *failure;
	}
	if (kept < progress->failed_count)
		client->progress_dirty = true;
	progress->failed_count = kept;
}
