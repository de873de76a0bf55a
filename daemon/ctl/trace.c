/*
 * slotbellctl trace: where a booking is. Each of its events at each device:
 * committed, sent, written or refused, with the times between; also when the
 * event itself is long deleted, from its receipts. Changes nothing.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of this query, by number. */
enum {
	MAILBOX,
	SEQ,
	CHANGE,
	DEVICE,
	LABEL,
	STATE,
	REASON,
	COMMITTED, /* in full, as JSON has it, and the two after it */
	SENT,
	DONE,
	SENT_AFTER, /* in microseconds, as the next one */
	DONE_AFTER,
	COMMITTED_SHORT,
	SESSION,
	SINCE,
	LAST_SEEN,
	DEVICE_STATE,
};

static const char trace_sql[] =
	"WITH zulu AS (SELECT 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"' AS precise,"
	"   'YYYY-MM-DD HH24:MI:SS.MS' AS committed, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"' AS "
	"plain)"
	" SELECT v.mailbox, v.seq, v.change, v.device, v.label, v.state, v.reason,"
	"   pg_catalog.to_char(v.committed_at AT TIME ZONE 'UTC', precise),"
	"   pg_catalog.to_char(v.sent_at AT TIME ZONE 'UTC', precise),"
	"   pg_catalog.to_char(v.done_at AT TIME ZONE 'UTC', precise),"
	"   (extract(epoch FROM v.sent_at - v.committed_at) * 1000000)::bigint,"
	"   (extract(epoch FROM v.done_at - v.committed_at) * 1000000)::bigint,"
	"   pg_catalog.to_char(v.committed_at AT TIME ZONE 'UTC', committed), p.session,"
	"   pg_catalog.to_char(p.since AT TIME ZONE 'UTC', plain),"
	"   pg_catalog.to_char(d.last_seen_at AT TIME ZONE 'UTC', plain),"
	"   CASE WHEN d.id IS NULL THEN 'gone' WHEN d.revoked_at IS NOT NULL THEN 'revoked'"
	"     WHEN d.expires_at <= pg_catalog.now() THEN 'expired' WHEN d.stale_at IS NOT NULL "
	"THEN 'stale'"
	"     ELSE 'live' END"
	" FROM zulu, slotbell.delivery v"
	" LEFT JOIN slotbell.devices d ON d.id = v.device"
	" LEFT JOIN LATERAL (SELECT session, since FROM slotbell.presence"
	"   WHERE device = v.device ORDER BY since DESC LIMIT 1) p ON true"
	" WHERE v.uid = $1 AND ($2::pg_catalog.text IS NULL OR v.mailbox = "
	"slotbell.fold_address($2::pg_catalog.text))"
	" ORDER BY v.mailbox, v.seq, v.device";

static const char *text(const PGresult *result, int row, int column)
{
	return sb_database_value(result, row, column);
}

/* ---- for a person ---- */

/* A stretch of time, from microseconds to days, in its two largest parts. */
static void print_stretch(FILE *out, int64_t us)
{
	const char *sign = us < 0 ? "-" : "+"; /* clocks differ */
	int64_t ms = (us < 0 ? -us : us) / 1000, s = ms / 1000;

	if (s < 1)
		fprintf(out, "%s%" PRId64 " ms", sign, ms);
	else if (s < 60)
		fprintf(out, "%s%" PRId64 ".%03" PRId64 " s", sign, s, ms % 1000);
	else if (s < 3600)
		fprintf(out, "%s%" PRId64 " min %" PRId64 " s", sign, s / 60, s % 60);
	else if (s < 86400)
		fprintf(out, "%s%" PRId64 " h %" PRId64 " min", sign, s / 3600, s / 60 % 60);
	else
		fprintf(out, "%s%" PRId64 " d %" PRId64 " h", sign, s / 86400, s / 3600 % 24);
}

