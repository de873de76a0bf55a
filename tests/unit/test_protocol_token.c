/* Tokens: one spelling each; digests as RFC 6234 has them. */
#include "protocol/token.h"
#include "test_protocol_help.h"

/* Bytes 0 to 31, in base64url. */
#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static int parse(const char *text, struct sb_token *ret_token)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, text, len);
	result = sb_token_parse(exact, len, ret_token);
	free(exact);
	return result;
}

static void a_token_is_its_device_and_its_secret(void **state)
{
	char buffer[SB_TOKEN_MAX + 1];
	struct sb_token token;

	(void)state;
	assert_int_equal(parse("sbd_42_" SECRET, &token), 0);
	assert_int_equal(token.device_id, 42);
	for (int i = 0; i < SB_TOKEN_SECRET_BYTES; i++)
		assert_int_equal(token.secret[i], i);
	assert_int_equal(sb_token_format(&token, buffer), strlen("sbd_42_" SECRET));
	assert_string_equal(buffer, "sbd_42_" SECRET);
}

static void random_tokens_come_back_the_same(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct sb_token token = {.device_id = i % 2 ? i : INT64_MAX - i}, again;
		char buffer[SB_TOKEN_MAX + 1];

		assert_int_equal(sb_token_secret_new(token.secret), 0);
		assert_int_equal(parse((sb_token_format(&token, buffer), buffer), &again), 0);
		assert_int_equal(again.device_id, token.device_id);
		assert_memory_equal(again.secret, token.secret, SB_TOKEN_SECRET_BYTES);
	}
}

static void two_secrets_are_never_the_same(void **state)
{
	uint8_t a[SB_TOKEN_SECRET_BYTES] = {0}, b[SB_TOKEN_SECRET_BYTES] = {0};

	(void)state;
	assert_int_equal(sb_token_secret_new(a), 0);
	assert_int_equal(sb_token_secret_new(b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void the_largest_device_id_fits(void **state)
{
	char buffer[SB_TOKEN_MAX + 1];
	struct sb_token token;

	(void)state;
	assert_int_equal(parse("sbd_9223372036854775807_" SECRET, &token), 0);
	assert_int_equal(token.device_id, INT64_MAX);
	assert_int_equal(sb_token_format(&token, buffer), SB_TOKEN_MAX);
	assert_int_equal(parse("sbd_9223372036854775808_" SECRET, &token), -EINVAL);
}

static void what_is_no_token_is_refused(void **state)
{
	const char *const bad[] = {
		"",
		"sbd_",
		"sbd_42",
		"sbd_42_",
		"sbd__" SECRET,
		"sbd_0_" SECRET,
		"sbd_042_" SECRET,
		"sbd_-1_" SECRET,
		"sbd_4 2_" SECRET,
		"SBD_42_" SECRET,
		"sbx_42_" SECRET,
		" sbd_42_" SECRET,
		"sbd_42_" SECRET " ",
		"sbd_42_" SECRET "=",
		"sbd_42_A" SECRET,
		"sbd_42-" SECRET,
		"sbd_42_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",
		"sbd_42_+AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"sbd_42_/AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"sbd_42_\nAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"sbd_99999999999999999999_" SECRET,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct sb_token token = {.device_id = 7};

		assert_int_equal(parse(bad[i], &token), -EINVAL);
		assert_int_equal(token.device_id, 7);
	}
}

static void another_spelling_of_the_same_bytes_is_refused(void **state)
{
	struct sb_token token;

	(void)state;
	/* '8' is 60; 61 to 63 differ from it in the two bits that belong to no byte */
	for (const char *last = "9-_"; *last; last++) {
		char text[] = "sbd_42_" SECRET;

		text[sizeof(text) - 2] = *last;
		assert_int_equal(parse(text, &token), -EINVAL);
	}
}

static void the_url_alphabet_is_used(void **state)
{
	struct sb_token token = {.device_id = 1};
	char buffer[SB_TOKEN_MAX + 1];

	(void)state;
	memset(token.secret, 0xff, sizeof(token.secret));
	(void)sb_token_format(&token, buffer);
	assert_string_equal(buffer, "sbd_1___________________________________________8");
	memset(token.secret, 0xfb, sizeof(token.secret));
	(void)sb_token_format(&token, buffer);
	assert_int_equal(strspn(buffer + 6, "-_7v8s"), 43);
	assert_int_equal(parse(buffer, &token), 0);
}

/* The secret is bytes 0 to 31; SHA-256 of these by sha256sum(1). */
static void the_proof_is_the_sha256_of_the_secret(void **state)
{
	static const uint8_t expected[SB_TOKEN_PROOF_BYTES] = {
		0x63, 0x0d, 0xcd, 0x29, 0x66, 0xc4, 0x33, 0x66, 0x91, 0x12, 0x54,
		0x48, 0xbb, 0xb2, 0x5b, 0x4f, 0xf4, 0x12, 0xa4, 0x9c, 0x73, 0x2d,
		0xb2, 0xc8, 0xab, 0xc1, 0xb8, 0x58, 0x1b, 0xd7, 0x10, 0xdd};
	uint8_t proof[SB_TOKEN_PROOF_BYTES];
	struct sb_token token;

	(void)state;
	assert_int_equal(parse("sbd_42_" SECRET, &token), 0);
	sb_token_proof(&token, proof);
	assert_memory_equal(proof, expected, sizeof(proof));
}

static void the_hash_is_salted_anew_each_time(void **state)
{
	uint8_t proof[SB_TOKEN_PROOF_BYTES] = {1, 2, 3};
	uint8_t salt[2][SB_TOKEN_SALT_BYTES], hash[2][SB_TOKEN_HASH_BYTES];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(sb_token_hash_new(proof, salt[i], hash[i]), 0);
	assert_memory_not_equal(salt[0], salt[1], sizeof(salt[0]));
	assert_memory_not_equal(hash[0], hash[1], sizeof(hash[0]));
}

static void a_wiped_token_is_all_zero(void **state)
{
	struct sb_token token, zero;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	memset(&token, 0x5a, sizeof(token));
	sb_token_wipe(&token);
	assert_memory_equal(&token, &zero, sizeof(token));
	sb_token_wipe(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_its_device_and_its_secret),
		TEST(random_tokens_come_back_the_same),
		TEST(two_secrets_are_never_the_same),
		TEST(the_largest_device_id_fits),
		TEST(what_is_no_token_is_refused),
		TEST(another_spelling_of_the_same_bytes_is_refused),
		TEST(the_url_alphabet_is_used),
		TEST(the_proof_is_the_sha256_of_the_secret),
		TEST(the_hash_is_salted_anew_each_time),
		TEST(a_wiped_token_is_all_zero),
	};

	return cmocka_run_group_tests_name("protocol/token", tests, NULL, NULL);
}
