/*
 * The client's TLS rules. Made here rather than by libwebsockets, whose own
 * check does not know IPv6 literals and whose own context trusts the system's
 * CAs beside a private one. Used by transport_ws
 * and http.
 */
#include "plugin-stub/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>

/* The connection inherits these parameters (SSL_new), so every handshake checks the name. */
static int expect_host(SSL_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
						       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host))
		return 0;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) ? 0 : -ENOMEM;
}

static int trust(SSL_CTX *ctx, const char *ca)
{
	if (!ca)
		return SSL_CTX_set_default_verify_paths(ctx) ? 0 : -ENOMEM;
	return SSL_CTX_load_verify_file(ctx, ca) ? 0 : -ENOENT;
}

int sb_tls_rule(SSL_CTX *ctx, const char *host, const char *ca)
{
	int err;

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* In TLS 1.2 a server could ask for handshakes without end. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	err = SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ? 0 : -ENOMEM;
	if (!err)
		err = trust(ctx, ca);
	if (!err)
		err = expect_host(ctx, host);
	ERR_clear_error();
	return err;
}

int sb_tls_client_new(const char *host, const char *ca, SSL_CTX **ret_ctx)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int err;

	if (!ctx)
		return -ENOMEM;
	err = sb_tls_rule(ctx, host, ca);
	if (err) {
		SSL_CTX_free(ctx);
		return err;
	}
	*ret_ctx = ctx;
	return 0;
}

/*
 * A copy: OpenSSL spoils the session of a connection that ends without TLS' own
 * goodbye, and that is the rule where a server was killed.
 */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct sb_tls_watch *watch = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(watch->session);
	watch->session = SSL_SESSION_dup(session);
	return 0; /* OpenSSL's own reference is its own */
}

/* A ticket of TLS 1.3 is shown once, or who watches could tell our connections by it (RFC 8446
 * appendix C.4). */
static void resume(SSL *ssl, struct sb_tls_watch *watch)
{
	SSL_SESSION *session = watch->session;

	if (!session)
		return;
	if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
		watch->session = NULL;
	else
		watch->session = SSL_SESSION_dup(session);
	(void)SSL_set_session(ssl, session); /* else it is a full handshake */
	SSL_SESSION_free(session);
}

/* libwebsockets makes the SSL object and begins at once, so its first word is where it is known. */
static void on_info(const SSL *ssl, int where, int result)
{
	struct sb_tls_watch *watch = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *reason;

	if (where & SSL_CB_HANDSHAKE_START)
		resume((SSL *)(uintptr_t)ssl, watch);
	if (where != SSL_CB_CONNECT_EXIT || result > 0)
		return;
	/* None: it only waits for the peer. */
	reason = ERR_reason_error_string(ERR_peek_last_error());
	if (reason)
		watch->on_failure(watch->data, reason);
}

void sb_tls_watch(SSL_CTX *ctx, struct sb_tls_watch *watch)
{
	SSL_CTX_set_app_data(ctx, watch);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_info_callback(ctx, on_info);
}

void sb_tls_watch_fini(struct sb_tls_watch *watch)
{
	SSL_SESSION_free(watch->session);
	watch->session = NULL;
}
