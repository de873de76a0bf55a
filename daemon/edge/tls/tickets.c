/* Ticket keys, and OpenSSL's question for them; see tickets.h. */
#include "daemon/edge/tls/tickets.h"
#include "daemon/edge/tls/setup.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A laptop that slept through the night still resumes. RFC 8446 section 4.6.1 allows a week. */
#define LIFETIME_S 86400

struct key {
	unsigned char name[16];
	unsigned char encrypt[32];
	unsigned char authenticate[32];
};

struct sb_ticket_keys {
	size_t count;
	struct key keys[SB_TICKET_KEYS_MAX];
};

_Static_assert(sizeof(struct key) == SB_TICKET_KEY_BYTES, "a key is what the file holds");

/* ---- the file ---- */

static int fail(struct sb_server_problem *ret_problem, const char *file, const char *why)
{
	ret_problem->key = "tls.ticket_keys";
	(void)snprintf(ret_problem->detail, sizeof(ret_problem->detail), "%s: %s", file, why);
	return -1;
}

static int check_file(int fd, const char *file, struct sb_server_problem *ret_problem)
{
	struct stat stat;
	char why[200];

	if (fstat(fd, &stat) != 0)
		return fail(ret_problem, file, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return fail(ret_problem, file, "not a file");
	if (stat.st_mode & (S_IWGRP | S_IRWXO)) {
		(void)snprintf(why, sizeof(why),
			       "mode %04o lets others have a hand on the keys; chmod 640 it",
			       stat.st_mode & 07777);
		return fail(ret_problem, file, why);
	}
	if (stat.st_size < SB_TICKET_KEY_BYTES || stat.st_size % SB_TICKET_KEY_BYTES ||
	    stat.st_size > SB_TICKET_KEYS_MAX * SB_TICKET_KEY_BYTES) {
		(void)snprintf(why, sizeof(why),
			       "%lld bytes; must be %d random bytes for each key, 1 to %d of them "
			       "(openssl rand -out FILE %d)",
			       (long long)stat.st_size, SB_TICKET_KEY_BYTES, SB_TICKET_KEYS_MAX,
			       SB_TICKET_KEY_BYTES);
		return fail(ret_problem, file, why);
	}
	return 0;
}

/* A whole number of keys, no two of one name: the second of those would decrypt nothing. */
static int check_keys(const struct sb_ticket_keys *keys, const char *file,
		      struct sb_server_problem *ret_problem)
{
	char why[100];

	for (size_t i = 0; i < keys->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (memcmp(keys->keys[i].name, keys->keys[j].name,
				   sizeof(keys->keys[i].name)))
				continue;
			(void)snprintf(why, sizeof(why), "key %zu is named as key %zu is", i + 1,
				       j + 1);
			return fail(ret_problem, file, why);
		}
	}
	return 0;
}

static int read_keys(struct sb_ticket_keys *keys, int fd, const char *file,
		     struct sb_server_problem *ret_problem)
{
	ssize_t len;

	if (check_file(fd, file, ret_problem) != 0)
		return -1;
	len = read(fd, keys->keys, sizeof(keys->keys));
	if (len < 0)
		return fail(ret_problem, file, strerror(errno));
	if (len < SB_TICKET_KEY_BYTES || len % SB_TICKET_KEY_BYTES)
		return fail(ret_problem, file, "was cut while it was read");
	keys->count = (size_t)len / SB_TICKET_KEY_BYTES;
	return check_keys(keys, file, ret_problem);
}

struct sb_ticket_keys *sb_ticket_keys_load(const char *file, struct sb_server_problem *ret_problem)
{
	struct sb_ticket_keys *keys = calloc(1, sizeof(*keys));
	int fd, result;

	if (!keys) {
		(void)fail(ret_problem, file, "out of memory");
		return NULL;
	}
	/* Not to wait for a writer, should it be a pipe. */
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		char why[200];

		(void)snprintf(why, sizeof(why), "cannot be read: %s", strerror(errno));
		result = fail(ret_problem, file, why);
	} else {
		result = read_keys(keys, fd, file, ret_problem);
		(void)close(fd);
	}
	if (result == 0)
		return keys;
	sb_ticket_keys_free(keys);
	return NULL;
}

struct sb_ticket_keys *sb_ticket_keys_random(void)
{
	struct sb_ticket_keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return NULL;
	keys->count = 1;
	if (RAND_bytes((unsigned char *)&keys->keys[0], sizeof(keys->keys[0])) == 1)
		return keys;
	sb_ticket_keys_free(keys);
	return NULL;
}

void sb_ticket_keys_free(struct sb_ticket_keys *keys)
{
	if (!keys)
		return;
	explicit_bzero(keys, sizeof(*keys));
	free(keys);
}

bool sb_ticket_keys_equal(const struct sb_ticket_keys *a, const struct sb_ticket_keys *b)
{
	if (!a || !b)
		return a == b;
	return a->count == b->count &&
	       !CRYPTO_memcmp(a->keys, b->keys, a->count * sizeof(a->keys[0]));
}

/* ---- OpenSSL's question ---- */

static int start_mac(EVP_MAC_CTX *mac, const struct key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
						  (void *)(uintptr_t)key->authenticate,
						  sizeof(key->authenticate)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* 1: encrypted by this key; -1: not, and the handshake fails. */
static int seal(const struct key *key, unsigned char *name, unsigned char *iv,
		EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	memcpy(name, key->name, sizeof(key->name));
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->encrypt, iv) != 1 ||
	    start_mac(mac, key) != 1)
		return -1;
	return 1;
}

/*
 * 0: none of our keys, so a full handshake; 1: resumed; 2: resumed, and a new
 * ticket is due. In TLS 1.3 one always is: a client shows each only once, or
 * who watches could tell its connections by it (RFC 8446 appendix C.4).
 */
static int unseal(const struct sb_ticket_keys *keys, bool once, const unsigned char *name,
		  const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->keys[i];

		if (memcmp(name, key->name, sizeof(key->name)))
			continue;
		if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->encrypt, iv) != 1 ||
		    start_mac(mac, key) != 1)
			return -1;
		return i > 0 || once ? 2 : 1;
	}
	return 0;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	const struct sb_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct sb_ticket_keys *keys = tls->ticket_keys;

	if (encrypt)
		return seal(&keys->keys[0], name, iv, cipher, mac);
	return unseal(keys, SSL_version(ssl) == TLS1_3_VERSION, name, iv, cipher, mac);
}

void sb_tickets_setup(SSL_CTX *context)
{
	/* The same everywhere, or a ticket of another instance is refused. */
	static const unsigned char name[] = "slotbell";

	(void)SSL_CTX_set_session_id_context(context, name, sizeof(name) - 1);
	(void)SSL_CTX_set_timeout(context, LIFETIME_S);
	(void)SSL_CTX_set_num_tickets(context, 1);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
