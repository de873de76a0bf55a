/*
 * What a server's message means to the client. Called by the transport as
 * messages arrive; leaves settling and acking to the end of the turn, so that
 * bookings that came together share one flush.
 */
#include "plugin-stub/client_private.h"

#include <errno.h>
#include <string.h>

static void bad_server(struct sb_client *client, const char *words)
{
	sb_client_trouble(client, "The server broke the protocol: %s", words);
	sb_client_close(client, sb_reason_close_code(SB_REASON_BAD_MESSAGE));
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void on_welcome(struct sb_client *client, const struct sb_server_message *message,
		       uint64_t now_ms)
{
	const struct sb_welcome *welcome = &message->welcome;
	struct sb_progress *progress = &client->progress;

	client->state = SB_CLIENT_IN_SESSION;
	client->welcomed = true;
	client->deadline_ms = 0;
	client->heard_ms = now_ms;
	client->heartbeat_ms = (uint64_t)welcome->heartbeat_seconds * 1000;
	client->seen = message->cursor;
	client->epoch_open = progress->has_cursor &&
			     !sb_epoch_equal(&progress->cursor.epoch, &message->cursor.epoch);
	sb_backoff_reset(&client->backoff);
	if (welcome->reconnect_max_ms > 0) {
		uint32_t max_ms = smaller(welcome->reconnect_max_ms, SB_CLIENT_HINT_MAX_MS);

		client->backoff.max_ms = max_ms;
		client->backoff.min_ms = smaller(welcome->reconnect_min_ms, max_ms);
	}
	/* The server may know better than a lost or an old state file; the session starts from
	 * there. */
	if (!progress->has_cursor ||
	    (sb_epoch_equal(&progress->cursor.epoch, &message->cursor.epoch) &&
	     progress->cursor.seq < message->cursor.seq)) {
		progress->has_cursor = true;
		progress->cursor = message->cursor;
		client->progress_dirty = true;
	}
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_WELCOME, .message = message});
}

/* Failures that an earlier session reported in vain go along with the first ack of this one. */
static void resend_failures(struct sb_client *client)
{
	/* Only now is it sure that no reset follows the welcome. */
	if (client->epoch_open)
		sb_client_take_epoch(client, &client->seen);
	client->epoch_open = false;
	for (size_t i = 0; i < client->progress.failed_count; i++) {
		if (!client->progress.failed[i].sent)
			client->ack_due = true;
	}
}

/*
 * Protocol guarantee 1: what follows 41 is 42. Acking 43 would lose 42 for
 * ever. Only where an epoch begins numbers jump, and then far.
 */
static bool skips_an_event(const struct sb_cursor *seen, const struct sb_cursor *next)
{
	return sb_epoch_equal(&seen->epoch, &next->epoch) && next->seq - seen->seq > 1 &&
	       next->seq - seen->seq <= SB_CLIENT_EPOCH_JUMP;
}

static void on_booking(struct sb_client *client, struct sb_server_message *message)
{
	if (skips_an_event(&client->seen, &message->cursor)) {
		bad_server(client, "it skipped an event");
		return;
	}
	resend_failures(client);
	client->seen = message->cursor;
	sb_client_take_booking(client, message);
}

static void on_reset(struct sb_client *client, const struct sb_server_message *message)
{
	sb_client_settle(client);
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_RESET, .message = message});
	if (client->state != SB_CLIENT_IN_SESSION)
		return;
	client->epoch_open = false;
	client->seen = message->cursor;
	sb_client_take_reset(client, &message->cursor);
}

static void on_live(struct sb_client *client, const struct sb_server_message *message)
{
	client->live = true;
	resend_failures(client);
	sb_client_settle(client); /* so that `written` is told before `live` */
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_LIVE, .message = message});
}

static void on_goodbye(struct sb_client *client, const struct sb_server_message *message)
{
	client->has_hint = message->reconnect_after_ms > 0;
	client->hint_ms = message->reconnect_after_ms;
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		if (!strcmp(message->word, sb_reason_word((enum sb_reason)i)))
			client->goodbye_code = sb_reason_close_code((enum sb_reason)i);
	}
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_GOODBYE, .message = message});
}

/* Those that a server may send before and after welcome. */
static bool on_any_time(struct sb_client *client, const struct sb_server_message *message)
{
	switch (message->type) {
	case SB_SERVER_GOODBYE:
		on_goodbye(client, message);
		return true;
	case SB_SERVER_ERROR:
		sb_client_trouble(client, "The server complains: %s: %s", message->word,
				  message->detail);
		return true;
	case SB_SERVER_PONG:
	case SB_SERVER_UNKNOWN: /* a newer server's */
		return true;
	default:
		return false;
	}
}

static void on_decoded(struct sb_client *client, struct sb_server_message *message, uint64_t now_ms)
{
	if (on_any_time(client, message))
		return;
	if ((client->state == SB_CLIENT_GREETING) != (message->type == SB_SERVER_WELCOME)) {
		bad_server(client, client->state == SB_CLIENT_GREETING
					   ? "its first message is no welcome"
					   : "it welcomed twice");
		return;
	}
	client->moved_ms = now_ms;
	switch (message->type) {
	case SB_SERVER_WELCOME:
		on_welcome(client, message, now_ms);
		break;
	case SB_SERVER_BOOKING:
		on_booking(client, message);
		break;
	case SB_SERVER_LIVE:
		on_live(client, message);
		break;
	case SB_SERVER_ACKED:
		client->tries = 0;
		sb_client_confirm(client, &message->cursor);
		sb_client_tell(client,
			       &(struct sb_news){.kind = SB_NEWS_ACKED, .message = message});
		break;
	case SB_SERVER_RESET:
		on_reset(client, message);
		break;
	default:
		break;
	}
}

void sb_client_on_message(struct sb_client *client, const char *bytes, size_t len, uint64_t now_ms)
{
	struct sb_server_message message = {.type = SB_SERVER_UNKNOWN};
	struct sb_refusal refusal;
	int err;

	if (client->state != SB_CLIENT_GREETING && client->state != SB_CLIENT_IN_SESSION)
		return;
	client->heard_ms = now_ms;
	client->pinged_ms = 0;
	err = sb_server_message_decode(bytes, len, &message, &refusal);
	if (err == -EPROTO) {
		bad_server(client, refusal.detail);
	} else if (err && err != -EBADMSG) {
		sb_client_trouble(client, "Out of memory; letting the connection go");
		sb_client_drop(client);
	} else {
		on_decoded(client, &message, now_ms);
		sb_server_message_fini(&message);
	}
}
