/* The common half of transport_stream and transport_poll; see http_link.h. */
#include "plugin-stub/http_link.h"

#include "plugin-stub/http_answer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_MS       2000 /* for acks on their way, once the session is over */
#define ACK_ANSWER_MAX 65536
/* For an answer to an ack: longer than a daemon lets one wait for its database. */
#define ACK_MS 20000

static const char pong[] = "{\"type\":\"pong\"}";

static struct sb_http_link *link_of(struct sb_transport *transport)
{
	return (struct sb_http_link *)transport;
}

/* ---- ends ---- */

static void on_later(uv_timer_t *timer);

static void stop_all(struct sb_http_link *link)
{
	link->ops->stop(link);
	sb_http_cancel(link->ack_call);
	link->ack_call = NULL;
	uv_timer_stop(&link->ack_late);
	sb_outbox_clear(&link->acks);
}

static void end_now(struct sb_http_link *link)
{
	if (link->state == SB_LINK_IDLE || link->state == SB_LINK_GONE)
		return;
	stop_all(link);
	link->state = SB_LINK_GONE;
	uv_timer_start(&link->later, on_later, 0, 0);
}

static bool has_acks(const struct sb_http_link *link)
{
	return link->ack_call || link->acks.first;
}

void sb_http_link_finish(struct sb_http_link *link, int code, const char *words)
{
	if (link->state != SB_LINK_OPEN)
		return;
	sb_ending_set(&link->ending, code, words);
	link->ops->stop(link);
	link->state = SB_LINK_CLOSING;
	uv_timer_start(&link->later, on_later, has_acks(link) ? CLOSE_MS : 0, 0);
}

void sb_http_link_fail(struct sb_http_link *link, const struct sb_http_answer *answer)
{
	sb_http_answer_end(&link->ending, answer);
	end_now(link);
}

void sb_http_link_close(struct sb_transport *transport, int code)
{
	struct sb_http_link *link = link_of(transport);

	if (link->state == SB_LINK_OPENING)
		sb_http_link_drop(transport);
	sb_http_link_finish(link, code, "closed by us");
	link->told_close = true;
}

void sb_http_link_drop(struct sb_transport *transport)
{
	struct sb_http_link *link = link_of(transport);

	sb_ending_set(&link->ending, SB_ENDING_VANISHED, "let go by us");
	end_now(link);
}

static void tell_gone(struct sb_http_link *link)
{
	struct sb_ending ending = link->ending; /* the handler may connect anew */
	struct sb_gone gone = sb_ending_gone(&ending);

	link->state = SB_LINK_IDLE;
	link->handler.on_gone(link->handler.data, &gone);
}

static void on_later(uv_timer_t *timer)
{
	struct sb_http_link *link = timer->data;

	switch (link->state) {
	case SB_LINK_OPENING:
		link->state = SB_LINK_OPEN;
		link->handler.on_open(link->handler.data);
		break;
	case SB_LINK_OPEN:
		if (link->owes_pong) {
			link->owes_pong = false;
			link->handler.on_message(link->handler.data, pong, sizeof(pong) - 1);
		}
		break;
	case SB_LINK_CLOSING:
		end_now(link);
		break;
	case SB_LINK_GONE:
		tell_gone(link);
		break;
	case SB_LINK_IDLE:
		break;
	}
}

/* ---- in ---- */

static int code_of(const char *word)
{
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		if (!strcmp(word, sb_reason_word((enum sb_reason)i)))
			return sb_reason_close_code((enum sb_reason)i);
	}
	return 0;
}

static void observe(struct sb_http_link *link, const struct sb_server_message *message)
{
	switch (message->type) {
	case SB_SERVER_WELCOME:
		link->heartbeat_ms = (uint64_t)message->welcome.heartbeat_seconds * 1000;
		link->window = message->welcome.window;
		break;
	case SB_SERVER_BOOKING:
	case SB_SERVER_RESET:
		link->delivered = message->cursor;
		link->owes_ack = true;
		break;
	case SB_SERVER_LIVE:
		link->live = true;
		break;
	case SB_SERVER_GOODBYE:
	case SB_SERVER_ERROR:
		link->said_code = code_of(message->word);
		break;
	case SB_SERVER_ACKED:
	case SB_SERVER_PONG:
	case SB_SERVER_UNKNOWN:
		break;
	}
}

bool sb_http_link_pass(struct sb_http_link *link, const char *bytes, size_t len)
{
	struct sb_server_message message = {.type = SB_SERVER_UNKNOWN};
	struct sb_refusal refusal;
	int err;

	if (link->state != SB_LINK_OPEN && link->state != SB_LINK_CLOSING)
		return false;
	/* What cannot be read the client is to complain about. */
	err = sb_server_message_decode(bytes, len, &message, &refusal);
	if (err == 0 || err == -EBADMSG)
		observe(link, &message);
	sb_server_message_fini(&message);
	link->handler.on_message(link->handler.data, bytes, len);
	return link->state == SB_LINK_OPEN;
}

/* ---- acks ---- */

