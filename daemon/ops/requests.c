/* Connections, their bounds and their ends; see requests.h. */
#include "daemon/ops/requests.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of the kernel. */
#define BACKLOG 16

union stream {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_tcp_t tcp;
	uv_pipe_t pipe;
};

struct sb_requests {
	struct sb_requests_config config;
	uv_loop_t *loop;
	union stream listener;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": an address */
	struct sb_request *first;
	size_t count;
	bool listener_open;
	bool closing;
	void (*on_closed)(void *data);
	void *closed_data;
};

/* A connection, and the request that it has. */
struct sb_request {
	struct sb_requests *requests;
	struct sb_request *prev, *next;
	union stream stream;
	uv_timer_t patience;
	uv_write_t write;
	uv_shutdown_t shutdown;
	char *answer; /* being sent; owned */
	bool asked;   /* on_request was called, the answer is due */
	bool closing; /* its handles are on their way out */
	bool last;    /* closes after the answer, whatever config says */
	bool over;    /* the last answer is out: what still comes is not looked at */
	unsigned int open_handles;
	size_t len;
	char text[SB_REQUEST_BYTES_MAX + 1];
};

/* ---- the end of a connection ---- */

static void finish_if_closed(struct sb_requests *requests)
{
	if (!requests->closing || requests->listener_open || requests->count)
		return;
	if (requests->on_closed)
		requests->on_closed(requests->closed_data);
	free(requests);
}

static void free_if_over(struct sb_request *request)
{
	struct sb_requests *requests = request->requests;

	if (request->open_handles || request->asked)
		return;
	if (request->prev)
		request->prev->next = request->next;
	else
		requests->first = request->next;
	if (request->next)
		request->next->prev = request->prev;
	requests->count--;
	free(request->answer);
	free(request);
	finish_if_closed(requests);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_request *request = handle->data;

	request->open_handles--;
	free_if_over(request);
}

static void cut(struct sb_request *request)
{
	if (request->closing)
		return;
	request->closing = true;
	uv_close(&request->stream.handle, on_handle_closed);
	uv_close((uv_handle_t *)&request->patience, on_handle_closed);
}

static void on_patience_over(uv_timer_t *timer)
{
	cut(timer->data);
}

static void start_patience(struct sb_request *request)
{
	(void)uv_timer_start(&request->patience, on_patience_over,
			     request->requests->config.patience_ms, 0);
}

/* ---- requests ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct sb_request *request = handle->data;

	(void)suggested;
	buffer->base = request->text + request->len;
	buffer->len = SB_REQUEST_BYTES_MAX - request->len;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

/* A request is there, whole or too long, or more of it is waited for. */
static void look(struct sb_request *request)
{
	const struct sb_requests_config *config = &request->requests->config;
	size_t terminator_len = strlen(config->terminator);
	char *end = memmem(request->text, request->len, config->terminator, terminator_len);
	char text[SB_REQUEST_BYTES_MAX + 1];
	size_t len;

	if (!end && request->len < SB_REQUEST_BYTES_MAX) {
		(void)uv_read_start(&request->stream.stream, on_alloc, on_read);
		return;
	}
	(void)uv_read_stop(&request->stream.stream);
	(void)uv_timer_stop(&request->patience);
	request->asked = true;
	if (!end) {
		request->last = true;
		config->on_request(config->data, request, NULL, 0);
		return;
	}
	/* Out of the buffer first: what came behind it is the beginning of the next one. */
	len = (size_t)(end - request->text);
	memcpy(text, request->text, len);
	text[len] = '\0';
	request->len -= len + terminator_len;
	memmove(request->text, end + terminator_len, request->len);
	config->on_request(config->data, request, text, len);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct sb_request *request = stream->data;

	(void)buffer;
	if (count < 0) {
		cut(request);
	} else if (count > 0 && !request->over) {
		request->len += (size_t)count;
		look(request);
	}
}

/* ---- answers ---- */

/* Closed now, with something of the client's unread, the answer might be lost on its way: the
 * client closes first, or its patience is over. */
static void linger(struct sb_request *request)
{
	request->over = true;
	request->len = 0;
	if (uv_shutdown(&request->shutdown, &request->stream.stream, NULL) != 0 ||
	    uv_read_start(&request->stream.stream, on_alloc, on_read) != 0)
		cut(request);
}

static void on_written(uv_write_t *write, int status)
{
	struct sb_request *request = write->data;

	free(request->answer);
	request->answer = NULL;
	if (request->closing)
		return;
	if (status != 0) {
		cut(request);
	} else if (request->last || !request->requests->config.keep) {
		linger(request);
	} else {
		start_patience(request);
		look(request);
	}
}

void sb_request_answer(struct sb_request *request, char *text, size_t len)
{
	uv_buf_t buffer = uv_buf_init(text, (unsigned int)len);

	request->asked = false;
	request->answer = text;
	if (request->closing) {
		free_if_over(request);
		return;
	}
	if (!text) {
		cut(request);
		return;
	}
	request->write.data = request;
	start_patience(request);
	if (uv_write(&request->write, &request->stream.stream, &buffer, 1, on_written) != 0)
		cut(request);
}

