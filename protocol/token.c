/*
 * Device tokens: their spelling, and the digests that the database gets.
 *
 * Never logs, never compares: the comparison is the database's.
 */
#include "protocol/token.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define SECRET_CHARS 43 /* 32 bytes: 42 characters of 6 bits, and one with 4 bits and 2 zeros */

static const char prefix[] = "sbd_";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int sb_token_secret_new(uint8_t ret_secret[SB_TOKEN_SECRET_BYTES])
{
	return RAND_priv_bytes(ret_secret, SB_TOKEN_SECRET_BYTES) == 1 ? 0 : -EIO;
}

static int base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

/* OpenSSL's decoder takes padding, line ends and stray bits; a token has one spelling. */
static int parse_secret(const char text[SECRET_CHARS], uint8_t secret[SB_TOKEN_SECRET_BYTES])
{
	unsigned int bits = 0;
	int held = 0;
	size_t n = 0;

	for (int i = 0; i < SECRET_CHARS; i++) {
		int value = base64url_value(text[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (unsigned int)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			secret[n++] = (uint8_t)(bits >> held);
		}
	}
	return (bits & 3) == 0 ? 0 : -EINVAL;
}

static void format_secret(const uint8_t secret[SB_TOKEN_SECRET_BYTES], char text[SECRET_CHARS])
{
	unsigned int bits = 0;
	int held = 0;
	size_t n = 0;

	for (int i = 0; i < SB_TOKEN_SECRET_BYTES; i++) {
		bits = bits << 8 | secret[i];
		held += 8;
		while (held >= 6) {
			held -= 6;
			text[n++] = alphabet[bits >> held & 63];
		}
	}
	text[n] = alphabet[bits << (6 - held) & 63];
}

static int parse_device_id(const char *text, size_t len, int64_t *ret_id)
{
	int64_t id = 0;

	if (len < 1 || text[0] == '0')
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int digit = text[i] - '0';

		if (digit < 0 || digit > 9 || id > (INT64_MAX - digit) / 10)
			return -EINVAL;
		id = id * 10 + digit;
	}
	*ret_id = id;
	return 0;
}

int sb_token_parse(const char *text, size_t len, struct sb_token *ret_token)
{
	const size_t before = sizeof(prefix) - 1, after = 1 + SECRET_CHARS;
	struct sb_token token;
	int result = -EINVAL;

	if (len <= before + after || len > SB_TOKEN_MAX || memcmp(text, prefix, before) != 0 ||
	    text[len - after] != '_' ||
	    parse_device_id(text + before, len - before - after, &token.device_id) < 0)
		return -EINVAL;
	if (parse_secret(text + len - SECRET_CHARS, token.secret) == 0) {
		*ret_token = token;
		result = 0;
	}
	sb_token_wipe(&token);
	return result;
}

size_t sb_token_format(const struct sb_token *token, char buffer[SB_TOKEN_MAX + 1])
{
	size_t len = (size_t)snprintf(buffer, SB_TOKEN_MAX + 1, "%s%" PRId64 "_", prefix,
				      token->device_id);

	format_secret(token->secret, buffer + len);
	len += SECRET_CHARS;
	buffer[len] = '\0';
	return len;
}

void sb_token_proof(const struct sb_token *token, uint8_t ret_proof[SB_TOKEN_PROOF_BYTES])
{
	if (!SHA256(token->secret, sizeof(token->secret), ret_proof))
		memset(ret_proof, 0, SB_TOKEN_PROOF_BYTES);
}

int sb_token_hash_new(const uint8_t proof[SB_TOKEN_PROOF_BYTES],
		      uint8_t ret_salt[SB_TOKEN_SALT_BYTES], uint8_t ret_hash[SB_TOKEN_HASH_BYTES])
{
	uint8_t salted[SB_TOKEN_SALT_BYTES + SB_TOKEN_PROOF_BYTES];

	if (RAND_bytes(ret_salt, SB_TOKEN_SALT_BYTES) != 1)
		return -EIO;
	memcpy(salted, ret_salt, SB_TOKEN_SALT_BYTES);
	memcpy(salted + SB_TOKEN_SALT_BYTES, proof, SB_TOKEN_PROOF_BYTES);
	return SHA256(salted, sizeof(salted), ret_hash) ? 0 : -EIO;
}

void sb_token_wipe(struct sb_token *token)
{
	if (token)
		OPENSSL_cleanse(token, sizeof(*token));
}