bool sb_http_link_is_settled(const struct sb_http_link *link)
{
	return !link->owes_ack && !has_acks(link);
}

static void post_next(struct sb_http_link *link);

/* Nothing else would tell: a stream goes on, and a poll waits for its ack for ever. */
static void on_ack_late(uv_timer_t *timer)
{
	struct sb_http_link *link = timer->data;

	sb_ending_explain(&link->ending, "the server did not answer an ack");
	sb_http_link_drop(&link->transport);
}

static void on_ack_done(void *data, const struct sb_http_answer *answer)
{
	struct sb_http_link *link = data;

	link->ack_call = NULL;
	uv_timer_stop(&link->ack_late);
	/* 200: acked; 409 with a reset; 409 with a problem is none of ours. */
	if (!answer->is_whole || (answer->status != 200 && answer->status != 409) ||
	    strncmp(answer->type, "application/json", strlen("application/json")) != 0) {
		sb_http_link_fail(link, answer);
		return;
	}
	(void)sb_http_link_pass(link, answer->body, answer->body_len);
	if (link->state != SB_LINK_OPEN && link->state != SB_LINK_CLOSING)
		return;
	post_next(link);
	if (has_acks(link))
		return;
	if (link->state == SB_LINK_CLOSING)
		end_now(link);
	else if (sb_http_link_is_settled(link))
		link->ops->on_settled(link);
}

static void post_next(struct sb_http_link *link)
{
	struct sb_http_handler handler = {.on_done = on_ack_done, .data = link};
	struct sb_outgoing *out;

	if (link->ack_call)
		return;
	out = sb_outbox_pop(&link->acks);
	if (!out)
		return;
	link->ack_call = sb_http_start(link->http,
				       &(struct sb_http_request){.path = "/v1/acks",
								 .body = (const char *)out->bytes,
								 .body_len = out->len,
								 .answer_max = ACK_ANSWER_MAX},
				       &handler);
	free(out);
	if (link->ack_call)
		uv_timer_start(&link->ack_late, on_ack_late, ACK_MS, 0);
	else
		sb_http_link_drop(&link->transport);
}

static void send_ack(struct sb_http_link *link, const struct sb_client_message *message)
{
	struct sb_text text;

	sb_text_init(&text);
	sb_client_message_encode(&text, message);
	if (sb_text_failed(&text) || sb_outbox_push(&link->acks, 0, text.data, text.len) < 0)
		sb_http_link_drop(&link->transport);
	else
		post_next(link);
	sb_text_fini(&text);
	if (message->ack.cursor.seq >= link->delivered.seq &&
	    sb_epoch_equal(&message->ack.cursor.epoch, &link->delivered.epoch))
		link->owes_ack = false;
}

void sb_http_link_send(struct sb_transport *transport, const struct sb_client_message *message)
{
	struct sb_http_link *link = link_of(transport);

	if (link->told_close || (link->state != SB_LINK_OPEN && link->state != SB_LINK_CLOSING))
		return;
	switch (message->type) {
	case SB_CLIENT_HELLO:
		if (link->state != SB_LINK_OPEN || link->greeted)
			return;
		link->greeted = true;
		link->mode = message->hello.mode;
		link->has_cursor = message->hello.has_cursor;
		link->cursor = message->hello.cursor;
		link->ops->begin(link);
		break;
	case SB_CLIENT_ACK:
		send_ack(link, message);
		break;
	case SB_CLIENT_PING:
		/* There is no way to ask. Whether the server is silent its own signs of life tell,
		 * and who looks at them ends the connection. */
		link->owes_pong = true;
		if (link->state == SB_LINK_OPEN)
			uv_timer_start(&link->later, on_later, 0, 0);
		break;
	}
}

/* ---- beginning and end ---- */

void sb_http_link_connect(struct sb_transport *transport)
{
	struct sb_http_link *link = link_of(transport);

	if (link->state != SB_LINK_IDLE)
		return;
	sb_http_leave_connections(link->http);
	sb_ending_clear(&link->ending);
	link->greeted = link->told_close = link->owes_pong = link->owes_ack = link->live = false;
	link->said_code = 0;
	link->heartbeat_ms = 0;
	link->state = SB_LINK_OPENING;
	uv_timer_start(&link->later, on_later, 0, 0);
}

int sb_http_link_init(struct sb_http_link *link, const struct sb_http_link_ops *ops,
		      uv_loop_t *loop, const struct sb_transport_options *options,
		      const struct sb_transport_handler *handler)
{
	link->ops = ops;
	link->handler = *handler;
	link->loop = loop;
	sb_outbox_init(&link->acks);
	uv_timer_init(loop, &link->later);
	uv_timer_init(loop, &link->ack_late);
	link->later.data = link->ack_late.data = link;
	return sb_http_new(loop, options, &link->http);
}

void sb_http_link_fini(struct sb_http_link *link)
{
	stop_all(link);
	sb_http_free(link->http);
	uv_close((uv_handle_t *)&link->later, NULL);
	uv_close((uv_handle_t *)&link->ack_late, NULL);
	uv_run(link->loop, UV_RUN_DEFAULT);
}
