/* Any bytes as server-sent events: in one part and byte by byte they are the same. */
#include "plugin-stub/sse.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

#define MAX_BYTES 256

/* A sum over all that was told, in its order. */
static bool on_event(void *data, const char *name, const char *bytes, size_t len)
{
	uint64_t *sum = data;

	CHECK(strlen(name) <= SB_SSE_NAME_MAX && len <= MAX_BYTES);
	for (; *name; name++)
		*sum = *sum * 31 + (unsigned char)*name;
	for (size_t i = 0; i < len; i++)
		*sum = *sum * 31 + (unsigned char)bytes[i];
	*sum = *sum * 31 + len + 1;
	return true;
}

static int read_in_parts(const uint8_t *data, size_t size, size_t part, uint64_t *sum)
{
	struct sb_sse_handler handler = {.on_event = on_event, .data = sum};
	struct sb_sse sse;
	int err = 0;

	sb_sse_init(&sse, MAX_BYTES);
	for (size_t i = 0; i < size && !err; i += part)
		err = sb_sse_feed(&sse, (const char *)data + i, size - i < part ? size - i : part,
				  &handler);
	sb_sse_fini(&sse);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = 0, bytewise = 0;
	int err = read_in_parts(data, size, size ? size : 1, &whole);

	CHECK(read_in_parts(data, size, 1, &bytewise) == err);
	CHECK(whole == bytewise);
	return 0;
}
