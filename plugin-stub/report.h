/*
 * What the plug-in says of itself: JSON lines or words on standard output,
 * words about trouble on standard error.
 */
#ifndef SB_PLUGIN_REPORT_H
#define SB_PLUGIN_REPORT_H

#include "plugin-stub/client.h"
#include <stdio.h>

struct sb_report {
	FILE *out, *err; /* borrowed; each line is flushed */
	bool json;
	const char *url; /* borrowed; for `connecting` */
};

/* `wall_us`: Unix time in microseconds, for `at` and `latency_ms`. Never fails: a lost line is a
 * lost line. */
void sb_report(struct sb_report *report, const struct sb_news *news, int64_t wall_us);

/* One line of words for a person, by sb_clean_words(): for all that the plug-in prints but its
 * JSON. Names of files are others' words too. */
void sb_report_line(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
