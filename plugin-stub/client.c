/*
 * The client's connections: when one is made, how it ends, when the next one
 * comes. Messages are client_session.c's, disk and acks client_settle.c's.
 */
#include "plugin-stub/client_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_MIN_MS 500 /* until a welcome says otherwise */
#define BACKOFF_MAX_MS 60000

void sb_client_tell(struct sb_client *client, const struct sb_news *news)
{
	client->ops->tell(client->world, news);
}

void sb_client_trouble(struct sb_client *client, const char *format, ...)
{
	char words[512];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_TROUBLE, .words = words});
}

void sb_client_init(struct sb_client *client, const struct sb_client_ops *ops, void *world,
		    enum sb_mode mode, const char *token, const struct sb_progress *progress)
{
	memset(client, 0, sizeof(*client));
	client->ops = ops;
	client->world = world;
	client->mode = mode;
	client->progress = *progress;
	snprintf(client->token, sizeof(client->token), "%s", token);
	sb_backoff_init(&client->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
}

void sb_client_fini(struct sb_client *client)
{
	sb_client_forget_pending(client);
	explicit_bzero(client->token, sizeof(client->token));
}

/* ---- ends ---- */

static bool is_connected(const struct sb_client *client)
{
	return client->state == SB_CLIENT_GREETING || client->state == SB_CLIENT_IN_SESSION;
}

void sb_client_close(struct sb_client *client, int code)
{
	if (!is_connected(client))
		return;
	client->state = SB_CLIENT_CLOSING;
	client->deadline_ms = 0;
	client->ops->close(client->world, code);
}

void sb_client_drop(struct sb_client *client)
{
	if (!is_connected(client) && client->state != SB_CLIENT_CONNECTING)
		return;
	client->state = SB_CLIENT_CLOSING;
	client->deadline_ms = 0;
	client->ops->drop(client->world);
}

static void end(struct sb_client *client, int exit_code)
{
	client->state = SB_CLIENT_ENDED;
	client->deadline_ms = 0;
	client->exit_code = exit_code;
	if (exit_code == 0)
		sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_BYE});
}

/* ---- beginnings ---- */

static void connect_now(struct sb_client *client, uint64_t now_ms)
{
	client->state = SB_CLIENT_CONNECTING;
	client->deadline_ms = now_ms + SB_CLIENT_WELCOME_MS;
	client->live = false;
	client->ack_due = false;
	client->ack_open = false;
	client->has_seen = false;
	client->has_hint = false;
	client->goodbye_code = 0;
	client->heartbeat_ms = 0;
	client->pinged_ms = 0;
	client->hurry = false;
	client->disk_trouble = false;
	for (size_t i = 0; i < client->progress.failed_count; i++)
		client->progress.failed[i].sent = false;
	sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_CONNECTING});
	client->ops->connect(client->world);
}

void sb_client_start(struct sb_client *client, uint64_t now_ms)
{
	connect_now(client, now_ms);
}

static void send_message(struct sb_client *client, const struct sb_client_message *message)
{
	struct sb_text text;

	sb_text_init(&text);
	sb_client_message_encode(&text, message);
	if (sb_text_failed(&text))
		sb_client_drop(client);
	else
		client->ops->send(client->world, text.data, text.len);
	sb_text_fini(&text);
}

void sb_client_on_open(struct sb_client *client, uint64_t now_ms)
{
	struct sb_client_message message = {.type = SB_CLIENT_HELLO};
	struct sb_hello *hello = &message.hello;

	if (client->state != SB_CLIENT_CONNECTING)
		return;
	client->state = SB_CLIENT_GREETING;
	client->heard_ms = now_ms;
	hello->mode = client->mode;
	hello->has_cursor = client->progress.has_cursor;
	hello->cursor = client->progress.cursor;
	hello->has_token = client->token[0] != '\0';
	snprintf(hello->token, sizeof(hello->token), "%s", client->token);
	snprintf(hello->client_name, sizeof(hello->client_name), "slotbell-plugin");
	snprintf(hello->client_version, sizeof(hello->client_version), "%s", SB_VERSION);
	send_message(client, &message);
	explicit_bzero(hello->token, sizeof(hello->token));
}

/* ---- a turn ---- */

