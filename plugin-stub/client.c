/*
 * The client's connections: their beginning, their turns, and what the user
 * and the clock want of them. Messages are client_session.c's, disk and acks
 * client_settle.c's, and what comes after a connection client_end.c's.
 */
#include "plugin-stub/client_private.h"
#include "protocol/version.h"

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

void sb_client_end(struct sb_client *client, int exit_code)
{
	client->state = SB_CLIENT_ENDED;
	client->deadline_ms = 0;
	client->exit_code = exit_code;
	if (exit_code == 0)
		sb_client_tell(client, &(struct sb_news){.kind = SB_NEWS_BYE});
}

/* ---- beginnings ---- */

void sb_client_connect(struct sb_client *client, uint64_t now_ms)
{
	client->state = SB_CLIENT_CONNECTING;
	client->deadline_ms = now_ms + SB_CLIENT_WELCOME_MS;
	client->began_ms = now_ms;
	client->welcomed = false;
	client->live = false;
	client->ack_due = false;
	client->ack_open = false;
	client->epoch_open = false;
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
	sb_client_connect(client, now_ms);
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
	client->ops->send(client->world, &message);
	explicit_bzero(hello->token, sizeof(hello->token));
}

/* ---- a turn ---- */

/* Caught up, and the server has all that we have to say. */
static bool is_all_said(const struct sb_client *client)
{
	return client->pending_count == 0 && !client->ack_due && !client->ack_open;
}

void sb_client_look_whether_done(struct sb_client *client, uint64_t now_ms)
{
	if (client->mode != SB_MODE_ONCE || client->done || !client->live || !is_all_said(client))
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

static void send_ping(struct sb_client *client, uint64_t now_ms)
{
	client->pinged_ms = now_ms;
	client->ops->send(client->world, &(struct sb_client_message){.type = SB_CLIENT_PING});
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
		send_ping(client, now_ms);
	} else {
		sb_client_trouble(
			client, "The server has been silent for %llu s; letting the connection go",
			(unsigned long long)(now_ms - client->heard_ms) / 1000);
		sb_client_drop(client);
	}
}

/* Mode once has a life of its own to get on with: a server that answers pings and nothing else is
 * left, and tried again. */
static uint64_t stillness_deadline(const struct sb_client *client)
{
	if (client->state != SB_CLIENT_IN_SESSION || client->mode != SB_MODE_ONCE || client->done)
		return 0;
	return client->moved_ms + SB_CLIENT_ONCE_STILL_MS;
}

static void look_whether_still(struct sb_client *client, uint64_t now_ms)
{
	uint64_t due = stillness_deadline(client);

	if (due == 0 || now_ms < due)
		return;
	sb_client_trouble(client, "Nothing came of the session for %d s; letting it go",
			  SB_CLIENT_ONCE_STILL_MS / 1000);
	sb_client_drop(client);
}

static void session_turn(struct sb_client *client, uint64_t now_ms)
{
	bool late;

	sb_client_settle(client);
	if (client->ack_due && client->state == SB_CLIENT_IN_SESSION)
		sb_client_ack(client);
	sb_client_look_whether_done(client, now_ms);
	late = client->deadline_ms != 0 && now_ms >= client->deadline_ms;
	if (client->stopping && (late || is_all_said(client)))
		sb_client_close(client, sb_reason_close_code(SB_REASON_GOING_AWAY));
	else if (client->done && late)
		sb_client_close(client, sb_reason_close_code(SB_REASON_BYE));
	look_whether_silent(client, now_ms);
	look_whether_still(client, now_ms);
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
			sb_client_connect(client, now_ms);
		break;
	case SB_CLIENT_IDLE:
	case SB_CLIENT_REPLACED:
	case SB_CLIENT_ENDED:
		break;
	}
}

/* Of two deadlines, 0 being none. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

uint64_t sb_client_deadline(const struct sb_client *client)
{
	uint64_t due = sooner(silence_deadline(client), stillness_deadline(client));

	return sooner(client->deadline_ms, due);
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
	case SB_CLIENT_REPLACED:
		sb_client_end(client, 0);
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
	if (client->stopping || client->state == SB_CLIENT_REPLACED)
		return;
	sb_backoff_reset(&client->backoff);
	if (client->state == SB_CLIENT_WAITING) {
		client->deadline_ms = now_ms;
		return;
	}
	client->hurry = true;
	sb_client_drop(client);
}

void sb_client_nudge(struct sb_client *client, uint64_t now_ms)
{
	switch (client->state) {
	case SB_CLIENT_WAITING:
	case SB_CLIENT_REPLACED:
		sb_backoff_reset(&client->backoff);
		sb_client_connect(client, now_ms);
		break;
	case SB_CLIENT_IN_SESSION:
		if (client->heartbeat_ms != 0 && client->pinged_ms == 0)
			send_ping(client, now_ms);
		break;
	case SB_CLIENT_IDLE:
	case SB_CLIENT_CONNECTING:
	case SB_CLIENT_GREETING:
	case SB_CLIENT_CLOSING:
	case SB_CLIENT_ENDED:
		break;
	}
}
