/* The one mutable global of the daemon: where log lines go, and from which level on. */
#include "daemon/base/log.h"
#include <stdio.h>

static struct {
	enum sb_log_level level;
	sb_log_sink *sink;
	void *data;
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

void sb_log(enum sb_log_level level, const char *event, const char *format, ...)
{
	char fields[1000] = "";
	va_list args;

	if (!sb_log_enabled(level))
		return;
	va_start(args, format);
	(void)vsnprintf(fields, sizeof(fields), format, args);
	va_end(args);
	for (char *c = fields; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	if (the_log.sink)
		the_log.sink(the_log.data, level, event, fields);
	else
		(void)fprintf(stderr, "level=%s event=\"%s\" %s\n", sb_log_level_word(level), event,
			      fields);
}