/* Caught up, and the server has all that we have to say. */
static bool is_all_said(const struct sb_client *client)
{
	return client->pending_count == 0 && !client->ack_due && !client->ack_open;
}

static void look_whether_done(struct sb_client *client, uint64_t now_ms)
{
	if (client->mode != SB_MODE_ONCE || client->done || !client->live || !is_all_said(client) ||
	    client->progress.failed_count > 0)
		return;
	client->done = true;
	/* The server closes first as a rule; if not, we do. */
	client->deadline_ms = now_ms + SB_CLIENT_LINGER_MS;
}

static uint64_t silence_deadline(const struct sb_client *client)
{
	uint64_t pong = client->pinged_ms + SB_CLIENT_PONG_MS;
	uint64_t silence = client->heard_ms + 2 * client->heartbeat_ms + 5000;

	if (client->state != SB_CLIENT_IN_SESSION || client->heartbeat_ms == 0)
		return 0;
	if (client->pinged_ms == 0)
		return client->heard_ms + client->heartbeat_ms;
	return pong < silence ? pong : silence;
}

/*
 * libwebsockets answers the server's own pings without telling us, so silence
 * does not mean much until we have asked.
 */
static void look_whether_silent(struct sb_client *client, uint64_t now_ms)
{
	uint64_t due = silence_deadline(client);

	if (due == 0 || now_ms < due)
		return;
	if (client->pinged_ms == 0) {
		client->pinged_ms = now_ms;
		send_message(client, &(struct sb_client_message){.type = SB_CLIENT_PING});
	} else {
		sb_client_trouble(
			client, "The server has been silent for %llu s; letting the connection go",
			(unsigned long long)(now_ms - client->heard_ms) / 1000);
		sb_client_drop(client);
	}
}

static void session_turn(struct sb_client *client, uint64_t now_ms)
{
	bool late;

	sb_client_settle(client);
	if (client->ack_due && client->state == SB_CLIENT_IN_SESSION)
		sb_client_ack(client);
	look_whether_done(client, now_ms);
	late = client->deadline_ms != 0 && now_ms >= client->deadline_ms;
	if (client->stopping && (late || is_all_said(client)))
		sb_client_close(client, sb_reason_close_code(SB_REASON_GOING_AWAY));
	else if (client->done && late)
		sb_client_close(client, sb_reason_close_code(SB_REASON_BYE));
	else
		look_whether_silent(client, now_ms);
}

void sb_client_turn(struct sb_client *client, uint64_t now_ms)
{
	switch (client->state) {
	case SB_CLIENT_CONNECTING:
	case SB_CLIENT_GREETING:
		if (now_ms >= client->deadline_ms) {
			sb_client_trouble(client,
					  "No welcome within %d s; letting the connection go",
					  SB_CLIENT_WELCOME_MS / 1000);
			sb_client_drop(client);
		}
		break;
	case SB_CLIENT_IN_SESSION:
		session_turn(client, now_ms);
		break;
	case SB_CLIENT_CLOSING:
		sb_client_settle(client);
		break;
	case SB_CLIENT_WAITING:
		if (now_ms >= client->deadline_ms)
			connect_now(client, now_ms);
		break;
	case SB_CLIENT_IDLE:
	case SB_CLIENT_ENDED:
		break;
	}
}

uint64_t sb_client_deadline(const struct sb_client *client)
{
	uint64_t silence = silence_deadline(client);

	if (client->deadline_ms == 0 || (silence != 0 && silence < client->deadline_ms))
		return silence;
	return client->deadline_ms;
}

/* ---- after the end of a connection ---- */

/*
 * libwebsockets (4.1 at least) tells us 1002 in place of every code from 1012
 * to 2999. What it was, goodbye has said before, or the close's own word.
 */
static int true_code(const struct sb_client *client, const struct sb_gone *gone)
{
	if (gone->code != 1002)
		return gone->code;
	if (client->goodbye_code != 0)
		return client->goodbye_code;
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		if (!strcmp(gone->words, sb_reason_word((enum sb_reason)i)))
			return sb_reason_close_code((enum sb_reason)i);
	}
	return gone->code;
}

