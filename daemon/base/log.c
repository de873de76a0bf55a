/* The one mutable global of the daemon: where log lines go, from which level on, and how many. */
#include "daemon/base/log.h"
#include "daemon/base/log_limit.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct {
	enum sb_log_level level;
	sb_log_sink *sink;
	void *data;
	uint64_t suppressed; /* in all */
	struct sb_log_limit kinds[SB_LOG_KINDS_MAX];
} the_log = {.level = SB_LOG_INFO};

void sb_log_set_level(enum sb_log_level level)
{
	the_log.level = level;
}

bool sb_log_enabled(enum sb_log_level level)
{
	return level <= the_log.level;
}

void sb_log_set_sink(sb_log_sink *sink, void *data)
{
	the_log.sink = sink;
	the_log.data = data;
}

const char *sb_log_level_word(enum sb_log_level level)
{
	static const char *const words[] = {"error", "warning", "notice", "info", "debug"};

	return words[level];
}

uint64_t sb_log_suppressed(void)
{
	return the_log.suppressed;
}

static void write_line(enum sb_log_level level, const char *event, const char *fields)
{
	if (the_log.sink)
		the_log.sink(the_log.data, level, event, fields);
	else
		(void)fprintf(stderr, "level=%s event=\"%s\" %s\n", sb_log_level_word(level), event,
			      fields);
}

/* ---- the limit ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t max_of(const char *event)
{
	return !strncmp(event, "session ", strlen("session ")) ? SB_LOG_SESSION_LINES_MAX
							       : SB_LOG_LINES_MAX;
}

/* NULL: there are more kinds than places. */
static struct sb_log_limit *find(const char *event)
{
	for (size_t i = 0; i < SB_LOG_KINDS_MAX; i++) {
		struct sb_log_limit *kind = &the_log.kinds[i];

		if (!kind->event)
			*kind = (struct sb_log_limit){.event = event, .max = max_of(event)};
		if (kind->event == event || !strcmp(kind->event, event))
			return kind;
	}
	return NULL;
}

static void tell_suppressed(const char *kind, uint64_t count)
{
	char fields[200];

	if (!count || !sb_log_enabled(SB_LOG_WARNING))
		return;
	(void)snprintf(fields, sizeof(fields), "kind=\"%s\" count=%" PRIu64 " seconds=%d", kind,
		       count, SB_LOG_WINDOW_MS / 1000);
	write_line(SB_LOG_WARNING, "log lines suppressed", fields);
}

/* Whoever asks for everything gets everything: debug lines have no limit. */
static bool may_write(enum sb_log_level level, const char *event)
{
	struct sb_log_limit *kind = level < SB_LOG_DEBUG ? find(event) : NULL;
	uint64_t before = 0;
	bool may = !kind || sb_log_limit_take(kind, now_ms(), &before);

	if (kind)
		tell_suppressed(kind->event, before);
	the_log.suppressed += !may;
	return may;
}

void sb_log_tick(void)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < SB_LOG_KINDS_MAX && the_log.kinds[i].event; i++)
		tell_suppressed(the_log.kinds[i].event,
				sb_log_limit_settle(&the_log.kinds[i], now));
}

/* ---- lines ---- */

__attribute__((format(printf, 3, 0))) static void
write_formatted(enum sb_log_level level, const char *event, const char *format, va_list args)
{
	char fields[1000] = "";

	(void)vsnprintf(fields, sizeof(fields), format, args);
	for (char *c = fields; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	write_line(level, event, fields);
}

void sb_log(enum sb_log_level level, const char *event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (sb_log_enabled(level) && may_write(level, event))
		write_formatted(level, event, format, args);
	va_end(args);
}
