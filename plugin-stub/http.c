/*
 * HTTPS by libcurl's multi interface on our libuv loop.
 *
 * libcurl's callbacks only note what happened, since its functions must not be
 * called from inside them: bytes go into the call's box, ends into libcurl's own
 * list. deliver() tells of both once libcurl is left.
 */
#include "plugin-stub/http_private.h"

#include "plugin-stub/retry_after.h"
#include "plugin-stub/tls.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define CONNECT_MS  15000L
#define PROBLEM_MAX 65536 /* an answer that is none of 200 */

/* One socket of libcurl's that is watched for it. */
struct watch {
	uv_poll_t poll;
	struct sb_http *http;
	curl_socket_t fd;
};

/* ---- what came ---- */

static void free_call(struct sb_http_call *call)
{
	DL_DELETE(call->http->calls, call);
	curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	sb_inbox_clear(&call->in);
	free(call->body);
	free(call);
}

void sb_http_cancel(struct sb_http_call *call)
{
	if (call)
		free_call(call);
}

/* Its pointers are libcurl's and live as long as the call. */
static void read_head(struct sb_http_call *call, struct sb_http_answer *ret_head)
{
	struct curl_header *after;
	char *type = NULL;
	long status = 0;

	memset(ret_head, 0, sizeof(*ret_head));
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	ret_head->status = (int)status;
	ret_head->type = type ? type : "";
	ret_head->words = "";
	if (curl_easy_header(call->easy, "Retry-After", 0, CURLH_HEADER, -1, &after) == CURLHE_OK)
		ret_head->has_hint = sb_retry_after_parse(after->value, &ret_head->hint_ms);
}

static bool is_streamed(struct sb_http_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return call->handler.on_part && status == 200;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *data)
{
	struct sb_http_call *call = data;
	size_t max_bytes = call->answer_max;

	if (call->handler.on_part && !is_streamed(call))
		max_bytes = PROBLEM_MAX;
	if (sb_inbox_add(&call->in, bytes, size * count, max_bytes) != 0)
		return CURL_WRITEFUNC_ERROR;
	return size * count;
}

static int on_request(void *data, char *peer, char *local, int peer_port, int local_port)
{
	struct sb_http_call *call = data;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	call->sent_ms = uv_now(call->http->loop);
	return CURL_PREREQFUNC_OK;
}

static void tell_part(struct sb_http_call *call)
{
	struct sb_http_handler handler = call->handler;
	struct sb_inbox in = call->in;
	struct sb_http_answer head;

	/* The handler may cancel the call. */
	memset(&call->in, 0, sizeof(call->in));
	read_head(call, &head);
	handler.on_part(handler.data, &head, in.bytes, in.len);
	sb_inbox_clear(&in);
}

static void tell_done(struct sb_http_call *call)
{
	struct sb_http_handler handler = call->handler;
	struct sb_inbox in = call->in;
	struct sb_http_answer answer;
	char error[CURL_ERROR_SIZE], type[128];

	memset(&call->in, 0, sizeof(call->in));
	read_head(call, &answer);
	snprintf(type, sizeof(type), "%s", answer.type);
	snprintf(error, sizeof(error), "%s",
		 call->error[0] ? call->error : curl_easy_strerror(call->code));
	answer.type = type;
	answer.is_whole = call->code == CURLE_OK;
	answer.took_ms = call->sent_ms ? uv_now(call->http->loop) - call->sent_ms : 0;
	answer.words = answer.is_whole ? "" : error;
	answer.body = in.bytes ? in.bytes : "";
	answer.body_len = in.len;
	free_call(call);
	handler.on_done(handler.data, &answer);
	sb_inbox_clear(&in);
}

static void note_ends(struct sb_http *http)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct sb_http_call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		call->finished = true;
		call->code = message->data.result;
	}
}

/* Something to tell of, the oldest call's first; NULL when there is nothing. */
static struct sb_http_call *find_news(struct sb_http *http)
{
	struct sb_http_call *call;

	DL_FOREACH(http->calls, call) {
		if (call->finished || (call->in.len > 0 && is_streamed(call)))
			return call;
	}
	return NULL;
}

static void deliver(struct sb_http *http)
{
	struct sb_http_call *call;

	note_ends(http);
	/* From the start each time: a handler may have cancelled any of them. */
	while ((call = find_news(http))) {
		if (call->in.len > 0 && is_streamed(call))
			tell_part(call);
		else
			tell_done(call);
	}
}

/* ---- libcurl's sockets and timer ---- */

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct sb_http *http = watch->http;
	int flags = status < 0 ? CURL_CSELECT_ERR : 0;
	int running;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(http->multi, watch->fd, flags, &running);
	deliver(http);
}

