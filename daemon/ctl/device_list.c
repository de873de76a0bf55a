/* slotbellctl device list: who may come in, and how far behind each is. Changes nothing. */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include <stdlib.h>

/* Columns of this query, by number. */
enum {
	COLUMN_ID,
	COLUMN_MAILBOX,
	COLUMN_LABEL,
	COLUMN_STATE,
	COLUMN_LAG,
	COLUMN_LAST_SEEN,
	COLUMN_EXPIRES,
	COLUMNS_SHOWN,
	COLUMN_ACKED = COLUMNS_SHOWN,
	COLUMN_HEAD,
	COLUMN_EPOCH,
	COLUMN_CREATED,
	COLUMN_REVOKED,
};

static const char
	list_sql[] =
		"SELECT id, mailbox, label,"
		" CASE WHEN revoked_at IS NOT NULL THEN 'revoked'"
		"      WHEN expires_at <= pg_catalog.now() THEN 'expired'"
		"      WHEN stale_at IS NOT NULL THEN 'stale' ELSE 'live' END,"
		" head - acked, " SB_SQL_INSTANT("last_seen_at") ", " SB_SQL_INSTANT("expires_at") ", acked, head, epoch, " SB_SQL_INSTANT(
			"created_at") ", " SB_SQL_INSTANT("revoked_at") " FROM slotbell.devices "
									"ORDER BY mailbox, id";

static void print_devices(const PGresult *result)
{
	static const char *const titles[COLUMNS_SHOWN] = {
		"ID", "MAILBOX", "LABEL", "STATE", "LAG", "LAST SEEN", "EXPIRES",
	};
	size_t devices = (size_t)PQntuples(result);
	const char **cells = calloc((devices + 1) * COLUMNS_SHOWN, sizeof(*cells));

	sb_need(cells);
	for (int column = 0; column < COLUMNS_SHOWN; column++) {
		cells[column] = titles[column];
		for (size_t i = 0; i < devices; i++) {
			const char *value = sb_database_value(result, (int)i, column);

			cells[(i + 1) * COLUMNS_SHOWN + (size_t)column] =
				value && *value ? value : NULL;
		}
	}
	sb_print_table("rlllrll", devices + 1, cells);
	free(cells);
}

static void print_device_json(const PGresult *result, int row)
{
#define TEXT(column)   sb_database_value(result, row, column)
#define NUMBER(column) (json_int_t) strtoll(PQgetvalue(result, row, column), NULL, 10)
	sb_print_json(json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s?, s:s?, s:s?}",
				"device", NUMBER(COLUMN_ID), "mailbox", TEXT(COLUMN_MAILBOX),
				"label", PQgetvalue(result, row, COLUMN_LABEL), "state",
				TEXT(COLUMN_STATE), "acked", NUMBER(COLUMN_ACKED), "head",
				NUMBER(COLUMN_HEAD), "lag", NUMBER(COLUMN_LAG), "epoch",
				TEXT(COLUMN_EPOCH), "created_at", TEXT(COLUMN_CREATED),
				"last_seen_at", TEXT(COLUMN_LAST_SEEN), "expires_at",
				TEXT(COLUMN_EXPIRES), "revoked_at", TEXT(COLUMN_REVOKED)));
#undef TEXT
#undef NUMBER
}

static enum sb_exit run_list(struct sb_ctl *ctl, int argc, char **argv)
{
	PGconn *database;
	PGresult *result;

	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	result = sb_database_query(database, list_sql, 0, NULL);
	if (result && ctl->json) {
		for (int row = 0; row < PQntuples(result); row++)
			print_device_json(result, row);
	} else if (result && PQntuples(result) > 0) {
		print_devices(result);
	} else if (result) {
		sb_ctl_say("no device is enrolled yet");
	}
	ctl->status = result ? SB_EXIT_DONE : SB_EXIT_FAILED;
	PQclear(result);
	PQfinish(database);
	return ctl->status;
}

const struct sb_ctl_command sb_command_device_list = {
	.group = "device",
	.verb = "list",
	.arguments = "",
	.summary = "Shows every device, and how far behind it is",
	.help = "A device that was not seen for 90 days, or what slotbelld.conf says, is stale:\n"
		"no booking is kept for it until it comes back. LAG is how far the number that\n"
		"the device acked last lies behind its mailbox's; a new epoch adds a million,\n"
		"until it acks again. Times are in UTC.\n"
		"\n"
		"Examples:\n"
		"  slotbellctl device list\n"
		"  slotbellctl device list --json | jq 'select(.state == \"live\" and .lag > "
		"100)'\n",
	.run = run_list,
};
