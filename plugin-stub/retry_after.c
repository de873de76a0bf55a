/* Reads Retry-After for transport_ws. */
#include "plugin-stub/retry_after.h"

#include <string.h>

bool sb_retry_after_parse(const char *text, uint32_t *ret_ms)
{
	uint64_t seconds = 0;
	size_t digits;

	text += strspn(text, " \t");
	digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 7) /* 115 days; as milliseconds that would not fit */
		return false;
	for (size_t i = 0; i < digits; i++)
		seconds = seconds * 10 + (uint64_t)(text[i] - '0');
	text += digits;
	if (text[strspn(text, " \t")] || seconds > UINT32_MAX / 1000)
		return false;
	*ret_ms = (uint32_t)seconds * 1000;
	return true;
}
