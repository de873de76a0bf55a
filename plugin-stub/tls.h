/* Whom we trust: one SSL_CTX for one server. */
#ifndef SB_PLUGIN_TLS_H
#define SB_PLUGIN_TLS_H

#include <openssl/ssl.h>

/*
 * A client context that accepts certificates of `host` only (a DNS name, or an
 * IPv4 or IPv6 literal), TLS 1.2 or newer, signed by a CA of the file `ca`, or
 * by one of the system's when that is NULL. Borrows both until return.
 *
 * 0; -ENOENT when `ca` cannot be read as PEM certificates; -ENOMEM. The caller
 * frees *ret_ctx with SSL_CTX_free().
 */
int sb_tls_client_new(const char *host, const char *ca, SSL_CTX **ret_ctx);

/* Gives a context that somebody else made the same rules; errors as above. */
int sb_tls_rule(SSL_CTX *ctx, const char *host, const char *ca);

/*
 * Follows the handshakes of a context. on_failure is told why one failed, in
 * OpenSSL's words: "wrong version number". What the server gives to resume by
 * is kept for the next: that costs both sides less, and a daemon that was
 * restarted has its thousands back sooner.
 */
struct sb_tls_watch {
	void (*on_failure)(void *data, const char *reason);
	void *data;
	SSL_SESSION *session; /* owned; NULL: a full handshake is next */
};

/* Keeps `watch`, for as long as there are handshakes of `ctx`. Before any of them. */
void sb_tls_watch(SSL_CTX *ctx, struct sb_tls_watch *watch);
/* After the last one. */
void sb_tls_watch_fini(struct sb_tls_watch *watch);

#endif
