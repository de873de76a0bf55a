/* The list of reasons as tables: close code, word, goodbye or not. */
#include "protocol/reason.h"

static const struct {
	int code;
	const char *word;
	bool goodbye;
} reasons[] = {
#define ROW(name, code, word, goodbye) [SB_REASON_##name] = {code, word, goodbye},
	SB_REASONS(ROW)
#undef ROW
};

int sb_reason_close_code(enum sb_reason reason)
{
	return reasons[reason].code;
}

const char *sb_reason_word(enum sb_reason reason)
{
	return reasons[reason].word;
}

bool sb_reason_says_goodbye(enum sb_reason reason)
{
	return reasons[reason].goodbye;
}