static void print_after(FILE *out, const PGresult *result, int row, int column)
{
	const char *us = text(result, row, column);

	if (us)
		print_stretch(out, strtoll(us, NULL, 10));
	else
		fputc('-', out);
}

static void print_device(FILE *out, const PGresult *result, int row)
{
	const char *label = text(result, row, LABEL);

	fprintf(out, "%s%s%s", text(result, row, DEVICE), label && *label ? " " : "",
		label ? label : "");
}

static void print_state(FILE *out, const PGresult *result, int row)
{
	const char *state = text(result, row, STATE), *reason = text(result, row, REASON);

	fputs(state, out);
	if (reason && strcmp(state, reason) != 0)
		fprintf(out, ": %s", reason);
}

/* What the device does now, where something is still to come. */
static void print_now(FILE *out, const PGresult *result, int row)
{
	const char *state = text(result, row, STATE), *since = text(result, row, SINCE);
	const char *seen = text(result, row, LAST_SEEN);
	const char *device = text(result, row, DEVICE_STATE);

	if (strcmp(state, "waiting") != 0 && strcmp(state, "sent") != 0)
		fputc('-', out);
	else if (strcmp(device, "live") != 0)
		fprintf(out, "the device is %s", device);
	else if (since)
		fprintf(out, "on since %.10s %.5s", since, since + 11);
	else if (seen)
		fprintf(out, "last seen %.10s %.5s", seen, seen + 11);
	else
		fputs("never seen yet", out);
}

typedef void print_cell(FILE *out, const PGresult *result, int row);

static void print_seq(FILE *out, const PGresult *result, int row)
{
	fputs(text(result, row, SEQ), out);
}

static void print_change(FILE *out, const PGresult *result, int row)
{
	fputs(text(result, row, CHANGE), out);
}

static void print_committed(FILE *out, const PGresult *result, int row)
{
	fputs(text(result, row, COMMITTED_SHORT), out);
}

static void print_sent(FILE *out, const PGresult *result, int row)
{
	print_after(out, result, row, SENT_AFTER);
}

static void print_done(FILE *out, const PGresult *result, int row)
{
	print_after(out, result, row, DONE_AFTER);
}

static const struct {
	const char *title;
	print_cell *print;
} shown[] = {
	{"SEQ", print_seq},	  {"CHANGE", print_change}, {"COMMITTED", print_committed},
	{"DEVICE", print_device}, {"STATE", print_state},   {"SENT", print_sent},
	{"DONE", print_done},	  {"NOW", print_now},
};

enum { SHOWN = sizeof(shown) / sizeof(shown[0]) };

static char *cell(const PGresult *result, int row, int column)
{
	char *written = NULL;
	size_t size;
	FILE *out = open_memstream(&written, &size);

	sb_need(out);
	shown[column].print(out, result, row);
	sb_need(fclose(out) == 0 && written);
	return written;
}

/* Rows from `first` up to `end`: those of one mailbox. */
static void print_mailbox(const PGresult *result, int first, int end)
{
	size_t rows = (size_t)(end - first) + 1;
	char **cells = calloc(rows * SHOWN, sizeof(*cells));
	char *mailbox = sb_clean(text(result, first, MAILBOX), false);

	sb_need(cells);
	printf("%s%s\n", first > 0 ? "\n" : "", mailbox);
	free(mailbox);
	for (int column = 0; column < SHOWN; column++) {
		cells[column] = strdup(shown[column].title);
		sb_need(cells[column]);
		for (int row = first; row < end; row++)
			cells[(row - first + 1) * SHOWN + column] = cell(result, row, column);
	}
	sb_print_table("rlllllll", rows, (const char *const *)cells);
	for (size_t i = 0; i < rows * SHOWN; i++)
		free(cells[i]);
	free(cells);
}

static void print_all(const PGresult *result)
{
	int first = 0;

	for (int row = 1; row <= PQntuples(result); row++) {
		if (row < PQntuples(result) &&
		    strcmp(text(result, row, MAILBOX), text(result, first, MAILBOX)) == 0)
			continue;
		print_mailbox(result, first, row);
		first = row;
	}
}

