/*
 * The daemon's log: an event in a few constant words, then key=value pairs.
 *
 *     sb_log(SB_LOG_INFO, "session ended", "session=%s reason=%s", id, word);
 *
 * Never a subject, an attendee or a token: callers pass ids, counts and words.
 * Where lines go is decided by ops/log_sink, through a sink; without one they
 * go to standard error.
 */
#ifndef SB_BASE_LOG_H
#define SB_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* Ordered as syslog orders them: smaller is worse. */
enum sb_log_level {
	SB_LOG_ERROR,
	SB_LOG_WARNING,
	SB_LOG_NOTICE,
	SB_LOG_INFO,
	SB_LOG_DEBUG,
};

/* In syslog's numbers. */
#define SB_LOG_PRIORITY(level) (3 + (int)(level))

/* `event` and `fields` are valid during the call only. `fields` is "" or key=value pairs. */
typedef void sb_log_sink(void *data, enum sb_log_level level, const char *event,
			 const char *fields);

/* Lines above this level are not made. Default: info. */
void sb_log_set_level(enum sb_log_level level);
bool sb_log_enabled(enum sb_log_level level);
/* Keeps `data`; NULL sink: standard error again. */
void sb_log_set_sink(sb_log_sink *sink, void *data);
const char *sb_log_level_word(enum sb_log_level level);

/*
 * A message longer than 1,000 bytes is cut. Control characters become spaces.
 * `event` is a constant. Of one event only so many lines go out in a few
 * seconds (log_limit.h); a line tells how many did not.
 */
void sb_log(enum sb_log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Now and then: tells of lines that were suppressed and that no line of their kind came after. */
void sb_log_tick(void);
/* Lines that were suppressed, since the start. */
uint64_t sb_log_suppressed(void);

#endif
