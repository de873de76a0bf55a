/* Non-blocking sockets that are waited for; see wire.h. */
#include "daemon/ctl/wire.h"
#include "daemon/ctl/doctor.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool fail(struct sb_wire *wire, const char *what, const char *why)
{
	(void)snprintf(wire->why, sizeof(wire->why), "%s: %s", what, why);
	return false;
}

static bool wait_for(struct sb_wire *wire, short events)
{
	struct pollfd file = {.fd = wire->fd, .events = events};

	for (;;) {
		int64_t left = wire->deadline_ms - sb_doctor_now_ms();
		int ready = left > 0 ? poll(&file, 1, (int)left) : 0;

		if (ready > 0)
			return true;
		if (ready == 0)
			return fail(wire, "no answer", "it takes too long");
		if (errno != EINTR)
			return fail(wire, "cannot wait", strerror(errno));
	}
}

bool sb_wire_open(struct sb_wire *wire, const struct sockaddr_storage *address, int64_t deadline_ms)
{
	socklen_t len = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						       : sizeof(struct sockaddr_in);
	int error = 0;
	socklen_t error_len = sizeof(error);

	*wire = (struct sb_wire){.deadline_ms = deadline_ms};
	wire->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wire->fd < 0)
		return fail(wire, "no socket", strerror(errno));
	if (connect(wire->fd, (const struct sockaddr *)address, len) == 0)
		return true;
	if (errno != EINPROGRESS)
		return fail(wire, "cannot connect", strerror(errno));
	if (!wait_for(wire, POLLOUT))
		return false;
	(void)getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	return error == 0 || fail(wire, "cannot connect", strerror(error));
}

/* What a call of OpenSSL that did not go through waits for; false: it failed. */
static bool wait_for_tls(struct sb_wire *wire, int result)
{
	int error = SSL_get_error(wire->ssl, result);
	const char *words;

	if (error == SSL_ERROR_WANT_READ)
		return wait_for(wire, POLLIN);
	if (error == SSL_ERROR_WANT_WRITE)
		return wait_for(wire, POLLOUT);
	words = ERR_reason_error_string(ERR_peek_error());
	ERR_clear_error();
	return fail(wire, "TLS", words ? words : "the connection was cut");
}

bool sb_wire_tls(struct sb_wire *wire, const char *name)
{
	int result;

	wire->tls = SSL_CTX_new(TLS_client_method());
	wire->ssl = wire->tls ? SSL_new(wire->tls) : NULL;
	if (!wire->ssl || SSL_set_fd(wire->ssl, wire->fd) != 1)
		return fail(wire, "TLS", "out of memory");
	if (name)
		(void)SSL_set_tlsext_host_name(wire->ssl, name);
	while ((result = SSL_connect(wire->ssl)) != 1) {
		if (!wait_for_tls(wire, result))
			return false;
	}
	return true;
}

bool sb_wire_write(struct sb_wire *wire, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t sent = wire->ssl ? SSL_write(wire->ssl, at, (int)len)
					 : send(wire->fd, at, len, MSG_NOSIGNAL);

		if (sent > 0) {
			at += sent;
			len -= (size_t)sent;
		} else if (wire->ssl ? !wait_for_tls(wire, (int)sent)
				     : errno != EAGAIN && errno != EINTR) {
			return wire->ssl ? false : fail(wire, "cannot send", strerror(errno));
		} else if (!wire->ssl && !wait_for(wire, POLLOUT)) {
			return false;
		}
	}
	return true;
}

ssize_t sb_wire_read(struct sb_wire *wire, void *bytes, size_t size)
{
	for (;;) {
		ssize_t count = wire->ssl ? SSL_read(wire->ssl, bytes, (int)size)
					  : recv(wire->fd, bytes, size, 0);

		if (count > 0)
			return count;
		if (wire->ssl) {
			if (SSL_get_error(wire->ssl, (int)count) == SSL_ERROR_ZERO_RETURN)
				return 0;
			if (!wait_for_tls(wire, (int)count))
				return -1;
		} else if (count == 0) {
			return 0;
		} else if (errno != EAGAIN && errno != EINTR) {
			(void)fail(wire, "cannot receive", strerror(errno));
			return -1;
		} else if (!wait_for(wire, POLLIN)) {
			return -1;
		}
	}
}

void sb_wire_close(struct sb_wire *wire)
{
	SSL_free(wire->ssl);
	SSL_CTX_free(wire->tls);
	if (wire->fd >= 0)
		(void)close(wire->fd);
	wire->fd = -1;
	wire->ssl = NULL;
	wire->tls = NULL;
}
