/* A certificate with its chain and key, tried; see identity.h. */
#include "daemon/edge/tls/identity.h"
#include "daemon/edge/tls/identity_private.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
