/* Any bytes as a cursor: a cursor has one spelling, so what is read is written as it came. */
#include "protocol/cursor.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buffer[SB_CURSOR_MAX + 1];
	struct sb_cursor cursor;
	struct sb_epoch epoch;
	size_t len;

	if (sb_epoch_parse((const char *)data, size, &epoch) == 0)
		CHECK(strlen(epoch.text) == size);
	if (sb_cursor_parse((const char *)data, size, &cursor) < 0)
		return 0;
	CHECK(cursor.seq >= 0);
	len = sb_cursor_format(&cursor, buffer);
	CHECK(len == size && memcmp(buffer, data, size) == 0);
	return 0;
}
