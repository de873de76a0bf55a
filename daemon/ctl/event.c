/* Rows of slotbell.events_after() as lines; see event.h. */
#include "daemon/ctl/event.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include "protocol/booking.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	COLUMN_SEQ,
	COLUMN_VERSION,
	COLUMN_HEAD,
	COLUMN_EPOCH,
	COLUMN_CHANGE,
	COLUMN_PUBLISHED_US,
	COLUMN_PUBLISHED,
	COLUMN_UID,
	COLUMN_STARTS_S,
	COLUMN_STARTS_LOCAL,
	COLUMN_TIME_ZONE,
	COLUMN_MINUTES,
	COLUMN_SUBJECT,
	COLUMN_ATTENDEES,
	COLUMN_DETAILS,
};

const char sb_event_columns[] =
	"seq, version, head, epoch, change, (extract(epoch FROM published_at) * 1000000)::bigint,"
	" pg_catalog.to_char(published_at, 'YYYY-MM-DD HH24:MI:SS\"Z\"'), uid,"
	" extract(epoch FROM starts_at)::bigint,"
	" pg_catalog.to_char(slotbell.local_time(starts_at, time_zone), "
	"'YYYY-MM-DD\"T\"HH24:MI:SS'),"
	" time_zone,"
	" duration_minutes, subject, attendees, details";

static const char *text(const PGresult *result, int row, int column)
{
	return sb_database_value(result, row, column);
}

static int64_t number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool sb_event_is_there(const PGresult *result, int row)
{
	return text(result, row, COLUMN_SEQ) != NULL;
}

int64_t sb_event_head(const PGresult *result, int row)
{
	return number(result, row, COLUMN_HEAD);
}

int64_t sb_event_seq(const PGresult *result, int row)
{
	return number(result, row, COLUMN_SEQ);
}

const char *sb_event_epoch(const PGresult *result, int row)
{
	return PQgetvalue(result, row, COLUMN_EPOCH);
}

/* A part of the line, and what belongs to it; nothing when it is not there. */
static void print_part(const char *before, const char *part, const char *after)
{
	char *clean;

	if (!part || !*part)
		return;
	clean = sb_clean(part, false);
	printf("  %s%s%s", before, clean, after);
	free(clean);
}

static void print_attendees(const char *attendees)
{
	json_t *list = attendees ? json_loads(attendees, 0, NULL) : NULL;
	const json_t *attendee;
	size_t i;

	json_array_foreach(list, i, attendee)
	{
		const char *name = json_string_value(json_object_get(attendee, "name"));
		const char *email = json_string_value(json_object_get(attendee, "email"));
		char *who = NULL;

		if (name && *name)
			sb_need(asprintf(&who, "%s <%s>", name, email) >= 0);
		print_part("", who ? who : email, "");
		free(who);
	}
	json_decref(list);
}

void sb_event_print(const PGresult *result, int row)
{
	const char *starts_local = text(result, row, COLUMN_STARTS_LOCAL);
	char *change = sb_clean(PQgetvalue(result, row, COLUMN_CHANGE), false);

	/* The others are numbers and instants, by the query. */
	printf("%s %6s  %-9s", PQgetvalue(result, row, COLUMN_PUBLISHED),
	       PQgetvalue(result, row, COLUMN_SEQ), change);
	free(change);
	if (starts_local) {
		/* Seconds are of use to nobody in a calendar. */
		printf("  %.10s %.5s", starts_local, starts_local + sizeof("2026-11-24T") - 1);
		print_part("", text(result, row, COLUMN_TIME_ZONE), "");
		print_part("", text(result, row, COLUMN_MINUTES), " min");
	}
	print_part("", text(result, row, COLUMN_SUBJECT), "");
	print_attendees(text(result, row, COLUMN_ATTENDEES));
	print_part("uid=", text(result, row, COLUMN_UID), "");
	putchar('\n');
}

void sb_event_print_json(const PGresult *result, int row)
{
	struct sb_epoch epoch;
	struct sb_event event = {
		.seq = number(result, row, COLUMN_SEQ),
		.version = number(result, row, COLUMN_VERSION),
		.published_at_us = number(result, row, COLUMN_PUBLISHED_US),
		.uid = text(result, row, COLUMN_UID),
		.has_starts_at = text(result, row, COLUMN_STARTS_S) != NULL,
		.starts_at_s = number(result, row, COLUMN_STARTS_S),
		.starts_local = text(result, row, COLUMN_STARTS_LOCAL),
		.time_zone = text(result, row, COLUMN_TIME_ZONE),
		.duration_minutes = (int)number(result, row, COLUMN_MINUTES),
		.subject = text(result, row, COLUMN_SUBJECT),
		.attendees = text(result, row, COLUMN_ATTENDEES),
		.details = text(result, row, COLUMN_DETAILS),
	};
	const char *word = PQgetvalue(result, row, COLUMN_EPOCH);
	struct sb_text message;

	/* A database newer than this program may have words that it does not know. */
	if (sb_epoch_parse(word, strlen(word), &epoch) != 0 ||
	    sb_change_parse(PQgetvalue(result, row, COLUMN_CHANGE), &event.change) != 0) {
		sb_ctl_fail("event %lld cannot be shown: this slotbellctl is too old for the"
			    " database",
			    (long long)event.seq);
		return;
	}
	sb_text_init(&message);
	/* As the daemon says it: a spoiled row with its uid alone. */
	(void)sb_event_encode_readable(&message, &event, &epoch);
	sb_need(!sb_text_failed(&message));
	sb_print_json(json_loadb(message.data, message.len, 0, NULL));
	sb_text_fini(&message);
}
