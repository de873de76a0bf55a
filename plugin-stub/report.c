/*
 * The last step of news: from struct to line. Called by app whenever the
 * client tells something. The fields of the JSON lines are an interface
 * (slotbell-plugin(1)); words for people are not.
 */
#include "plugin-stub/report.h"

#include "protocol/clean.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INSTANT_SIZE 40

static const char *instant(int64_t unix_us, bool micros, char text[INSTANT_SIZE])
{
	time_t seconds = (time_t)(unix_us / 1000000);
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, INSTANT_SIZE - 9, "%Y-%m-%dT%H:%M:%S", &tm);
	if (micros)
		snprintf(text + len, INSTANT_SIZE - len, ".%06dZ", (int)(unix_us % 1000000));
	else
		snprintf(text + len, INSTANT_SIZE - len, "Z");
	return text;
}

static const char *cursor_text(const struct sb_cursor *cursor, char text[SB_CURSOR_MAX + 1])
{
	sb_cursor_format(cursor, text);
	return text;
}

/* ---- JSON ---- */

static void set_string(json_t *line, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(line, key, json_string(value));
}

static void set_cursor(json_t *line, const struct sb_cursor *cursor)
{
	char text[SB_CURSOR_MAX + 1];

	json_object_set_new(line, "cursor", json_string(cursor_text(cursor, text)));
}

static void set_instant(json_t *line, const char *key, int64_t unix_us, bool micros)
{
	char text[INSTANT_SIZE];

	json_object_set_new(line, key, json_string(instant(unix_us, micros, text)));
}

static void set_written(json_t *line, const struct sb_news *news, int64_t wall_us)
{
	const struct sb_server_message *message = news->message;
	const struct sb_booking *booking = &message->event.booking;
	int64_t published_us = message->event.published_at_us;

	json_object_set_new(line, "seq", json_integer(message->cursor.seq));
	set_cursor(line, &message->cursor);
	set_string(line, "change", sb_change_word(message->event.change));
	set_string(line, "uid", booking->uid);
	json_object_set_new(line, "version", json_integer(booking->version));
	set_string(line, "subject", booking->subject);
	if (booking->has_starts_at)
		set_instant(line, "starts_at", booking->starts_at_s * 1000000, false);
	if (booking->duration_minutes > 0)
		json_object_set_new(line, "duration_minutes",
				    json_integer(booking->duration_minutes));
	set_instant(line, "published_at", published_us, true);
	json_object_set_new(line, "latency_ms",
			    json_real((double)(wall_us - published_us) / 1000.0));
	set_string(line, "file", news->file);
	json_object_set_new(line, "repeat", json_boolean(news->repeat));
}

/* The name of the line, its fields set; NULL for news that are words only. */
static const char *fill_json(json_t *line, const struct sb_news *news, const char *url,
			     int64_t wall_us)
{
	const struct sb_server_message *message = news->message;

	switch (news->kind) {
	case SB_NEWS_CONNECTING:
		set_string(line, "url", url);
		return "connecting";
	case SB_NEWS_WELCOME:
		set_string(line, "session", message->welcome.session);
		set_string(line, "mailbox", message->welcome.mailbox);
		set_cursor(line, &message->cursor);
		json_object_set_new(line, "head", json_integer(message->welcome.head));
		return "welcome";
	case SB_NEWS_WRITTEN:
		set_written(line, news, wall_us);
		return "written";
	case SB_NEWS_FAILED:
		json_object_set_new(line, "seq", json_integer(message->cursor.seq));
		set_string(line, "reason", sb_failure_word(news->failure));
		set_string(line, "detail", news->words);
		return "failed";
	case SB_NEWS_ACKED:
		set_cursor(line, &message->cursor);
		return "acked";
	case SB_NEWS_LIVE:
		set_cursor(line, &message->cursor);
		return "live";
	case SB_NEWS_RESET:
		set_cursor(line, &message->cursor);
		set_string(line, "reason", sb_reset_word(message->reset_reason));
		return "reset";
	case SB_NEWS_GOODBYE:
		set_string(line, "reason", message->word);
		json_object_set_new(line, "reconnect_after_ms",
				    json_integer(message->reconnect_after_ms));
		return "goodbye";
	case SB_NEWS_CLOSED:
		json_object_set_new(line, "code", json_integer(news->code));
		/* What the peer wrote may not be UTF-8, or be cut in the middle of a character. */
		if (json_object_set_new(line, "reason", json_string(news->words)) < 0)
			json_object_set_new(line, "reason", json_string(""));
		return "closed";
	case SB_NEWS_WAITING:
		if (news->for_user)
			set_string(line, "for", "user");
		else
			json_object_set_new(line, "ms", json_integer(news->wait_ms));
		return "waiting";
	case SB_NEWS_BYE:
		return "bye";
	case SB_NEWS_TROUBLE:
		break;
	}
	return NULL;
}

