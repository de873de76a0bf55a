/* Where the daemon's log goes: the journal, or standard error with a line per event, as text or
 * JSON. */
#ifndef SB_OPS_LOG_SINK_H
#define SB_OPS_LOG_SINK_H

#include "daemon/base/log.h"

/* AUTO: where standard error is the journal, its own fields (journal.h); else TEXT. */
enum sb_log_format { SB_LOG_FORMAT_AUTO, SB_LOG_FORMAT_TEXT, SB_LOG_FORMAT_JSON };

/* 0 or -EINVAL. */
int sb_log_format_parse(const char *word, enum sb_log_format *ret_format);
const char *sb_log_format_word(enum sb_log_format format);
/* 0 or -EINVAL. */
int sb_log_level_parse(const char *word, enum sb_log_level *ret_level);

void sb_log_start(enum sb_log_level level, enum sb_log_format format);
/* The last line was logged. May take a moment. */
void sb_log_end(void);

#endif
