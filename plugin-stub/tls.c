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

static void on_info(const SSL *ssl, int where, int result)
{
	const struct sb_tls_watch *watch = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *reason;

	if (where != SSL_CB_CONNECT_EXIT || result > 0)
		return;
	/* None: it only waits for the peer. */
	reason = ERR_reason_error_string(ERR_peek_last_error());
	if (reason)
		watch->on_failure(watch->data, reason);
}

void sb_tls_watch(SSL_CTX *ctx, const struct sb_tls_watch *watch)
{
	/* Given back as it came: on_info() only reads it. */
	SSL_CTX_set_ex_data(ctx, 0, (void *)(uintptr_t)watch);
	SSL_CTX_set_info_callback(ctx, on_info);
}
