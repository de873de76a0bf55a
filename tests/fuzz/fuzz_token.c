/* Any bytes as a token: a token has one spelling, so what is read is written as it came. */
#include "protocol/token.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

/* The way back: any 40 bytes are a device and a secret. */
static void check_from_bytes(const uint8_t *data)
{
	struct sb_token token, again;
	char buffer[SB_TOKEN_MAX + 1];
	size_t len;

	memcpy(&token.device_id, data, sizeof(token.device_id));
	token.device_id &= INT64_MAX;
	if (token.device_id == 0)
		return;
	memcpy(token.secret, data + sizeof(token.device_id), sizeof(token.secret));
	len = sb_token_format(&token, buffer);
	CHECK(len <= SB_TOKEN_MAX && strlen(buffer) == len);
	CHECK(sb_token_parse(buffer, len, &again) == 0);
	CHECK(again.device_id == token.device_id);
	CHECK(memcmp(again.secret, token.secret, sizeof(token.secret)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buffer[SB_TOKEN_MAX + 1];
	struct sb_token token;
	size_t len;

	if (size >= sizeof(int64_t) + SB_TOKEN_SECRET_BYTES)
		check_from_bytes(data);
	if (sb_token_parse((const char *)data, size, &token) < 0)
		return 0;
	CHECK(token.device_id >= 1);
	len = sb_token_format(&token, buffer);
	CHECK(len == size && memcmp(buffer, data, size) == 0);
	return 0;
}
