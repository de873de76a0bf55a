/*
 * Server-sent events: GET /v1/stream brings what a websocket would have brought
 * (docs/http.md). Where a proxy holds a stream back it is open and mute, and only
 * time tells: the server says something every heartbeat, if only a comment.
 */
#include "plugin-stub/transport.h"

#include "plugin-stub/http_answer.h"
#include "plugin-stub/http_link.h"
#include "plugin-stub/sse.h"
#include "protocol/limits.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TURN_BYTES_MAX (16 * SB_SERVER_MESSAGE_MAX) /* that arrive before we look at them */
#define ANSWER_MAX     65536
#define ANSWER_MS      20000 /* for what is asked after the stream's end */

struct stream {
	struct sb_http_link link; /* first */
	uv_timer_t silence;
	struct sb_http_call *call; /* the stream; after its end the question why; NULL: none */
	struct sb_sse sse;
};

static struct stream *stream_of(struct sb_http_link *link)
{
	return (struct stream *)link;
}

static void on_silence(uv_timer_t *timer)
{
	struct stream *stream = timer->data;
	struct sb_http_link *link = &stream->link;

	sb_ending_explain(&link->ending, "the stream was silent for %llu s",
			  (unsigned long long)(2 * link->heartbeat_ms / 1000));
	sb_http_link_drop(&link->transport);
}

static bool on_event(void *data, const char *name, const char *bytes, size_t len)
{
	struct stream *stream = data;

	/* It tells of the acks that the answers of /v1/acks tell of. */
	if (!strcmp(name, "acked"))
		return true;
	return sb_http_link_pass(&stream->link, bytes, len);
}

static void on_part(void *data, const struct sb_http_answer *head, const char *bytes, size_t len)
{
	struct stream *stream = data;
	struct sb_http_link *link = &stream->link;
	struct sb_sse_handler handler = {.on_event = on_event, .data = stream};
	int err;

	if (strncmp(head->type, "text/event-stream", strlen("text/event-stream")) != 0) {
		sb_ending_explain(&link->ending, "the answer is no stream of events");
		sb_http_link_drop(&link->transport);
		return;
	}
	err = sb_sse_feed(&stream->sse, bytes, len, &handler);
	if (err == -EFBIG)
		sb_http_link_finish(link, sb_reason_close_code(SB_REASON_TOO_BIG), "");
	else if (err == -ENOMEM)
		sb_http_link_drop(&link->transport);
	else if (!err && link->state == SB_LINK_OPEN && link->heartbeat_ms > 0)
		uv_timer_start(&stream->silence, on_silence, 2 * link->heartbeat_ms, 0);
}

/* The stream ended without words. That its token is good still means that another session came. */
static void on_why(void *data, const struct sb_http_answer *answer)
{
	struct stream *stream = data;
	struct sb_reconnect reconnect;

	stream->call = NULL;
	uv_timer_stop(&stream->silence);
	if (!sb_http_answer_reconnect(answer, &reconnect))
		sb_http_link_fail(&stream->link, answer);
	else if (reconnect.has_device)
		sb_http_link_finish(&stream->link, sb_reason_close_code(SB_REASON_REPLACED), "");
	else
		sb_http_link_finish(&stream->link, SB_ENDING_VANISHED, "the stream ended");
}

static void on_why_late(uv_timer_t *timer)
{
	struct stream *stream = timer->data;

	sb_ending_explain(&stream->link.ending, "the stream ended, and the server did not say why");
	sb_http_link_drop(&stream->link.transport);
}

static void ask_why(struct stream *stream)
{
	struct sb_http_request request = {.path = "/v1/reconnect", .answer_max = ANSWER_MAX};

	stream->call = sb_http_start(stream->link.http, &request,
				     &(struct sb_http_handler){.on_done = on_why, .data = stream});
	if (stream->call)
		uv_timer_start(&stream->silence, on_why_late, ANSWER_MS, 0);
	else
		sb_http_link_drop(&stream->link.transport);
}

static void on_done(void *data, const struct sb_http_answer *answer)
{
	struct stream *stream = data;
	struct sb_http_link *link = &stream->link;

	stream->call = NULL;
	uv_timer_stop(&stream->silence);
	if (answer->status != 200 || (!answer->is_whole && link->said_code == 0))
		sb_http_link_fail(link, answer);
	else if (link->said_code != 0)
		sb_http_link_finish(link, link->said_code, "");
	else if (link->heartbeat_ms == 0)
		sb_http_link_finish(link, SB_ENDING_VANISHED, "the stream ended");
	else if (link->mode == SB_MODE_ONCE)
		sb_http_link_finish(link, sb_reason_close_code(SB_REASON_BYE), "");
	else
		ask_why(stream);
}

static void begin(struct sb_http_link *link)
{
	struct stream *stream = stream_of(link);
	char cursor[SB_CURSOR_MAX + 1];
	struct sb_http_request request = {
		.path = link->mode == SB_MODE_ONCE ? "/v1/stream?mode=once" : "/v1/stream",
		.last_event_id = link->has_cursor ? cursor : NULL,
		.answer_max = TURN_BYTES_MAX,
	};
	struct sb_http_handler handler = {.on_part = on_part, .on_done = on_done, .data = stream};

	if (link->has_cursor)
		sb_cursor_format(&link->cursor, cursor);
	sb_sse_fini(&stream->sse);
	sb_sse_init(&stream->sse, SB_SERVER_MESSAGE_MAX + SB_SSE_NAME_MAX);
	/* Before the welcome the client has its own limit. */
	stream->call = sb_http_start(link->http, &request, &handler);
	if (!stream->call)
		sb_http_link_drop(&link->transport);
}

static void stop(struct sb_http_link *link)
{
	struct stream *stream = stream_of(link);

	sb_http_cancel(stream->call);
	stream->call = NULL;
	uv_timer_stop(&stream->silence);
}

/* The stream goes on by itself, and ends by itself too. */
static void on_settled(struct sb_http_link *link)
{
	(void)link;
}

static const struct sb_http_link_ops link_ops = {
	.begin = begin, .stop = stop, .on_settled = on_settled};

static void stream_free(struct sb_transport *transport)
{
	struct stream *stream = (struct stream *)transport;

	if (!stream)
		return;
	uv_close((uv_handle_t *)&stream->silence, NULL);
	sb_http_link_fini(&stream->link);
	sb_sse_fini(&stream->sse);
	free(stream);
}

static const struct sb_transport_ops stream_ops = {
	.connect = sb_http_link_connect,
	.send = sb_http_link_send,
	.close = sb_http_link_close,
	.drop = sb_http_link_drop,
	.free = stream_free,
};

int sb_transport_stream_new(uv_loop_t *loop, const struct sb_transport_options *options,
			    const struct sb_transport_handler *handler,
			    struct sb_transport **ret_transport)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int err;

	if (!stream)
		return -ENOMEM;
	stream->link.transport.ops = &stream_ops;
	uv_timer_init(loop, &stream->silence);
	stream->silence.data = stream;
	err = sb_http_link_init(&stream->link, &link_ops, loop, options, handler);
	if (err) {
		stream_free(&stream->link.transport);
		return err;
	}
	*ret_transport = &stream->link.transport;
	return 0;
}
