/*
 * TLS as we want it: 1.2 and 1.3, forward secrecy, no renegotiation, one
 * stateless ticket, and as little memory per session as OpenSSL can do with.
 *
 * The vhost's SSL_CTX has no certificate of its own: each full handshake takes
 * the identity that is in force at its moment.
 */
#include "daemon/edge/tls.h"
#include "daemon/edge/server_private.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The three belong to `tls`, a context in which the pair was tried and which nobody connects by. */
struct sb_tls_identity {
	SSL_CTX *tls;
	X509 *certificate;
	EVP_PKEY *key;
	STACK_OF(X509) * chain;
};

static int fail(struct sb_server_problem *ret_problem, const char *key, const char *file,
		const char *what, const char *why)
{
	ret_problem->key = key;
	(void)snprintf(ret_problem->detail, sizeof(ret_problem->detail), "%s: %s%s%s", file, what,
		       *why ? ": " : "", why);
	return -1;
}

/* OpenSSL's own words, the innermost first; a system's error has none there. */
static const char *reason(void)
{
	const char *words = ERR_reason_error_string(ERR_peek_error());

	return words ? words : "unknown error";
}

/* The system's words for a file that cannot be read are better than OpenSSL's. */
static int check_readable(struct sb_server_problem *ret_problem, const char *key, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(ret_problem, key, file, "cannot be read", strerror(errno));
	(void)close(fd);
	return 0;
}

/* A key with a passphrase would ask for it on the terminal: there is none, and the loop cannot
 * wait.
 */
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)data = true;
	return -1;
}

static int load_certificate(SSL_CTX *tls, const char *file, struct sb_server_problem *ret_problem)
{
	if (check_readable(ret_problem, "tls.certificate", file) != 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(tls, file) == 1)
		return 0;
	return fail(ret_problem, "tls.certificate", file, "not a certificate in PEM", reason());
}

/* Without a `certificate` in `tls`, only whether it is a key. */
static int load_key(SSL_CTX *tls, const char *file, const char *certificate,
		    struct sb_server_problem *ret_problem)
{
	bool asked = false, belongs;

	SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(tls, &asked);
	if (check_readable(ret_problem, "tls.key", file) != 0)
		return -1;
	if (SSL_CTX_use_PrivateKey_file(tls, file, SSL_FILETYPE_PEM) == 1) {
		if (!certificate || SSL_CTX_check_private_key(tls) == 1)
			return 0;
		belongs = false; /* it is of another kind than the certificate's */
	} else {
		belongs = ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH;
	}
	if (!belongs)
		return fail(ret_problem, "tls.key", file, "does not belong to the certificate",
			    certificate);
	if (asked)
		return fail(ret_problem, "tls.key", file, "is encrypted; take its passphrase off",
			    "");
	return fail(ret_problem, "tls.key", file, "not a private key in PEM", reason());
}

struct sb_tls_identity *sb_tls_identity_new(const char *certificate, const char *key,
					    struct sb_server_problem ret_problems[2])
{
	struct sb_tls_identity *identity = calloc(1, sizeof(*identity));
	int certificate_result, key_result;

	ret_problems[0].key = ret_problems[1].key = NULL;
	ERR_clear_error();
	if (identity)
		identity->tls = SSL_CTX_new(TLS_server_method());
	if (!identity || !identity->tls) {
		(void)fail(&ret_problems[0], "tls.certificate", certificate, "out of memory", "");
		sb_tls_identity_free(identity);
		return NULL;
	}
	certificate_result = load_certificate(identity->tls, certificate, &ret_problems[0]);
	ERR_clear_error();
	key_result = load_key(identity->tls, key, certificate_result == 0 ? certificate : NULL,
			      &ret_problems[1]);
	ERR_clear_error();
	if (certificate_result != 0 || key_result != 0) {
		sb_tls_identity_free(identity);
		return NULL;
	}
	identity->certificate = SSL_CTX_get0_certificate(identity->tls);
	identity->key = SSL_CTX_get0_privatekey(identity->tls);
	(void)SSL_CTX_get0_chain_certs(identity->tls, &identity->chain);
	return identity;
}

void sb_tls_identity_free(struct sb_tls_identity *identity)
{
	if (!identity)
		return;
	SSL_CTX_free(identity->tls);
	free(identity);
}

static int64_t unix_seconds(const ASN1_TIME *time)
{
	struct tm utc;

	return ASN1_TIME_to_tm(time, &utc) == 1 ? (int64_t)timegm(&utc) : 0;
}

void sb_tls_identity_validity(const struct sb_tls_identity *identity, int64_t *ret_not_before,
			      int64_t *ret_not_after)
{
	*ret_not_before = unix_seconds(X509_get0_notBefore(identity->certificate));
	*ret_not_after = unix_seconds(X509_get0_notAfter(identity->certificate));
}

bool sb_tls_identity_equal(const struct sb_tls_identity *a, const struct sb_tls_identity *b)
{
	return X509_cmp(a->certificate, b->certificate) == 0;
}

/* ---- the vhost's context ---- */

/* Not called for a handshake that resumes: that one needs no certificate. */
static int on_certificate(SSL *ssl, void *data)
{
	const struct sb_server *server = data;
	const struct sb_tls_identity *identity = server->config->identity;

	return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1);
}

/* Fires once more for what TLS 1.3 does after its handshake. */
static void on_info(const SSL *ssl, int where, int value)
{
	const struct sb_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct sb_connection *connection = SSL_get_app_data(ssl);

	(void)value;
	/* A quick client's handshake may be through before the adopt call returns. */
	if (!connection)
		connection = server->adopting;
	if (!(where & SSL_CB_HANDSHAKE_DONE) || !connection || connection->handshaken)
		return;
	connection->handshaken = true;
	connection->server
		->handshakes[SSL_session_reused(ssl) ? SB_HANDSHAKE_RESUMED : SB_HANDSHAKE_FULL]++;
}

void sb_tls_follow(struct sb_connection *connection, struct lws *wsi)
{
	SSL *ssl = wsi ? lws_get_ssl(wsi) : NULL;

	if (ssl)
		(void)SSL_set_app_data(ssl, connection);
}

const char *sb_handshake_word(enum sb_handshake handshake)
{
	static const char *const words[] = {
#define HANDSHAKE_WORD(name, word) word,
		SB_HANDSHAKES(HANDSHAKE_WORD)
#undef HANDSHAKE_WORD
	};

	return words[handshake];
}

void sb_tls_setup(SSL_CTX *tls, struct sb_server *server)
{
	(void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					       SSL_OP_CIPHER_SERVER_PREFERENCE |
					       SSL_OP_PRIORITIZE_CHACHA);
	/* TLS 1.2: only with forward secrecy and authenticated encryption (RFC 9325 section 4.2).
	 */
	(void)SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20");
	(void)SSL_CTX_set1_groups_list(tls, "X25519:P-256:P-384");
	(void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	/* Else one read goes on for as long as the peer sends key updates or other records without
	 * data, and no other session is served meanwhile. */
	(void)SSL_CTX_clear_mode(tls, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_cert_cb(tls, on_certificate, server);
	SSL_CTX_set_info_callback(tls, on_info);
	sb_tickets_setup(tls, server);
}
