/*
 * Any bytes from a client: read within their bounds or refused with words.
 * What is read is written, read and written again, and comes out the same.
 */
#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"
#include <errno.h>
#include <string.h>

static void check_refusal(const struct sb_refusal *refusal)
{
	CHECK(refusal->reason == SB_REASON_BAD_MESSAGE || refusal->reason == SB_REASON_TOO_BIG);
	CHECK(memchr(refusal->detail, '\0', sizeof(refusal->detail)));
	CHECK(refusal->detail[0] != '\0');
}

static void check_bounds(const struct sb_client_message *message)
{
	CHECK(message->type <= SB_CLIENT_PING);
	if (message->type == SB_CLIENT_HELLO) {
		CHECK(strlen(message->hello.token) <= SB_TOKEN_MAX);
		CHECK(message->hello.has_token || message->hello.token[0] == '\0');
	}
	if (message->type == SB_CLIENT_ACK) {
		CHECK(message->ack.failed_count <= SB_FAILED_MAX);
		for (size_t i = 0; i < message->ack.failed_count; i++) {
			CHECK(message->ack.failed[i].seq >= 1);
			CHECK(message->ack.failed[i].seq <= message->ack.cursor.seq);
			CHECK(message->ack.failed[i].reason < SB_FAILURE_COUNT);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sb_client_message message, again;
	struct sb_refusal refusal;
	struct sb_text first, second;
	int result;

	memset(&refusal, 0xff, sizeof(refusal));
	result = sb_client_message_decode((const char *)data, size, &message, &refusal);
	if (result == -EPROTO)
		check_refusal(&refusal);
	if (result < 0)
		return 0;
	check_bounds(&message);
	sb_text_init(&first);
	sb_text_init(&second);
	sb_client_message_encode(&first, &message);
	CHECK(sb_client_message_decode(first.data, first.len, &again, &refusal) == 0);
	sb_client_message_encode(&second, &again);
	CHECK(again.type == message.type);
	CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	sb_text_fini(&first);
	sb_text_fini(&second);
	return 0;
}
