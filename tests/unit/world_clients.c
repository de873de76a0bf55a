/* Clients without sockets; see world.h. */
#include "daemon/core/session.h"
#include "protocol/message.h"
#include "world.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void on_wake(struct sb_link *link)
{
	((struct client *)(void *)link)->woken = true;
}

static void on_cut(struct sb_link *link)
{
	((struct client *)(void *)link)->cut = true;
}

static const struct sb_link_ops link_ops = {.wake = on_wake, .cut = on_cut};

const struct client *client_of(const struct sb_link *link)
{
	return link->ops == &link_ops ? (const struct client *)(const void *)link : NULL;
}

void client_connect(struct client *client, struct world *world)
{
	*client = (struct client){.link.ops = &link_ops, .world = world};
	client->session = sb_session_new(world->hub, &client->link);
}

void client_say(struct client *client, const char *message)
{
	sb_session_receive(client->session, message, strlen(message));
	world_check(client->world);
}

void client_hello(struct client *client, struct world *world, int64_t device, const char *more)
{
	struct sb_token token = {.device_id = device};
	char text[SB_TOKEN_MAX + 1], hello[512];

	client_connect(client, world);
	client->device = device;
	if (!client->session)
		return;
	(void)sb_token_format(&token, text);
	(void)snprintf(hello, sizeof(hello), "{\"type\":\"hello\",\"token\":\"%s\"%s}", text, more);
	client_say(client, hello);
}

void client_ack(struct client *client, int64_t seq)
{
	char ack[128];

	(void)snprintf(ack, sizeof(ack), "{\"type\":\"ack\",\"cursor\":\"%s.%" PRId64 "\"}",
		       client->epoch, seq);
	client_say(client, ack);
}

static void note(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void note(struct client *client, const char *format, ...)
{
	size_t len = strlen(client->said);
	va_list args;

	if (len)
		len += (size_t)snprintf(client->said + len, sizeof(client->said) - len, "; ");
	va_start(args, format);
	(void)vsnprintf(client->said + len, sizeof(client->said) - len, format, args);
	va_end(args);
	assert_true(strlen(client->said) < sizeof(client->said) - 64);
}

static void take(struct client *client, const struct sb_frame *frame)
{
	static const char *const words[] = {"welcome", "booking", "live",  "acked",
					    "reset",   "goodbye", "error", "pong"};
	struct sb_server_message message;
	struct sb_refusal refusal;

	if (sb_server_message_decode(frame->bytes, frame->len, &message, &refusal) != 0) {
		note(client, "UNREADABLE %s", refusal.detail);
		return;
	}
	switch (message.type) {
	case SB_SERVER_WELCOME:
	case SB_SERVER_BOOKING:
	case SB_SERVER_LIVE:
	case SB_SERVER_ACKED:
		note(client, "%s %" PRId64, words[message.type], message.cursor.seq);
		break;
	case SB_SERVER_RESET:
		note(client, "reset %s %" PRId64, sb_reset_word(message.reset_reason),
		     message.cursor.seq);
		break;
	case SB_SERVER_GOODBYE:
		note(client, "goodbye %s", message.word);
		client->come_back_ms = message.reconnect_after_ms;
		break;
	case SB_SERVER_ERROR:
		note(client, "error %s", message.word);
		break;
	default:
		note(client, "%s", words[message.type]);
		break;
	}
	if (message.type <= SB_SERVER_RESET)
		(void)snprintf(client->epoch, sizeof(client->epoch), "%s",
			       message.cursor.epoch.text);
	if (message.type == SB_SERVER_BOOKING || message.type == SB_SERVER_RESET)
		client->last = message.cursor.seq;
	if (message.type == SB_SERVER_ACKED)
		client->confirmed = message.cursor.seq;
	sb_server_message_fini(&message);
}

void client_pull(struct client *client)
{
	struct sb_frame *frame;

	client->woken = client->woken && client->blocked;
	while (client->session && !client->blocked) {
		switch (sb_session_pull(client->session, &frame)) {
		case SB_PULL_NONE:
			world_check(client->world);
			return;
		case SB_PULL_FRAME:
			take(client, frame);
			sb_frame_unref(frame);
			break;
		case SB_PULL_PING:
			note(client, "ping");
			if (!client->silent)
				sb_session_heard(client->session);
			break;
		case SB_PULL_CLOSE:
			client->close_code =
				sb_reason_close_code(sb_session_reason(client->session));
			note(client, "close %d", client->close_code);
			return;
		}
	}
}

void client_drop(struct client *client)
{
	sb_session_gone(client->session);
	client->session = NULL;
	world_check(client->world);
}

const char *client_said(struct client *client)
{
	static char copy[sizeof(client->said)];

	/* What it is sent may let the database be asked, and the answer bring more. */
	do {
		world_settle(client->world);
		client_pull(client);
	} while (client->world->asked && !client->world->away && !client->blocked);
	memcpy(copy, client->said, sizeof(copy));
	client->said[0] = '\0';
	return copy;
}
