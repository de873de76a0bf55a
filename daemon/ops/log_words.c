/* What the configuration may say of the log. Apart from the sink, for slotbellctl reads it too. */
#include "daemon/ops/log_sink.h"
#include <errno.h>
#include <strings.h>

static const char *const formats[] = {"auto", "text", "json"};

int sb_log_format_parse(const char *word, enum sb_log_format *ret_format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		if (!strcasecmp(word, formats[i])) {
			*ret_format = (enum sb_log_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *sb_log_format_word(enum sb_log_format format)
{
	return formats[format];
}

int sb_log_level_parse(const char *word, enum sb_log_level *ret_level)
{
	for (int i = SB_LOG_ERROR; i <= SB_LOG_DEBUG; i++) {
		if (!strcasecmp(word, sb_log_level_word((enum sb_log_level)i))) {
			*ret_level = (enum sb_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}
