/* Collects why a connection ended, for transport_ws. */
#include "plugin-stub/ending.h"

#include "plugin-stub/retry_after.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sb_ending_clear(struct sb_ending *ending)
{
	memset(ending, 0, sizeof(*ending));
}

void sb_ending_explain(struct sb_ending *ending, const char *format, ...)
{
	va_list args;

	if (ending->words[0])
		return;
	va_start(args, format);
	vsnprintf(ending->words, sizeof(ending->words), format, args);
	va_end(args);
	for (char *c = ending->words; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
}

void sb_ending_set(struct sb_ending *ending, int code, const char *words)
{
	if (ending->code != 0)
		return;
	ending->code = code;
	sb_ending_explain(ending, "%s", words);
}

void sb_ending_set_http(struct sb_ending *ending, unsigned int status, const char *retry_after)
{
	if (ending->code == 0 && retry_after)
		ending->has_hint = sb_retry_after_parse(retry_after, &ending->hint_ms);
	sb_ending_explain(ending, "the upgrade was answered with HTTP %u", status);
	sb_ending_set(ending, SB_ENDING_VANISHED, "");
}

struct sb_gone sb_ending_gone(const struct sb_ending *ending)
{
	return (struct sb_gone){.code = ending->code,
				.words = ending->words,
				.has_hint = ending->has_hint,
				.hint_ms = ending->hint_ms};
}
