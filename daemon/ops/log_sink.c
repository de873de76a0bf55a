/* The log's sink. One line is one write, so lines of several processes do not mix. */
#include "daemon/ops/log_sink.h"
#include "daemon/ops/journal.h"
#include "daemon/ops/log_fields.h"
#include "protocol/clean.h"
#include "protocol/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIELDS_SIZE 1150
#define LINE_SIZE   1300 /* with time, level and event; such a line never lacks its end */

static void write_line(const char *line, int len, size_t size)
{
	if (len < 0)
		return;
	/* What does not fit is cut; a log that cannot be written must not stop the daemon. */
	if (write(STDERR_FILENO, line, (size_t)len < size ? (size_t)len : size - 1) < 0)
		return;
}

static void stamp(char buffer[40])
{
	struct timespec now;
	struct tm utc;
	size_t len;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &utc);
	len = strftime(buffer, 40, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(buffer + len, 40 - len, ".%03ldZ", now.tv_nsec / 1000000);
}

/*
 * sb_log() has taken C0 and DEL out. What else steers a terminal that shows the
 * log, or turns its text round, is escaped here; in the middle of a character
 * sb_log() may have cut. NULL: no memory.
 */
static char *clean_fields(const char *fields)
{
	char *clean = sb_clean_words(fields, false);
	size_t len = clean ? strlen(clean) : 0;

	if (len < FIELDS_SIZE)
		return clean;
	/* Not within a character. */
	for (len = FIELDS_SIZE - 1; len > 0 && (clean[len] & 0xc0) == 0x80;)
		len--;
	clean[len] = '\0';
	return clean;
}

static void text_sink(void *data, enum sb_log_level level, const char *event, const char *fields)
{
	char line[LINE_SIZE], at[40];
	char *clean = clean_fields(fields);

	(void)data;
	stamp(at);
	if (clean)
		write_line(line,
			   snprintf(line, sizeof(line), "time=%s level=%s event=\"%s\"%s%s\n", at,
				    sb_log_level_word(level), event, *clean ? " " : "", clean),
			   sizeof(line));
	free(clean);
}

/* Where journald does not answer its stream is still there: it takes the priority from the line's
 * head (sd-daemon(3)), and has a clock of its own. */
static void journal_sink(void *data, enum sb_log_level level, const char *event, const char *fields)
{
	char line[LINE_SIZE];
	char *clean = clean_fields(fields);

	(void)data;
	if (clean && !sb_journal_write(level, event, clean))
		write_line(line,
			   snprintf(line, sizeof(line), "<%d>event=\"%s\"%s%s\n",
				    SB_LOG_PRIORITY(level), event, *clean ? " " : "", clean),
			   sizeof(line));
	free(clean);
}

static void append_fields(struct sb_text *text, const char *fields)
{
	struct sb_log_field field;

	while (sb_log_field_next(&fields, &field)) {
		sb_text_append_string(text, ",");
		sb_text_append_json(text, field.key, field.key_len);
		sb_text_append_string(text, ":");
		sb_text_append_json(text, field.value, field.value_len);
	}
}

static void json_sink(void *data, enum sb_log_level level, const char *event, const char *fields)
{
	struct sb_text text;
	char at[40], *clean;

	(void)data;
	stamp(at);
	sb_text_init(&text);
	sb_text_append_string(&text, "{\"time\":\"");
	sb_text_append_string(&text, at);
	sb_text_append_string(&text, "\",\"level\":\"");
	sb_text_append_string(&text, sb_log_level_word(level));
	sb_text_append_string(&text, "\",\"event\":");
	sb_text_append_json(&text, event, strlen(event));
	append_fields(&text, fields);
	sb_text_append(&text, "}\n", sizeof("}\n"));
	clean = sb_text_failed(&text) ? NULL : sb_clean_json(text.data);
	if (clean)
		write_line(clean, (int)strlen(clean), strlen(clean) + 1);
	free(clean);
	sb_text_fini(&text);
}

void sb_log_start(enum sb_log_level level, enum sb_log_format format)
{
	bool is_journal = format == SB_LOG_FORMAT_AUTO && sb_journal_is_stderr();

	sb_log_set_level(level);
	if (is_journal)
		sb_journal_open();
	sb_log_set_sink(format == SB_LOG_FORMAT_JSON ? json_sink
			: is_journal		     ? journal_sink
						     : text_sink,
			NULL);
}

void sb_log_end(void)
{
	sb_journal_settle();
}
