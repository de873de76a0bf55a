/*
 * Any bytes as a PROXY header: it never wants more than its maximum, takes no
 * byte beyond its end, and says the same however it is cut.
 */
#include "daemon/edge/door/proxy_header.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

/* Feeds it in parts of up to `step` bytes. */
static enum sb_proxy_state feed(const uint8_t *data, size_t size, size_t step,
				struct sb_ip *ret_client, size_t *ret_used)
{
	struct sb_proxy_header header;
	enum sb_proxy_state state = SB_PROXY_MORE;
	size_t at = 0;

	memset(ret_client, 0, sizeof(*ret_client));
	sb_proxy_header_init(&header);
	while (state == SB_PROXY_MORE && at < size) {
		size_t span = sb_proxy_header_wants(&header);

		CHECK(span > 0 && at + span <= SB_PROXY_FIXED + SB_PROXY_PAYLOAD_MAX);
		span = span < step ? span : step;
		span = span < size - at ? span : size - at;
		state = sb_proxy_header_feed(&header, data + at, (uint32_t)span, ret_client);
		at += span;
	}
	if (state == SB_PROXY_LOCAL || state == SB_PROXY_RELAYED)
		CHECK(sb_proxy_header_wants(&header) == 0);
	*ret_used = at;
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sb_ip whole_client, client;
	size_t whole_used, used;
	enum sb_proxy_state whole = feed(data, size, SIZE_MAX, &whole_client, &whole_used);
	size_t steps[] = {1, 2, 7, 15, 17, 53};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		CHECK(feed(data, size, steps[i], &client, &used) == whole);
		/* A bad one may be known sooner, byte by byte. */
		CHECK(used == whole_used || whole == SB_PROXY_BAD);
		CHECK(!memcmp(&client, &whole_client, sizeof(client)));
	}
	return 0;
}
