/*
 * A device's token, `sbd_<device id>_<secret>`: 32 random bytes in base64url
 * without padding (RFC 4648 section 5).
 *
 * The daemon never hands the secret on: the database gets the proof,
 * SHA-256(secret), and keeps a salt and SHA-256(salt || proof). So neither a
 * statement log nor a backup holds what a plug-in sends.
 */
#ifndef SB_PROTOCOL_TOKEN_H
#define SB_PROTOCOL_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#define SB_TOKEN_SECRET_BYTES 32
#define SB_TOKEN_PROOF_BYTES  32
#define SB_TOKEN_SALT_BYTES   16
#define SB_TOKEN_HASH_BYTES   32
#define SB_TOKEN_MAX	      (4 + 19 + 1 + 43) /* characters, without terminator */

struct sb_token {
	int64_t device_id; /* 1 or more */
	uint8_t secret[SB_TOKEN_SECRET_BYTES];
};

/* A new random secret. 0, or -EIO when the system gives no randomness. */
int sb_token_secret_new(uint8_t ret_secret[SB_TOKEN_SECRET_BYTES]);

/* 0, or -EINVAL: not such a token (also not the canonical spelling of one). */
int sb_token_parse(const char *text, size_t len, struct sb_token *ret_token);

/* Writes the token with a terminator and returns its length without it. */
size_t sb_token_format(const struct sb_token *token, char buffer[SB_TOKEN_MAX + 1]);

/*
 * proof = SHA-256(secret). Should OpenSSL have no memory for it, the proof is
 * all zero, which is nobody's.
 */
void sb_token_proof(const struct sb_token *token, uint8_t ret_proof[SB_TOKEN_PROOF_BYTES]);

/* A random salt, and hash = SHA-256(salt || proof), as the database keeps them. 0 or -EIO. */
int sb_token_hash_new(const uint8_t proof[SB_TOKEN_PROOF_BYTES],
		      uint8_t ret_salt[SB_TOKEN_SALT_BYTES], uint8_t ret_hash[SB_TOKEN_HASH_BYTES]);

/* Overwrites the secret, so that it does not stay in freed memory. Accepts NULL. */
void sb_token_wipe(struct sb_token *token);

#endif
