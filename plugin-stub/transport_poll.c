/*
 * Long poll: GET /v1/bookings, again and again (docs/http.md). It has no session,
 * so the welcome is made here, of what /v1/reconnect says. The next poll follows
 * when the server has the acks of the last: it answers from where they reach.
 *
 * Where something on the way cuts silence short, the polls become shorter than
 * that.
 */
#include "plugin-stub/transport.h"

#include "plugin-stub/http_answer.h"
#include "plugin-stub/http_link.h"
#include "protocol/limits.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS	 25
#define WINDOW		 32
#define SPARE_MS	 20000 /* what a poll may take beyond its waiting */
#define CUTS_MAX	 5     /* polls in a row that were cut short */
#define RECONNECT_MIN_MS 500
#define RECONNECT_MAX_MS 60000
#define STANDING_MAX	 65536
#define EVENTS_MAX	 (WINDOW * SB_SERVER_MESSAGE_MAX)

struct poll {
	struct sb_http_link link; /* first */
	uv_timer_t late;	  /* the server does not answer */
	uv_timer_t again;	  /* the next poll, in a turn of its own */
	struct sb_http_call *call;
	bool has_begun;	 /* the hello's cursor was told */
	bool asked_live; /* that nothing is missed is known, so waiting may begin */
	uint32_t wait_seconds;
	int cuts;
};

static struct poll *poll_of(struct sb_http_link *link)
{
	return (struct poll *)link;
}

static void on_late(uv_timer_t *timer)
{
	struct poll *poll = timer->data;

	sb_ending_explain(&poll->link.ending, "the server did not answer");
	sb_http_link_drop(&poll->link.transport);
}

static void start(struct poll *poll, const struct sb_http_request *request, uint64_t may_take_ms,
		  void (*on_done)(void *data, const struct sb_http_answer *answer))
{
	struct sb_http_handler handler = {.on_done = on_done, .data = poll};

	poll->call = sb_http_start(poll->link.http, request, &handler);
	if (poll->call)
		uv_timer_start(&poll->late, on_late, may_take_ms, 0);
	else
		sb_http_link_drop(&poll->link.transport);
}

static void done(struct poll *poll)
{
	poll->call = NULL;
	uv_timer_stop(&poll->late);
}

/* ---- events ---- */

static void ask_again(struct poll *poll);

/* Of those that say again that there is nothing one is enough. */
static bool on_event(void *data, const char *bytes, size_t len)
{
	static const char live[] = "{\"type\":\"live\"";
	struct poll *poll = data;
	bool is_live = len >= sizeof(live) - 1 && !memcmp(bytes, live, sizeof(live) - 1);

	if (is_live && poll->asked_live && !poll->link.owes_ack)
		return poll->link.state == SB_LINK_OPEN;
	return sb_http_link_pass(&poll->link, bytes, len);
}

/* What stands between had enough of the silence. */
static bool was_cut(const struct sb_http_answer *answer)
{
	return answer->status == 0 || answer->status == 408 || answer->status == 502 ||
	       answer->status == 504 || (answer->status == 200 && !answer->is_whole);
}

static bool may_be_shorter(struct poll *poll, uint64_t took_ms)
{
	if (!poll->asked_live || poll->wait_seconds <= 1 || took_ms < 500 ||
	    took_ms >= (uint64_t)poll->wait_seconds * 1000 || ++poll->cuts > CUTS_MAX)
		return false;
	poll->wait_seconds = took_ms >= 4000 ? (uint32_t)(took_ms / 2000) : 1;
	return true;
}

static void on_events(void *data, const struct sb_http_answer *answer)
{
	struct poll *poll = data;
	struct sb_http_link *link = &poll->link;
	int err;

	done(poll);
	if (was_cut(answer) && may_be_shorter(poll, answer->took_ms)) {
		ask_again(poll);
		return;
	}
	if (answer->status != 200 || !answer->is_whole) {
		sb_http_link_fail(link, answer);
		return;
	}
	poll->cuts = 0;
	poll->has_begun = true;
	err = sb_http_answer_messages(answer, on_event, poll);
	if (err == -EPROTO)
		sb_ending_explain(&link->ending, "the answer holds no messages");
	if (err)
		sb_http_link_drop(&link->transport);
	if (link->live)
		poll->asked_live = true;
	/* The acks of these come at the turn's end; then on_settled() goes on. */
	if (link->state == SB_LINK_OPEN)
		ask_again(poll);
}

static void ask(struct poll *poll)
{
	struct sb_http_link *link = &poll->link;
	uint32_t wait_seconds = poll->asked_live ? poll->wait_seconds : 0;
	char cursor[SB_CURSOR_MAX + 1], path[SB_CURSOR_MAX + 80];
	struct sb_http_request request = {.path = path, .answer_max = EVENTS_MAX};

	/* Afterwards what the server has stored counts: an ack may be on its way. */
	if (link->has_cursor && !poll->has_begun)
		sb_cursor_format(&link->cursor, cursor);
	else
		cursor[0] = '\0';
	snprintf(path, sizeof(path), "/v1/bookings?limit=%d&wait=%u%s%s", WINDOW, wait_seconds,
		 cursor[0] ? "&after=" : "", cursor);
	start(poll, &request, (uint64_t)wait_seconds * 1000 + SPARE_MS, on_events);
}

