/* Aligned lines; see status.h. */
#include "daemon/ctl/status.h"
#include "daemon/ctl/output.h"
#include <stdio.h>
#include <stdlib.h>

long long sb_status_sum(json_t *counts)
{
	long long sum = 0;
	const char *key;
	json_t *value;

	/* A daemon that was taken over may count as it likes. */
	json_object_foreach(counts, key, value)
	{
		if (__builtin_add_overflow(sum, json_integer_value(value), &sum))
			return 0;
	}
	return sum;
}

static const char *text(const json_t *status, const char *key)
{
	const char *value = json_string_value(json_object_get(status, key));

	return value ? value : "";
}

static long long number(const json_t *status, const char *key)
{
	return json_integer_value(json_object_get(status, key));
}

/* "12 live, 3 leaving": what there is any of. */
static void print_counts(FILE *out, json_t *counts)
{
	const char *key, *separator = "";
	json_t *value;

	json_object_foreach(counts, key, value)
	{
		if (!json_integer_value(value))
			continue;
		(void)fprintf(out, "%s%lld %s", separator, json_integer_value(value), key);
		separator = ", ";
	}
	if (!*separator)
		(void)fprintf(out, "none");
}

enum {
	STATE,
	DATABASE,
	SESSIONS,
	CONNECTIONS,
	MAILBOXES,
	SENT,
	SAVED,
	HANDSHAKES,
	TURNED_AWAY,
	CERTIFICATE,
	ROWS
};

static void print_row(FILE *out, int row, const json_t *status)
{
	const json_t *database = json_object_get(status, "database");
	const json_t *door = json_object_get(status, "door");

	switch (row) {
	case STATE:
		(void)fprintf(out, "%s, version %s, process %lld since %s", text(status, "state"),
			      text(status, "version"), number(status, "pid"),
			      text(status, "started_at"));
		break;
	case DATABASE:
		(void)fprintf(out, "%s",
			      json_is_true(json_object_get(database, "up")) ? "up" : "down: ");
		(void)fprintf(out, "%s", text(database, "problem"));
		break;
	case SESSIONS:
		(void)fprintf(out, "%lld of %lld: ", number(status, "sessions"),
			      number(status, "sessions_max"));
		print_counts(out, json_object_get(status, "states"));
		break;
	case CONNECTIONS:
		(void)fprintf(out, "%lld at port %lld, %lld of them waiting to come in",
			      number(status, "connections"), number(status, "port"),
			      number(door, "waiting"));
		break;
	case MAILBOXES:
		(void)fprintf(out, "%lld", number(status, "mailboxes"));
		break;
	case SENT:
		print_counts(out, json_object_get(status, "events_sent"));
		break;
	case SAVED:
		(void)fprintf(out, "%lld", number(status, "acks_saved"));
		break;
	case HANDSHAKES:
		print_counts(out, json_object_get(status, "handshakes"));
		break;
	case TURNED_AWAY:
		print_counts(out, json_object_get(door, "turned_away"));
		break;
	default:
		(void)fprintf(out, "until %s", text(status, "certificate_expires_at"));
	}
}

void sb_status_print(const json_t *status)
{
	static const char *const names[ROWS] = {
		[STATE] = "state",
		[DATABASE] = "database",
		[SESSIONS] = "sessions",
		[CONNECTIONS] = "connections",
		[MAILBOXES] = "mailboxes",
		[SENT] = "events sent",
		[SAVED] = "acks saved",
		[HANDSHAKES] = "handshakes",
		[TURNED_AWAY] = "turned away",
		[CERTIFICATE] = "certificate",
	};
	const char *cells[ROWS * 2];
	char *values[ROWS];

	for (int row = 0; row < ROWS; row++) {
		size_t size;
		FILE *out = open_memstream(&values[row], &size);

		sb_need(out);
		print_row(out, row, status);
		sb_need(fclose(out) == 0);
		cells[2 * row] = names[row];
		cells[2 * row + 1] = values[row];
	}
	sb_print_table("ll", ROWS, cells);
	for (int row = 0; row < ROWS; row++)
		free(values[row]);
}