static struct watch *watch_socket(struct sb_http *http, curl_socket_t fd)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->http = http;
	watch->fd = fd;
	if (uv_poll_init_socket(http->loop, &watch->poll, fd) < 0) {
		free(watch);
		return NULL;
	}
	watch->poll.data = watch;
	curl_multi_assign(http->multi, fd, watch);
	return watch;
}

static int on_socket(CURL *easy, curl_socket_t fd, int action, void *user, void *assigned)
{
	struct sb_http *http = user;
	struct watch *watch = assigned;
	int events = 0;

	(void)easy;
	if (action == CURL_POLL_REMOVE) {
		if (watch) {
			curl_multi_assign(http->multi, fd, NULL);
			uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
		}
		return 0;
	}
	if (!watch)
		watch = watch_socket(http, fd);
	if (!watch)
		return -1;
	if (action & CURL_POLL_IN)
		events |= UV_READABLE;
	if (action & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&watch->poll, events, on_ready) < 0 ? -1 : 0;
}

static void on_time(uv_timer_t *timer)
{
	struct sb_http *http = timer->data;
	int running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	deliver(http);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *user)
{
	struct sb_http *http = user;

	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&http->timer);
	else
		uv_timer_start(&http->timer, on_time, (uint64_t)timeout_ms, 0);
	return 0;
}

/* ---- calls ---- */

#define SET(option, value) SB_CURL_SET(call, option, value)

static bool set_all(struct sb_http_call *call, const struct sb_http_request *request)
{
	return SET(CURLOPT_PRIVATE, call) && SET(CURLOPT_ERRORBUFFER, call->error) &&
	       SET(CURLOPT_WRITEFUNCTION, on_bytes) && SET(CURLOPT_WRITEDATA, call) &&
	       SET(CURLOPT_PREREQFUNCTION, on_request) && SET(CURLOPT_PREREQDATA, call) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) &&
	       /* A call that is cancelled does not wait for its name look-up. */
	       SET(CURLOPT_QUICK_EXIT, 1L) && sb_http_set_request(call, request);
}

struct sb_http_call *sb_http_start(struct sb_http *http, const struct sb_http_request *request,
				   const struct sb_http_handler *handler)
{
	struct sb_http_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->http = http;
	call->handler = *handler;
	call->answer_max = request->answer_max;
	DL_APPEND(http->calls, call);
	call->easy = curl_easy_init();
	if (call->easy && set_all(call, request) &&
	    curl_multi_add_handle(http->multi, call->easy) == CURLM_OK)
		return call;
	free_call(call);
	return NULL;
}

/* ---- beginning and end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void sb_http_free(struct sb_http *http)
{
	struct sb_http_call *call, *next;

	if (!http)
		return;
	DL_FOREACH_SAFE(http->calls, call, next)
		free_call(call);
	curl_multi_cleanup(http->multi);
	curl_share_cleanup(http->share);
	if (http->authorization) {
		explicit_bzero(http->authorization, strlen(http->authorization));
		free(http->authorization);
	}
	curl_global_cleanup();
	uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

/* NULL when out of memory. */
static CURLM *make_multi(struct sb_http *http)
{
	CURLM *multi = curl_multi_init();

	if (!multi)
		return NULL;
	if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
	    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) == CURLM_OK &&
	    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK &&
	    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) == CURLM_OK)
		return multi;
	curl_multi_cleanup(multi);
	return NULL;
}

void sb_http_leave_connections(struct sb_http *http)
{
	CURLM *next = make_multi(http);

	if (!next)
		return;
	curl_multi_cleanup(http->multi);
	uv_timer_stop(&http->timer);
	http->multi = next;
}

static bool start_curl(struct sb_http *http)
{
	http->multi = make_multi(http);
	http->share = curl_share_init();
	return http->multi && http->share &&
	       curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ==
		       CURLSHE_OK;
}

int sb_http_new(uv_loop_t *loop, const struct sb_transport_options *options,
		struct sb_http **ret_http)
{
	struct sb_http *http;
	SSL_CTX *ctx;
	int err = sb_tls_client_new(options->url.host, options->ca, &ctx);

	if (err)
		return err; /* better now than at each try */
	SSL_CTX_free(ctx);
	http = calloc(1, sizeof(*http));
	if (!http)
		return -ENOMEM;
	unsetenv("SSLKEYLOGFILE"); /* libcurl would write our keys there */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(http);
		return -ENOMEM;
	}
	http->loop = loop;
	http->options = *options;
	uv_timer_init(loop, &http->timer);
	http->timer.data = http;
	if (asprintf(&http->authorization, "Authorization: Bearer %s", options->bearer) < 0)
		http->authorization = NULL;
	if (!http->authorization || !start_curl(http)) {
		sb_http_free(http);
		return -ENOMEM;
	}
	*ret_http = http;
	return 0;
}
