/*
 * The way that works: one transport over the other three. What to take next
 * choice.c decides; here it is carried out, and the client sees one server that
 * is sometimes away.
 *
 * While a lower way is taken, a websocket is opened on trial every so often,
 * beside the session that is up. Only where that succeeds the session moves.
 */
#include "plugin-stub/transport.h"

#include "plugin-stub/client.h"
#include "plugin-stub/ending.h"
#include "plugin-stub/http.h"
#include "plugin-stub/http_answer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STANDING_MAX 65536

enum auto_state {
	AUTO_IDLE,
	AUTO_ASKING, /* GET /v1/reconnect, whether HTTP gets through */
	AUTO_UP,     /* one of the three has it */
	AUTO_GONE,   /* `later` tells on_gone */
};

struct choosing;

struct child {
	struct choosing *choosing;
	enum sb_way way;
	struct sb_transport *transport;
};

struct choosing {
	struct sb_transport transport; /* first */
	struct sb_transport_handler handler;
	struct sb_auto_options options;
	uv_loop_t *loop;
	uv_timer_t later;
	uv_timer_t trial_due;
	struct sb_http *http;
	struct sb_http_call *asking;
	struct sb_choice choice;
	struct child children[SB_WAY_COUNT];
	enum auto_state state;
	bool freeing;

	/* This connection. */
	enum sb_way way; /* while UP */
	struct sb_try tried;
	uint64_t began_ms, welcomed_ms;
	bool moving; /* ended by us, for the websocket's sake */
	struct sb_ending ending;

	/* The websocket on trial. */
	bool on_trial, opened;
};

static struct choosing *choosing_of(struct sb_transport *transport)
{
	return (struct choosing *)transport;
}

static const struct sb_transport_ops *ops_of(const struct choosing *choosing)
{
	return choosing->children[choosing->way].transport->ops;
}

static struct sb_transport *child_of(const struct choosing *choosing)
{
	return choosing->children[choosing->way].transport;
}

/* ---- the websocket on trial ---- */

static void on_trial_due(uv_timer_t *timer);

static void plan_trial(struct choosing *choosing)
{
	if (choosing->choice.way == SB_WAY_WEBSOCKET)
		uv_timer_stop(&choosing->trial_due);
	else if (!uv_is_active((uv_handle_t *)&choosing->trial_due))
		uv_timer_start(&choosing->trial_due, on_trial_due, choosing->options.again_ms,
			       choosing->options.again_ms);
}

static void on_trial_due(uv_timer_t *timer)
{
	struct choosing *choosing = timer->data;
	struct sb_transport *websocket = choosing->children[SB_WAY_WEBSOCKET].transport;

	if (choosing->on_trial) { /* the one before is still not through */
		websocket->ops->drop(websocket);
		return;
	}
	choosing->on_trial = true;
	choosing->opened = false;
	websocket->ops->connect(websocket);
}

static void on_trial_open(struct choosing *choosing)
{
	struct sb_transport *websocket = choosing->children[SB_WAY_WEBSOCKET].transport;

	choosing->opened = true;
	websocket->ops->close(websocket, sb_reason_close_code(SB_REASON_GOING_AWAY));
}

static void on_trial_gone(struct choosing *choosing)
{
	choosing->on_trial = false;
	if (!choosing->opened)
		return;
	sb_choice_on_opened(&choosing->choice);
	plan_trial(choosing);
	if (choosing->state != AUTO_UP)
		return;
	choosing->moving = choosing->tried.by_us = true;
	ops_of(choosing)->close(child_of(choosing), sb_reason_close_code(SB_REASON_GOING_AWAY));
}

/* ---- ends ---- */

static void on_later(uv_timer_t *timer)
{
	struct choosing *choosing = timer->data;
	struct sb_ending ending = choosing->ending;
	struct sb_gone gone = sb_ending_gone(&ending);

	choosing->state = AUTO_IDLE;
	choosing->handler.on_gone(choosing->handler.data, &gone);
}

static void end_asking(struct choosing *choosing)
{
	sb_http_cancel(choosing->asking);
	choosing->asking = NULL;
	choosing->state = AUTO_GONE;
	uv_timer_start(&choosing->later, on_later, 0, 0);
}