/* ---- for a script ---- */

static json_t *number(const PGresult *result, int row, int column)
{
	const char *value = text(result, row, column);

	return value ? json_integer(strtoll(value, NULL, 10)) : json_null();
}

static void print_row_json(const PGresult *result, int row, const char *uid)
{
	sb_print_json(json_pack(
		"{s:s, s:s, s:o, s:s, s:o, s:s?, s:s, s:s, s:s?, s:s, s:s?, s:s?, s:o, s:o, s:b, "
		"s:s?, "
		"s:s?}",
		"mailbox", text(result, row, MAILBOX), "uid", uid, "seq", number(result, row, SEQ),
		"change", text(result, row, CHANGE), "device", number(result, row, DEVICE), "label",
		text(result, row, LABEL), "device_state", text(result, row, DEVICE_STATE), "state",
		text(result, row, STATE), "reason", text(result, row, REASON), "committed_at",
		text(result, row, COMMITTED), "sent_at", text(result, row, SENT), "done_at",
		text(result, row, DONE), "sent_after_us", number(result, row, SENT_AFTER),
		"done_after_us", number(result, row, DONE_AFTER), "on",
		text(result, row, SESSION) != NULL, "session", text(result, row, SESSION),
		"last_seen_at", text(result, row, LAST_SEEN)));
}

/* ---- the command ---- */

static enum sb_exit show(struct sb_ctl *ctl, const PGresult *result, const char *uid)
{
	if (PQntuples(result) == 0)
		return sb_ctl_fail("nothing is known of '%s': it was never published, nobody had a "
				   "plug-in for its mailbox, or it was longer ago than receipts "
				   "are kept",
				   uid);
	if (!ctl->json)
		print_all(result);
	for (int row = 0; ctl->json && row < PQntuples(result); row++)
		print_row_json(result, row, uid);
	return SB_EXIT_DONE;
}

static enum sb_exit run_trace(struct sb_ctl *ctl, int argc, char **argv)
{
	enum { OPTION_MAILBOX = 1 };
	static const struct option options[] = {
		{"mailbox", required_argument, NULL, OPTION_MAILBOX},
		SB_CTL_OPTIONS,
	};
	const char *values[2] = {NULL, NULL};
	PGconn *database;
	PGresult *result;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP)
		values[1] = optarg;
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 1))
		return ctl->status;
	values[0] = argv[optind];
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	result = sb_database_query(database, trace_sql, 2, values);
	ctl->status = result ? show(ctl, result, values[0]) : SB_EXIT_FAILED;
	PQclear(result);
	PQfinish(database);
	return ctl->status;
}

const struct sb_ctl_command sb_command_trace = {
	.group = "trace",
	.verb = NULL,
	.arguments = "UID [--mailbox MAILBOX]",
	.summary = "Tells where a booking is, at each device",
	.help = "A line for each change of the booking and each device that it concerns:\n"
		"  waiting   to be sent\n"
		"  sent      and not acked\n"
		"  written   the plug-in has it in its calendar, and its ack is saved\n"
		"  failed    the plug-in said why: conflict, rejected or unsupported\n"
		"  expired   deleted, since the device did not come for it in time\n"
		"SENT and DONE count from COMMITTED; times are in UTC. A booking can be traced "
		"for\n"
		"as long as its receipts are kept, 90 days unless slotbelld.conf says otherwise.\n"
		"\n"
		"  --mailbox MAILBOX  only there, where several mailboxes have a booking of this "
		"uid\n"
		"\n"
		"Examples:\n"
		"  slotbellctl trace 6f1c@shop.example\n"
		"  slotbellctl trace 6f1c@shop.example --json | jq 'select(.state != "
		"\"written\")'\n",
	.run = run_trace,
};
