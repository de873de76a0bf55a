/*
 * The connection of every command, and PostgreSQL's errors in people's words;
 * see database.h.
 *
 * libpq's own words about a URL that it cannot read repeat the URL, and with
 * it the password. So a URL is looked at here first, and refused in words that
 * repeat nothing of it.
 */
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include "daemon/store/conninfo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The first statement of every connection. Whoever owns the database, or the
 * role, may have set anything for it: where names are looked up, what a string
 * literal or `= NULL` means, how values and names are written, where tables go.
 */
static const char settings[] =
	"SELECT pg_catalog.set_config(name, value, false) FROM (VALUES ('search_path', ''),"
	" ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'),"
	" ('bytea_output', 'hex'), ('client_min_messages', 'warning'),"
	" ('standard_conforming_strings', 'on'), ('transform_null_equals', 'off'),"
	" ('quote_all_identifiers', 'off'), ('row_security', 'on'), ('check_function_bodies', "
	"'on'),"
	" ('default_tablespace', ''), ('default_table_access_method', 'heap'),"
	" ('default_transaction_isolation', 'read committed'),"
	" ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none')) AS s (name, value)";

static const char url_hint[] =
	"It reads postgresql://USER:PASSWORD@HOST:PORT/NAME, where each of @ : / ? % within a\n"
	"name or password is written %40 %3A %2F %3F %25; or host=… user=… dbname=….";

bool sb_database_url_is_readable(const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	bool readable = options && !sb_conninfo_has_spilled(options);

	PQconninfoFree(options);
	return readable;
}

/* Warnings of the SQL that we ship are for the person; NOTICEs are off by `settings`. */
static void on_notice(void *data, const PGresult *notice)
{
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(notice, PG_DIAG_MESSAGE_HINT);

	(void)data;
	if (message)
		sb_ctl_say("warning: %s", message);
	if (hint)
		sb_ctl_say("  hint: %s", hint);
}

static bool apply_settings(PGconn *database)
{
	PGresult *result = PQexec(database, settings);
	bool applied = PQresultStatus(result) == PGRES_TUPLES_OK;

	PQclear(result);
	return applied;
}

/* `words`: whether to say so if it is not. */
static bool is_ours(PGconn *database, bool words)
{
	PGresult *result = PQexec(database, SB_SQL_FOREIGN_OWNER);
	bool ours = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 0;

	if (words && PQresultStatus(result) == PGRES_TUPLES_OK && !ours)
		sb_ctl_fail(SB_WORDS_FOREIGN_OWNER
			    "\n  hint: if it may go: DROP SCHEMA slotbell CASCADE;",
			    PQgetvalue(result, 0, 0));
	else if (words && !ours)
		sb_database_complain(database, result, NULL, NULL);
	PQclear(result);
	return ours;
}

/* libpq ends its messages with a newline, and may have several lines. */
static void say_connection_error(PGconn *database)
{
	char *words = strdup(PQerrorMessage(database));

	sb_need(words);
	for (size_t end = strlen(words); end > 0 && words[end - 1] == '\n'; end--)
		words[end - 1] = '\0';
	sb_ctl_fail("%s", *words ? words : "the connection to the database is lost");
	free(words);
}

PGconn *sb_database_open(struct sb_ctl *ctl)
{
	/* What stands after the URL cannot be set by it; what stands before is a default. */
	static const char *const names[] = {
		"fallback_application_name", "connect_timeout",
		"target_session_attrs",	     "keepalives_idle",
		"keepalives_count",	     "keepalives_interval",
		"tcp_user_timeout",	     "dbname",
		"client_encoding",	     NULL,
	};
	const char *url = sb_ctl_database(ctl);
	const char *values[] = {
		"slotbellctl", "10", "read-write", "15", "3", "5", "30000", url, "UTF8", NULL,
	};
	PGconn *database;

	ctl->status = SB_EXIT_FAILED;
	if (!url || !*url) {
		sb_ctl_usage(ctl, "which database? Say --database URL, or set "
				  "SLOTBELLCTL_DATABASE_URL");
		return NULL;
	}
	if (!sb_database_url_is_readable(url)) {
		sb_ctl_usage(ctl, "the database URL cannot be read.\n%s", url_hint);
		return NULL;
	}
	database = PQconnectdbParams(names, values, 1);
	sb_need(database);
	if (PQstatus(database) == CONNECTION_OK) {
		PQsetNoticeReceiver(database, on_notice, NULL);
		if (apply_settings(database)) {
			if (is_ours(database, true))
				return database;
			PQfinish(database);
			return NULL;
		}
	}
	say_connection_error(database);
	PQfinish(database);
	return NULL;
}

bool sb_database_reopen(PGconn *database)
{
	PQreset(database);
	return PQstatus(database) == CONNECTION_OK && apply_settings(database) &&
	       is_ours(database, false);
}

static bool is_lock_timeout(const char *sqlstate)
{
	return strcmp(sqlstate, "55P03") == 0;
}

/* What to do about an error that PostgreSQL itself has no fitting advice for. */
static const char *advice(const char *sqlstate)
{
	if (strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42883") == 0 ||
	    strcmp(sqlstate, "42P01") == 0)
		return "Is this the database? `slotbellctl db init` makes Slotbell's schema in it,"
		       " and\n  `slotbellctl db upgrade` renews an older one.";
	if (is_lock_timeout(sqlstate))
		return "An open transaction of another session holds what this needs; nothing was "
		       "changed.\n  Find it (SELECT pid, usename, state, xact_start FROM "
		       "pg_stat_activity ORDER BY xact_start;),\n  end it (SELECT "
		       "pg_catalog.pg_terminate_backend(PID);), and run this again.";
	if (strcmp(sqlstate, "42501") == 0)
		return "`db init` and `db upgrade` need a superuser, or the database's owner with "
		       "the"
		       " right to\n  create roles; all else a member of slotbell_admin (GRANT"
		       " slotbell_admin TO …).";
	return NULL;
}

/* The line of `sql` that a position (in characters, from 1 on) lies in. */
static int line_of(const char *sql, int position)
{
	int line = 1;

	for (; *sql && position > 1; sql++) {
		if (*sql == '\n')
			line++;
		if ((*sql & 0xc0) != 0x80)
			position--;
	}
	return line;
}

void sb_database_complain(PGconn *database, const PGresult *result, const char *file,
			  const char *sql)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
	const char *ours = sqlstate ? advice(sqlstate) : NULL;

	if (!message) {
		say_connection_error(database);
		return;
	}
	if (file && sql && position)
		sb_ctl_fail("%s, line %d: %s", file, line_of(sql, (int)strtol(position, NULL, 10)),
			    message);
	else if (file)
		sb_ctl_fail("%s: %s", file, message);
	else
		sb_ctl_fail("%s", message);
	if (detail)
		sb_ctl_say("  detail: %s", detail);
	if (ours && (!file || is_lock_timeout(sqlstate)))
		sb_ctl_say("  hint: %s", ours);
	else if (hint)
		sb_ctl_say("  hint: %s", hint);
}

PGresult *sb_database_query(PGconn *database, const char *sql, int count, const char *const *values)
{
	PGresult *result = PQexecParams(database, sql, count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	sb_database_complain(database, result, NULL, NULL);
	PQclear(result);
	return NULL;
}

const char *sb_database_value(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

void sb_database_bytea(char *text, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	*text++ = '\\';
	*text++ = 'x';
	for (size_t i = 0; i < size; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 0x0f];
	}
	*text = '\0';
}