static void auto_drop(struct sb_transport *transport)
{
	struct choosing *choosing = choosing_of(transport);

	/* Without a welcome for that long it is the way that is to blame, not the user. */
	if (uv_now(choosing->loop) - choosing->began_ms < SB_CLIENT_WELCOME_MS ||
	    choosing->tried.welcomed)
		choosing->tried.by_us = true;
	if (choosing->state == AUTO_ASKING) {
		sb_ending_set(&choosing->ending, SB_ENDING_VANISHED, "let go by us");
		end_asking(choosing);
	} else if (choosing->state == AUTO_UP) {
		ops_of(choosing)->drop(child_of(choosing));
	}
}

static void auto_close(struct sb_transport *transport, int code)
{
	struct choosing *choosing = choosing_of(transport);

	choosing->tried.by_us = true;
	if (choosing->state == AUTO_ASKING)
		auto_drop(transport);
	else if (choosing->state == AUTO_UP)
		ops_of(choosing)->close(child_of(choosing), code);
}

static void on_gone(void *data, const struct sb_gone *gone)
{
	struct child *child = data;
	struct choosing *choosing = child->choosing;
	struct sb_gone told = *gone;
	uint64_t now_ms = uv_now(choosing->loop);

	if (choosing->freeing)
		return;
	if (choosing->state != AUTO_UP || child->way != choosing->way) {
		on_trial_gone(choosing);
		return;
	}
	choosing->state = AUTO_IDLE;
	choosing->tried.code = gone->code;
	if (choosing->tried.welcomed)
		choosing->tried.lasted_ms = now_ms - choosing->welcomed_ms;
	if (choosing->moving) {
		told.words = "the websocket gets through again";
		told.has_hint = true;
		told.hint_ms = 0;
	} else if (sb_choice_on_end(&choosing->choice, &choosing->tried) && !told.has_hint) {
		told.has_hint = true;
		told.hint_ms = 0;
	}
	plan_trial(choosing);
	choosing->handler.on_gone(choosing->handler.data, &told);
}

/* ---- a connection ---- */

static void on_open(void *data)
{
	struct child *child = data;
	struct choosing *choosing = child->choosing;

	if (choosing->freeing)
		return;
	if (choosing->state != AUTO_UP || child->way != choosing->way)
		on_trial_open(choosing);
	else
		choosing->handler.on_open(choosing->handler.data);
}

static void on_message(void *data, const char *bytes, size_t len)
{
	static const char welcome[] = "{\"type\":\"welcome\"";
	struct child *child = data;
	struct choosing *choosing = child->choosing;
	bool is_first;

	if (choosing->freeing || choosing->state != AUTO_UP || child->way != choosing->way)
		return;
	is_first = !choosing->tried.welcomed && len >= sizeof(welcome) - 1 &&
		   !memcmp(bytes, welcome, sizeof(welcome) - 1);
	choosing->tried.heard = true;
	if (is_first) {
		choosing->tried.welcomed = true;
		choosing->welcomed_ms = uv_now(choosing->loop);
	}
	choosing->handler.on_message(choosing->handler.data, bytes, len);
	if (is_first)
		choosing->options.on_way(choosing->options.data, child->way);
}

static void go(struct choosing *choosing)
{
	choosing->way = choosing->choice.way;
	choosing->state = AUTO_UP;
	plan_trial(choosing);
	ops_of(choosing)->connect(child_of(choosing));
}

static void on_asked(void *data, const struct sb_http_answer *answer)
{
	struct choosing *choosing = data;
	struct sb_reconnect reconnect;
	bool known = sb_http_answer_reconnect(answer, &reconnect);
	bool ready = known && reconnect.state == SB_STANDING_READY;

	choosing->asking = NULL;
	sb_choice_on_asked(&choosing->choice, ready);
	if (ready) {
		go(choosing);
		return;
	}
	if (known)
		sb_http_answer_not_ready(&choosing->ending, &reconnect);
	else
		sb_http_answer_end(&choosing->ending, answer);
	/* An answer of somebody else's, a portal's page for instance. */
	sb_ending_set(&choosing->ending, SB_ENDING_VANISHED, "the server did not answer");
	end_asking(choosing);
}

