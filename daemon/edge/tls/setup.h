/*
 * TLS as the server speaks it: 1.2 and 1.3, forward secrecy, no renegotiation,
 * one stateless ticket, no protocol but HTTP/1.1, and little memory a session.
 */
#ifndef SB_EDGE_TLS_SETUP_H
#define SB_EDGE_TLS_SETUP_H

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct sb_tls_identity;
struct sb_ticket_keys;

/* The name of libwebsockets' only protocol here. */
#define SB_TLS_PROTOCOL "slotbell"

/*   name     word       how a TLS handshake ended */
#define SB_HANDSHAKES(X)                               \
	X(FULL, "full")	      /* with a certificate */ \
	X(RESUMED, "resumed") /* by a ticket */        \
	X(FAILED, "failed")   /* no TLS, or the connection went before */

enum sb_handshake {
#define SB_HANDSHAKE_ENUM(name, word) SB_HANDSHAKE_##name,
	SB_HANDSHAKES(SB_HANDSHAKE_ENUM)
#undef SB_HANDSHAKE_ENUM
		SB_HANDSHAKE_COUNT
};

/* The word for metrics: a constant. */
const char *sb_handshake_word(enum sb_handshake handshake);

/* What handshakes ask for, each at its own moment; a reload changes it. All is borrowed. */
struct sb_tls {
	const struct sb_tls_identity *identity;
	const struct sb_ticket_keys *ticket_keys; /* never NULL */
	uint64_t handshakes[SB_HANDSHAKE_COUNT];  /* since the start */
	bool *adopting; /* set when the handshake of a connection is done whose SSL object is not
			   known yet: a quick one is through before the adopt call returns */
};

/* Sets a context up. It has no certificate of its own: each full handshake takes the identity that
 * is in force. `tls` is borrowed for as long as the context lives. */
void sb_tls_setup(SSL_CTX *context, struct sb_tls *tls);
/* RFC 7301: who offers protocols and not http/1.1 among them is refused with
 * no_application_protocol. To be called last: the library has an answer of its own. */
void sb_tls_set_alpn(SSL_CTX *context);
/* *handshaken is set when this connection's handshake is done. Borrowed until the connection's
 * end. */
void sb_tls_follow(struct lws *wsi, bool *handshaken);
/* A connection went before its handshake was done. */
void sb_tls_count_failed(struct sb_tls *tls);
/* Stateless resumption with tls->ticket_keys, asked for at each ticket (tickets.c). */
void sb_tickets_setup(SSL_CTX *context);

#endif