/* ---- listening ---- */

static int init_stream(const struct sb_requests *requests, union stream *stream)
{
	return *requests->path ? uv_pipe_init(requests->loop, &stream->pipe, 0)
			       : uv_tcp_init(requests->loop, &stream->tcp);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct sb_requests *requests = listener->data;
	struct sb_request *request = status == 0 ? calloc(1, sizeof(*request)) : NULL;

	if (!request)
		return;
	request->requests = requests;
	(void)init_stream(requests, &request->stream);
	(void)uv_timer_init(requests->loop, &request->patience);
	request->open_handles = 2;
	request->stream.handle.data = request;
	request->patience.data = request;
	request->next = requests->first;
	if (request->next)
		request->next->prev = request;
	requests->first = request;
	requests->count++;
	/* Accepted in any case, or the listener would wait with it before all others. */
	if (uv_accept(listener, &request->stream.stream) != 0 ||
	    requests->count > SB_REQUESTS_CLIENTS_MAX) {
		cut(request);
		return;
	}
	start_patience(request);
	look(request);
}

static struct sb_requests *make(uv_loop_t *loop, const char *path,
				const struct sb_requests_config *config)
{
	struct sb_requests *requests = calloc(1, sizeof(*requests));

	if (!requests)
		return NULL;
	requests->loop = loop;
	requests->config = *config;
	memcpy(requests->path, path, strlen(path));
	(void)init_stream(requests, &requests->listener);
	requests->listener.handle.data = requests;
	requests->listener_open = true;
	return requests;
}

static int listen_now(struct sb_requests *requests, int result, struct sb_requests **ret_requests)
{
	if (result == 0)
		result = uv_listen(&requests->listener.stream, BACKLOG, on_connection);
	if (result != 0) {
		sb_requests_close(requests, NULL, NULL);
		return result;
	}
	*ret_requests = requests;
	return 0;
}

int sb_requests_listen(uv_loop_t *loop, const struct sockaddr *address,
		       const struct sb_requests_config *config, struct sb_requests **ret_requests)
{
	struct sb_requests *requests = make(loop, "", config);

	if (!requests)
		return -ENOMEM;
	return listen_now(requests, uv_tcp_bind(&requests->listener.tcp, address, 0), ret_requests);
}

int sb_requests_listen_on(uv_loop_t *loop, int fd, const struct sb_requests_config *config,
			  struct sb_requests **ret_requests)
{
	struct sb_requests *requests = make(loop, "", config);

	if (!requests)
		return -ENOMEM;
	return listen_now(requests, uv_tcp_open(&requests->listener.tcp, fd), ret_requests);
}

/* Whether somebody answers there; a socket that nobody does is what a killed process left. */
static bool is_answered(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered;

	if (fd < 0)
		return false;
	memcpy(address.sun_path, path, strlen(path));
	answered = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
		   errno == EAGAIN; /* its queue is full */
	(void)close(fd);
	return answered;
}

/* libuv says "permission denied" where there is no such folder, as on Windows. */
static int explain(const char *path, int result)
{
	const char *slash = strrchr(path, '/');
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";

	if (slash && slash > path) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
	}
	return result == -EACCES && access(folder, F_OK) != 0 ? -errno : result;
}

int sb_requests_listen_path(uv_loop_t *loop, const char *path, mode_t mode,
			    const struct sb_requests_config *config,
			    struct sb_requests **ret_requests)
{
	struct sb_requests *requests;
	struct stat stat;
	mode_t before;
	int result;

	if (strlen(path) >= sizeof(requests->path))
		return -ENAMETOOLONG; /* libuv would cut it without a word */
	if (lstat(path, &stat) == 0) {
		if (!S_ISSOCK(stat.st_mode))
			return -EEXIST;
		if (is_answered(path))
			return -EADDRINUSE;
		(void)unlink(path);
	}
	requests = make(loop, path, config);
	if (!requests)
		return -ENOMEM;
	/* From its first moment on it is for nobody else. */
	before = umask(0777 & ~mode);
	result = explain(path, uv_pipe_bind(&requests->listener.pipe, path));
	(void)umask(before);
	return listen_now(requests, result, ret_requests);
}

uint16_t sb_requests_port(const struct sb_requests *requests)
{
	struct sockaddr_storage bound = {0};
	int len = sizeof(bound);

	(void)uv_tcp_getsockname(&requests->listener.tcp, (struct sockaddr *)&bound, &len);
	return ntohs(bound.ss_family == AF_INET6
			     ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
			     : ((struct sockaddr_in *)(void *)&bound)->sin_port);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct sb_requests *requests = handle->data;

	requests->listener_open = false;
	finish_if_closed(requests);
}

/* libuv removes the path of a pipe that it bound. */
void sb_requests_close(struct sb_requests *requests, void (*on_closed)(void *data), void *data)
{
	if (!requests)
		return;
	requests->closing = true;
	requests->on_closed = on_closed;
	requests->closed_data = data;
	uv_close(&requests->listener.handle, on_listener_closed);
	for (struct sb_request *request = requests->first; request; request = request->next)
		cut(request);
}
