/* A caller's life, step by step: each when its socket is ready. See caller.h. */
#include "tests/bench/caller.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* RFC 6455 section 5.2. */
#define OPCODE_TEXT  0x1
#define OPCODE_CLOSE 0x8
#define OPCODE_PING  0x9
#define OPCODE_PONG  0xa
#define FIN	     0x80
#define MASKED	     0x80
/* A small frame's: two bytes and a mask of zeros, which leaves the payload as it is. */
#define HEADER_LEN 6
#define SMALL_MAX  125
/* What a caller keeps of one message, at most: the server's longest, and its header. */
#define PART_MAX (524288 + 10)

static void forget_part(struct sb_caller *caller)
{
	free(caller->part);
	caller->part = NULL;
	caller->part_len = 0;
}

void sb_caller_hang_up(struct sb_caller *caller)
{
	if (caller->state == SB_CALLER_IDLE)
		return;
	SSL_free(caller->tls);
	(void)close(caller->fd); /* which takes it off the epoll */
	forget_part(caller);
	caller->tls = NULL;
	caller->state = SB_CALLER_IDLE;
	caller->out_len = 0;
}

static void end(struct sb_caller *caller, const char *why)
{
	int code = caller->close_code;

	sb_caller_hang_up(caller);
	caller->ops->ended(caller, code, why);
}

static void watch(struct sb_caller *caller, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = caller};

	(void)epoll_ctl(caller->line->epoll, EPOLL_CTL_MOD, caller->fd, &event);
}

/* The certificate must be for the host, be it a name or an address. */
static int expect_host(SSL *tls, const char *name)
{
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1)
		return 0;
	return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1 ? 0 : -1;
}

/* A copy, for OpenSSL takes one off the market whose connection ended without a word. */
static void set_ticket(SSL *tls, const SSL_SESSION *ticket)
{
	SSL_SESSION *copy = SSL_SESSION_dup(ticket);

	if (copy)
		(void)SSL_set_session(tls, copy);
	SSL_SESSION_free(copy);
}