/* Words for what only a person can mend; NULL when coming back is right. */
static const char *final_words(int code)
{
	switch (code) {
	case 4401:
		return "The server does not take this token. Enrol the device anew, or check "
		       "--token-file.";
	case 4403:
		return "This device was revoked, or its token has expired. Ask the administrator "
		       "for a new one.";
	case 4409:
		return "Another session of this device took over. Start again here if this is the "
		       "one to use.";
	default:
		return NULL;
	}
}

static bool is_our_bug(int code)
{
	return code == 4400 || code == 1009;
}

/* Whether there is any sense in another try; says why not. */
static bool may_come_back(struct sb_client *client, int code)
{
	const char *words = final_words(code);

	if (words) {
		sb_client_trouble(client, "%s", words);
		return false;
	}
	if (client->disk_trouble && ++client->disk_failures >= SB_CLIENT_DISK_TRIES) {
		sb_client_trouble(client, "The disk has refused %d times in a row; giving up",
				  client->disk_failures);
		return false;
	}
	if (is_our_bug(code))
		sb_client_trouble(client,
				  "Server and plug-in do not understand each other (close %d): "
				  "this is a bug, please report it",
				  code);
	if (client->mode != SB_MODE_ONCE)
		return true;
	if (is_our_bug(code))
		return false;
	if (++client->tries >= SB_CLIENT_ONCE_TRIES) {
		sb_client_trouble(client, "Not caught up after %d connections; giving up",
				  client->tries);
		return false;
	}
	return true;
}

static uint32_t wait_for(struct sb_client *client, const struct sb_gone *gone, int code)
{
	uint32_t backoff_ms = sb_backoff_next(&client->backoff, client->ops->random(client->world));
	uint32_t hint_ms;

	if (client->hurry)
		return 0;
	if (is_our_bug(code))
		return client->backoff.max_ms;
	if (!client->has_hint && !gone->has_hint)
		return backoff_ms;
	hint_ms = client->has_hint ? client->hint_ms : gone->hint_ms;
	return hint_ms < SB_CLIENT_HINT_MAX_MS ? hint_ms : SB_CLIENT_HINT_MAX_MS;
}

void sb_client_on_gone(struct sb_client *client, const struct sb_gone *gone, uint64_t now_ms)
{
	struct sb_news waiting = {.kind = SB_NEWS_WAITING};
	int code = true_code(client, gone);

	if (client->state == SB_CLIENT_ENDED || client->state == SB_CLIENT_WAITING)
		return;
	/* Not acked any more, but hello's cursor will be. */
	sb_client_settle(client);
	if (client->state == SB_CLIENT_IN_SESSION)
		look_whether_done(client, now_ms);
	sb_client_tell(client, &(struct sb_news){
				       .kind = SB_NEWS_CLOSED, .code = code, .words = gone->words});
	if (client->stopping || client->done) {
		end(client, 0);
	} else if (!may_come_back(client, code)) {
		end(client, 1);
	} else {
		waiting.wait_ms = wait_for(client, gone, code);
		client->state = SB_CLIENT_WAITING;
		client->deadline_ms = now_ms + waiting.wait_ms;
		sb_client_tell(client, &waiting);
	}
}

/* ---- from outside ---- */

void sb_client_stop(struct sb_client *client, uint64_t now_ms)
{
	if (client->stopping)
		return;
	client->stopping = true;
	switch (client->state) {
	case SB_CLIENT_IDLE:
	case SB_CLIENT_WAITING:
		end(client, 0);
		break;
	case SB_CLIENT_CONNECTING:
		sb_client_drop(client);
		break;
	case SB_CLIENT_GREETING:
		sb_client_close(client, sb_reason_close_code(SB_REASON_GOING_AWAY));
		break;
	case SB_CLIENT_IN_SESSION:
		client->deadline_ms = now_ms + SB_CLIENT_LEAVE_MS;
		session_turn(client, now_ms);
		break;
	case SB_CLIENT_CLOSING:
	case SB_CLIENT_ENDED:
		break;
	}
}

void sb_client_on_jump(struct sb_client *client, uint64_t now_ms)
{
	if (client->stopping)
		return;
	if (client->state == SB_CLIENT_WAITING) {
		client->deadline_ms = now_ms;
		return;
	}
	client->hurry = true;
	sb_client_drop(client);
}