static void on_again(uv_timer_t *timer)
{
	struct poll *poll = timer->data;
	struct sb_http_link *link = &poll->link;

	if (link->state != SB_LINK_OPEN || poll->call || !sb_http_link_is_settled(link))
		return;
	if (link->mode == SB_MODE_ONCE && link->live)
		sb_http_link_finish(link, sb_reason_close_code(SB_REASON_BYE), "");
	else
		ask(poll);
}

/* In the next turn: by then the client has acked what it was given in this one. */
static void ask_again(struct poll *poll)
{
	uv_timer_start(&poll->again, on_again, 0, 0);
}

static void on_settled(struct sb_http_link *link)
{
	ask_again(poll_of(link));
}

/* ---- the welcome ---- */

/* Where the server starts (protocol.md): the later of hello's cursor and the stored one. */
static int64_t start_of(const struct sb_http_link *link, const struct sb_reconnect *reconnect)
{
	if (link->has_cursor && link->cursor.seq > reconnect->acked &&
	    link->cursor.seq <= reconnect->head)
		return link->cursor.seq;
	return reconnect->acked;
}

static void welcome(struct poll *poll, const struct sb_reconnect *reconnect)
{
	struct sb_http_link *link = &poll->link;
	struct sb_welcome words = {
		.session = "poll",
		.mailbox = "unknown", /* nobody tells */
		.cursor = {.epoch = reconnect->epoch, .seq = start_of(link, reconnect)},
		.head = reconnect->head,
		.window = WINDOW,
		.heartbeat_seconds = WAIT_SECONDS,
		.reconnect_min_ms = RECONNECT_MIN_MS,
		.reconnect_max_ms = RECONNECT_MAX_MS,
	};
	struct sb_text text;

	sb_text_init(&text);
	sb_welcome_encode(&text, &words);
	if (sb_text_failed(&text))
		sb_http_link_drop(&link->transport);
	else if (sb_http_link_pass(link, text.data, text.len))
		ask(poll);
	sb_text_fini(&text);
}

static void on_standing(void *data, const struct sb_http_answer *answer)
{
	struct poll *poll = data;
	struct sb_http_link *link = &poll->link;
	struct sb_reconnect reconnect;

	done(poll);
	if (!sb_http_answer_reconnect(answer, &reconnect)) {
		sb_http_link_fail(link, answer);
	} else if (reconnect.state != SB_STANDING_READY || !reconnect.has_device) {
		sb_http_answer_not_ready(&link->ending, &reconnect);
		sb_http_link_drop(&link->transport);
	} else {
		welcome(poll, &reconnect);
	}
}

static void begin(struct sb_http_link *link)
{
	struct poll *poll = poll_of(link);
	struct sb_http_request request = {.path = "/v1/reconnect", .answer_max = STANDING_MAX};

	poll->has_begun = poll->asked_live = false;
	poll->cuts = 0;
	start(poll, &request, SPARE_MS, on_standing);
}

static void stop(struct sb_http_link *link)
{
	struct poll *poll = poll_of(link);

	sb_http_cancel(poll->call);
	poll->call = NULL;
	uv_timer_stop(&poll->late);
	uv_timer_stop(&poll->again);
}

static const struct sb_http_link_ops link_ops = {
	.begin = begin, .stop = stop, .on_settled = on_settled};

static void poll_free(struct sb_transport *transport)
{
	struct poll *poll = (struct poll *)transport;

	if (!poll)
		return;
	sb_http_cancel(poll->call);
	poll->call = NULL;
	uv_close((uv_handle_t *)&poll->late, NULL);
	uv_close((uv_handle_t *)&poll->again, NULL);
	sb_http_link_fini(&poll->link);
	free(poll);
}

static const struct sb_transport_ops poll_ops = {
	.connect = sb_http_link_connect,
	.send = sb_http_link_send,
	.close = sb_http_link_close,
	.drop = sb_http_link_drop,
	.free = poll_free,
};

int sb_transport_poll_new(uv_loop_t *loop, const struct sb_transport_options *options,
			  const struct sb_transport_handler *handler,
			  struct sb_transport **ret_transport)
{
	struct poll *poll = calloc(1, sizeof(*poll));
	int err;

	if (!poll)
		return -ENOMEM;
	poll->link.transport.ops = &poll_ops;
	poll->wait_seconds = WAIT_SECONDS;
	uv_timer_init(loop, &poll->late);
	uv_timer_init(loop, &poll->again);
	poll->late.data = poll->again.data = poll;
	err = sb_http_link_init(&poll->link, &link_ops, loop, options, handler);
	if (err) {
		poll_free(&poll->link.transport);
		return err;
	}
	*ret_transport = &poll->link.transport;
	return 0;
}