int sb_caller_call(struct sb_caller *caller)
{
	struct sb_line *line = caller->line;
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = caller};
	int on = 1;

	caller->close_code = caller->status = 0;
	caller->fd = socket(line->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (caller->fd < 0)
		return -errno;
	(void)setsockopt(caller->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	caller->tls = SSL_new(line->tls);
	caller->state = SB_CALLER_TCP;
	if (!caller->tls || SSL_set_fd(caller->tls, caller->fd) != 1 ||
	    expect_host(caller->tls, line->name) != 0 ||
	    (connect(caller->fd, (struct sockaddr *)&line->address, line->address_len) != 0 &&
	     errno != EINPROGRESS) ||
	    epoll_ctl(line->epoll, EPOLL_CTL_ADD, caller->fd, &event) != 0) {
		int result = errno ? -errno : -ENOMEM;

		sb_caller_hang_up(caller);
		return result;
	}
	if (line->ticket)
		set_ticket(caller->tls, line->ticket);
	return 0;
}

/* ---- out ---- */

/* 0 when all is out or will be when the socket is ready; -1 when it is broken. */
static int flush(struct sb_caller *caller)
{
	int written;

	if (!caller->out_len)
		return 0;
	ERR_clear_error();
	written = SSL_write(caller->tls, caller->out, caller->out_len);
	if (written > 0) {
		caller->out_len = 0;
		watch(caller, EPOLLIN);
		return 0;
	}
	if (SSL_get_error(caller->tls, written) != SSL_ERROR_WANT_WRITE)
		return -1;
	watch(caller, EPOLLIN | EPOLLOUT);
	return 0;
}

static int add_frame(struct sb_caller *caller, unsigned char opcode, const void *payload,
		     size_t len)
{
	unsigned char *at = caller->out + caller->out_len;

	if (len > SMALL_MAX || caller->out_len + HEADER_LEN + len > sizeof(caller->out))
		return -ENOBUFS;
	at[0] = (unsigned char)(FIN | opcode);
	at[1] = (unsigned char)(MASKED | len);
	memset(at + 2, 0, 4);
	memcpy(at + HEADER_LEN, payload, len);
	caller->out_len = (uint8_t)(caller->out_len + HEADER_LEN + len);
	return 0;
}

int sb_caller_say(struct sb_caller *caller, const char *text, size_t len)
{
	int result = add_frame(caller, OPCODE_TEXT, text, len);

	return result == 0 && flush(caller) != 0 ? -EPIPE : result;
}

static int send_request(struct sb_caller *caller)
{
	const struct sb_line *line = caller->line;
	char request[512];
	int len;

	if (line->path)
		len = snprintf(request, sizeof(request),
			       "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n",
			       line->path, line->name, caller->token,
			       line->keep ? "" : "Connection: close\r\n");
	else
		len = snprintf(
			request, sizeof(request),
			"GET /v1/session HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
			"Connection: Upgrade\r\nSec-WebSocket-Key: c2xvdGJlbGwtYmVuY2ghIQ==\r\n"
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: slotbell.v1\r\n\r\n",
			line->name);
	caller->state = SB_CALLER_UPGRADE;
	return SSL_write(caller->tls, request, len) == len ? 0 : -1; /* an empty socket takes it */
}

int sb_caller_ask(struct sb_caller *caller)
{
	caller->status = 0;
	return send_request(caller) == 0 ? 0 : -EPIPE;
}

/* ---- in ---- */

/* The length of the answer's body, as its head says it. */
static size_t body_len(const unsigned char *head, size_t len)
{
	static const char name[] = "\r\nContent-Length: ";
	const unsigned char *at = memmem(head, len, name, sizeof(name) - 1);

	return at ? strtoul((const char *)at + sizeof(name) - 1, NULL, 10) : 0;
}

/* The length of the answer when it is whole, of an upgrade's that of its head; 0 when it is not,
 * -1 when it is not what was asked. */
static ssize_t take_answer(struct sb_caller *caller, const unsigned char *bytes, size_t len)
{
	static const char good[] = "HTTP/1.1 101 ", any[] = "HTTP/1.1 ";
	const unsigned char *end = memmem(bytes, len, "\r\n\r\n", 4);

	if (!end)
		return len < 4096 ? 0 : -1;
	if (caller->line->path && !memcmp(bytes, any, sizeof(any) - 1)) {
		if (len < (size_t)(end + 4 - bytes) + body_len(bytes, (size_t)(end - bytes)))
			return 0;
		caller->status = (uint16_t)strtoul((const char *)bytes + sizeof(any) - 1, NULL, 10);
		caller->state = SB_CALLER_ANSWERED;
		caller->ops->opened(caller);
		return (ssize_t)len;
	}
	if (memcmp(bytes, good, sizeof(good) - 1) != 0)
		return -1;
	caller->state = SB_CALLER_OPEN;
	caller->ops->opened(caller);
	return end + 4 - bytes;
}

static void take_frame(struct sb_caller *caller, unsigned opcode, const unsigned char *payload,
		       size_t len)
{
	switch (opcode) {
	case OPCODE_TEXT:
		caller->ops->message(caller, (const char *)payload, len);
		break;
	case OPCODE_PING:
		caller->pings++;
		(void)add_frame(caller, OPCODE_PONG, payload, len);
		break;
	case OPCODE_CLOSE:
		caller->close_code = (uint16_t)(len < 2 ? 1005 : payload[0] << 8 | payload[1]);
		(void)add_frame(caller, OPCODE_CLOSE, payload, len < 2 ? 0 : 2);
		break;
	default:
		break;
	}
}

/* The length of the frame at the front when it is whole, else 0. A server's is never masked. */
static size_t take_next_frame(struct sb_caller *caller, const unsigned char *bytes, size_t len)
{
	size_t header = 2, payload;

	if (len < 2)
		return 0;
	payload = bytes[1] & 0x7f;
	if (payload >= 126) {
		size_t more = payload == 126 ? 2 : 8;

		if (len < 2 + more)
			return 0;
		payload = 0;
		for (size_t i = 0; i < more; i++)
			payload = payload << 8 | bytes[2 + i];
		header += more;
	}
	if (len - header < payload)
		return 0;
	take_frame(caller, bytes[0] & 0xf, bytes + header, payload);
	return header + payload;
}

/* Takes what is whole at the front: how much that was, or -1. */
static ssize_t take(struct sb_caller *caller, const unsigned char *bytes, size_t len)
{
	size_t taken = 0;

	if (caller->state == SB_CALLER_UPGRADE) {
		ssize_t head = take_answer(caller, bytes, len);

		if (head <= 0)
			return head;
		taken = (size_t)head;
	}
	if (caller->state == SB_CALLER_ANSWERED)
		return (ssize_t)len; /* its status was enough */
	while (taken < len) {
		size_t frame = take_next_frame(caller, bytes + taken, len - taken);

		if (!frame)
			break;
		taken += frame;
	}
	return (ssize_t)taken;
}

/* Bytes have come, after those that are kept: what is not whole is kept. */
static int receive(struct sb_caller *caller, const unsigned char *bytes, size_t len)
{
	unsigned char *grown;
	ssize_t taken;

	if (!caller->part) {
		taken = take(caller, bytes, len);
		if (taken < 0)
			return -1;
		bytes += taken;
		len -= (size_t)taken;
		if (!len)
			return 0;
	}
	if (caller->part_len + len > PART_MAX)
		return -1;
	grown = realloc(caller->part, caller->part_len + len);
	if (!grown)
		return -1;
	caller->part = grown;
	memcpy(caller->part + caller->part_len, bytes, len);
	caller->part_len += len;
	taken = take(caller, caller->part, caller->part_len);
	if (taken < 0)
		return -1;
	caller->part_len -= (size_t)taken;
	memmove(caller->part, caller->part + taken, caller->part_len);
	if (!caller->part_len)
		forget_part(caller);
	return 0;
}

static void read_all(struct sb_caller *caller)
{
	static unsigned char bytes[16384];
	int len, error;

	for (;;) {
		ERR_clear_error();
		len = SSL_read(caller->tls, bytes, sizeof(bytes));
		if (len <= 0)
			break;
		if (receive(caller, bytes, (size_t)len) != 0 || flush(caller) != 0) {
			end(caller, caller->close_code ? "" : "what came is no slotbell.v1");
			return;
		}
	}
	error = SSL_get_error(caller->tls, len);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		end(caller, caller->close_code ? "" : "the connection broke");
}

/* ---- the way up ---- */

static void shake_hands(struct sb_caller *caller)
{
	int result, error;

	ERR_clear_error();
	result = SSL_connect(caller->tls);
	if (result == 1) {
		caller->resumed = SSL_session_reused(caller->tls);
		watch(caller, EPOLLIN);
		if (send_request(caller) != 0)
			end(caller, "cannot send the request");
		return;
	}
	error = SSL_get_error(caller->tls, result);
	if (error == SSL_ERROR_WANT_READ)
		watch(caller, EPOLLIN);
	else if (error == SSL_ERROR_WANT_WRITE)
		watch(caller, EPOLLOUT);
	else
		end(caller, error == SSL_ERROR_SSL ? "no TLS session with this server"
						   : "the connection broke");
}

static void finish_connect(struct sb_caller *caller)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(caller->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
		end(caller, "cannot connect");
		return;
	}
	caller->state = SB_CALLER_TLS;
	shake_hands(caller);
}

void sb_caller_serve(struct sb_caller *caller, uint32_t events)
{
	switch ((enum sb_caller_state)caller->state) {
	case SB_CALLER_IDLE:
		return;
	case SB_CALLER_TCP:
		finish_connect(caller);
		return;
	case SB_CALLER_TLS:
		shake_hands(caller);
		return;
	case SB_CALLER_UPGRADE:
	case SB_CALLER_OPEN:
	case SB_CALLER_ANSWERED:
		if ((events & EPOLLOUT) && flush(caller) != 0)
			end(caller, "the connection broke");
		else if (events & ~(uint32_t)EPOLLOUT)
			read_all(caller);
		return;
	}
}
