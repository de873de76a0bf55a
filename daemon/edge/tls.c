/*
 * TLS as we want it: 1.2 and 1.3, forward secrecy, no renegotiation, one
 * stateless ticket, and as little memory per session as OpenSSL can do with.
 */
#include "daemon/edge/server_private.h"
#include <openssl/err.h>
#include <stdio.h>

static int fail(struct sb_server_problem *ret_problem, const char *key, const char *what,
		const char *file)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	ret_problem->key = key;
	(void)snprintf(ret_problem->detail, sizeof(ret_problem->detail), "%s %s: %s", what, file,
		       reason ? reason : "unknown error");
	ERR_clear_error();
	return -1;
}

int sb_tls_setup(SSL_CTX *tls, const struct sb_server_config *config,
		 struct sb_server_problem *ret_problem)
{
	ERR_clear_error();
	(void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					       SSL_OP_CIPHER_SERVER_PREFERENCE |
					       SSL_OP_PRIORITIZE_CHACHA);
	/* TLS 1.2: only with forward secrecy and authenticated encryption (RFC 9325 section 4.2).
	 */
	(void)SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20");
	(void)SSL_CTX_set1_groups_list(tls, "X25519:P-256:P-384");
	(void)SSL_CTX_set_num_tickets(tls, 1);
	(void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_use_certificate_chain_file(tls, config->certificate) != 1)
		return fail(ret_problem, "tls.certificate", "cannot use", config->certificate);
	if (SSL_CTX_use_PrivateKey_file(tls, config->key, SSL_FILETYPE_PEM) != 1)
		return fail(ret_problem, "tls.key", "cannot use", config->key);
	if (SSL_CTX_check_private_key(tls) != 1)
		return fail(ret_problem, "tls.key",
			    "does not belong to the certificate:", config->key);
	return 0;
}