static void auto_connect(struct sb_transport *transport)
{
	struct choosing *choosing = choosing_of(transport);
	struct sb_http_request request = {.path = "/v1/reconnect", .answer_max = STANDING_MAX};
	struct sb_http_handler handler = {.on_done = on_asked, .data = choosing};

	if (choosing->state != AUTO_IDLE)
		return;
	memset(&choosing->tried, 0, sizeof(choosing->tried));
	sb_ending_clear(&choosing->ending);
	choosing->moving = false;
	choosing->began_ms = uv_now(choosing->loop);
	if (!sb_choice_must_ask(&choosing->choice)) {
		go(choosing);
		return;
	}
	choosing->state = AUTO_ASKING;
	sb_http_leave_connections(choosing->http);
	choosing->asking = sb_http_start(choosing->http, &request, &handler);
	if (!choosing->asking)
		auto_drop(transport);
}

static void auto_send(struct sb_transport *transport, const struct sb_client_message *message)
{
	struct choosing *choosing = choosing_of(transport);

	if (choosing->state == AUTO_UP)
		ops_of(choosing)->send(child_of(choosing), message);
}

/* ---- beginning and end ---- */

/* Each child's end runs the loop until nothing is active, so first all of them are quiet. */
static void auto_free(struct sb_transport *transport)
{
	struct choosing *choosing = choosing_of(transport);

	if (!choosing)
		return;
	choosing->freeing = true;
	for (int i = 0; i < SB_WAY_COUNT; i++) {
		struct sb_transport *child = choosing->children[i].transport;

		if (child)
			child->ops->drop(child);
	}
	uv_close((uv_handle_t *)&choosing->later, NULL);
	uv_close((uv_handle_t *)&choosing->trial_due, NULL);
	sb_http_free(choosing->http);
	for (int i = 0; i < SB_WAY_COUNT; i++) {
		struct sb_transport *child = choosing->children[i].transport;

		if (child)
			child->ops->free(child);
	}
	uv_run(choosing->loop, UV_RUN_DEFAULT);
	free(choosing);
}

static const struct sb_transport_ops auto_ops = {
	.connect = auto_connect,
	.send = auto_send,
	.close = auto_close,
	.drop = auto_drop,
	.free = auto_free,
};

static int new_children(struct choosing *choosing, const struct sb_transport_options *options)
{
	static int (*const makers[])(uv_loop_t * loop, const struct sb_transport_options *options,
				     const struct sb_transport_handler *handler,
				     struct sb_transport **ret_transport) = {
		[SB_WAY_WEBSOCKET] = sb_transport_ws_new,
		[SB_WAY_STREAM] = sb_transport_stream_new,
		[SB_WAY_POLL] = sb_transport_poll_new,
	};
	int err = 0;

	for (int i = 0; i < SB_WAY_COUNT && !err; i++) {
		struct child *child = &choosing->children[i];
		struct sb_transport_handler handler = {.on_open = on_open,
						       .on_message = on_message,
						       .on_gone = on_gone,
						       .data = child};

		child->choosing = choosing;
		child->way = (enum sb_way)i;
		err = makers[i](choosing->loop, options, &handler, &child->transport);
	}
	return err;
}

int sb_transport_auto_new(uv_loop_t *loop, const struct sb_transport_options *options,
			  const struct sb_transport_handler *handler,
			  const struct sb_auto_options *auto_options,
			  struct sb_transport **ret_transport)
{
	struct choosing *choosing = calloc(1, sizeof(*choosing));
	int err;

	if (!choosing)
		return -ENOMEM;
	choosing->transport.ops = &auto_ops;
	choosing->handler = *handler;
	choosing->options = *auto_options;
	choosing->loop = loop;
	sb_choice_init(&choosing->choice, auto_options->first);
	if (auto_options->websocket_due)
		sb_choice_on_opened(&choosing->choice);
	uv_timer_init(loop, &choosing->later);
	uv_timer_init(loop, &choosing->trial_due);
	choosing->later.data = choosing->trial_due.data = choosing;
	err = sb_http_new(loop, options, &choosing->http);
	if (!err)
		err = new_children(choosing, options);
	if (err) {
		auto_free(&choosing->transport);
		return err;
	}
	plan_trial(choosing);
	*ret_transport = &choosing->transport;
	return 0;
}
