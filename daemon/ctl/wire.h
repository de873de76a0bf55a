/*
 * A connection to slotbelld as a client has one, plain or by TLS, for a check
 * that waits for it: every call returns by the connection's deadline.
 *
 * The server's certificate is not judged here; doctor's other checks do that.
 */
#ifndef SB_CTL_WIRE_H
#define SB_CTL_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sb_wire {
	int fd; /* -1: closed */
	SSL_CTX *tls;
	SSL *ssl; /* NULL: plain */
	int64_t deadline_ms;
	char why[384]; /* it failed */
};

/* False: wire->why says why. To be closed in any case. */
bool sb_wire_open(struct sb_wire *wire, const struct sockaddr_storage *address,
		  int64_t deadline_ms);
/* `name`: what the server is asked for (SNI); NULL: nothing. */
bool sb_wire_tls(struct sb_wire *wire, const char *name);
bool sb_wire_write(struct sb_wire *wire, const void *bytes, size_t len);
/* How much came; 0: the other side has ended it; -1: wire->why. */
ssize_t sb_wire_read(struct sb_wire *wire, void *bytes, size_t size);
void sb_wire_close(struct sb_wire *wire);

#endif