static void print_json(struct sb_report *report, const struct sb_news *news, int64_t wall_us)
{
	json_t *line = json_object(), *fields = json_object();
	const char *what = fill_json(fields, news, report->url, wall_us);
	char *text, *clean;

	if (what) {
		set_instant(line, "at", wall_us, true);
		set_string(line, "what", what);
		json_object_update(line, fields);
		text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));
		clean = text ? sb_clean_json(text) : NULL;
		if (clean)
			fprintf(report->out, "%s\n", clean);
		free(clean);
		free(text);
	}
	json_decref(line);
	json_decref(fields);
}

/* ---- words ---- */

void sb_report_line(FILE *file, const char *format, ...)
{
	char *words, *clean;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&words, format, args);
	va_end(args);
	if (len < 0)
		return;
	clean = sb_clean_words(words, false);
	if (clean)
		fprintf(file, "%s\n", clean);
	free(clean);
	free(words);
}

static void print_written(FILE *out, const struct sb_news *news)
{
	const struct sb_booking *booking = &news->message->event.booking;
	const char *known = news->repeat ? "Known already, " : "";
	const char *change = sb_change_word(news->message->event.change);
	const char *subject =
		booking->subject && *booking->subject ? booking->subject : booking->uid;
	char when[INSTANT_SIZE];

	if (booking->has_starts_at)
		sb_report_line(out, "%s%s: %s, %s, %d min  [%s]", known, change, subject,
			       instant(booking->starts_at_s * 1000000, false, when),
			       booking->duration_minutes, news->file);
	else
		sb_report_line(out, "%s%s: %s  [%s]", known, change, subject, news->file);
}

static void print_words(struct sb_report *report, const struct sb_news *news)
{
	const struct sb_server_message *message = news->message;
	char cursor[SB_CURSOR_MAX + 1];

	switch (news->kind) {
	case SB_NEWS_CONNECTING:
		sb_report_line(report->out, "Connecting to %s", report->url);
		break;
	case SB_NEWS_WELCOME:
		sb_report_line(report->out, "Ringing for %s (session %s)", message->welcome.mailbox,
			       message->welcome.session);
		break;
	case SB_NEWS_WRITTEN:
		print_written(report->out, news);
		break;
	case SB_NEWS_LIVE:
		sb_report_line(report->out, "Caught up at %s",
			       cursor_text(&message->cursor, cursor));
		break;
	case SB_NEWS_CLOSED:
		sb_report_line(report->out, "Connection closed (%d): %s", news->code, news->words);
		break;
	case SB_NEWS_WAITING:
		if (news->for_user)
			sb_report_line(report->out, "Waiting for you");
		else
			sb_report_line(report->out, "Coming back in %.1f s",
				       news->wait_ms / 1000.0);
		break;
	case SB_NEWS_BYE:
		sb_report_line(report->out, "Bye");
		break;
	default:
		break;
	}
}

/* What a person should know of, whatever reads standard output. */
static void print_trouble(struct sb_report *report, const struct sb_news *news)
{
	const struct sb_server_message *message = news->message;

	switch (news->kind) {
	case SB_NEWS_TROUBLE:
		sb_report_line(report->err, "slotbell-plugin: %s", news->words);
		break;
	case SB_NEWS_FAILED:
		sb_report_line(report->err, "slotbell-plugin: event %lld is reported as %s: %s",
			       (long long)message->cursor.seq, sb_failure_word(news->failure),
			       news->words);
		break;
	case SB_NEWS_RESET:
		sb_report_line(
			report->err,
			"slotbell-plugin: the server cannot continue from our cursor (%s): changes "
			"may be missing "
			"here. Compare this calendar with the booking system (a resync); new "
			"changes follow.",
			sb_reset_word(message->reset_reason));
		break;
	case SB_NEWS_GOODBYE:
		sb_report_line(report->err, "slotbell-plugin: the server says goodbye (%s)",
			       message->word);
		break;
	case SB_NEWS_CLOSED:
		if (news->code == 1006)
			sb_report_line(report->err, "slotbell-plugin: no connection: %s",
				       news->words);
		break;
	default:
		break;
	}
}

void sb_report(struct sb_report *report, const struct sb_news *news, int64_t wall_us)
{
	if (report->json)
		print_json(report, news, wall_us);
	else
		print_words(report, news);
	fflush(report->out);
	print_trouble(report, news);
	fflush(report->err);
}
