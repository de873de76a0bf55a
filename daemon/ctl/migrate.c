/*
 * Applies the schema's files, for `db init` and `db upgrade`; see migrate.h.
 *
 * It never takes a step back and never skips one: a database whose row of
 * versions has a hole, or goes beyond ours, is left as it is.
 */
#include "daemon/ctl/migrate.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "Slotbell" as a number: nobody else's advisory lock. The session's end gives it back. */
#define LOCK "x'536c6f7462656c6c'::bigint"

#define OLDEST_SERVER 130000

/* Runs statements, in one transaction unless they open their own. `file`: as for complaints. */
static bool run(PGconn *database, const char *sql, const char *file)
{
	PGresult *result = PQexec(database, sql);
	bool done = PQresultStatus(result) == PGRES_COMMAND_OK ||
		    PQresultStatus(result) == PGRES_TUPLES_OK;

	if (!done)
		sb_database_complain(database, result, file, sql);
	PQclear(result);
	return done;
}

/* One value that is never NULL, as a number; -1: said why there is none. */
static long ask(PGconn *database, const char *sql)
{
	PGresult *result = sb_database_query(database, sql, 0, NULL);
	long answer = result ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;

	PQclear(result);
	return answer;
}

static bool fits(PGconn *database)
{
	const char *encoding = PQparameterStatus(database, "server_encoding");

	if (PQserverVersion(database) < OLDEST_SERVER) {
		sb_ctl_fail("this is PostgreSQL %s; Slotbell needs 13 or newer",
			    PQparameterStatus(database, "server_version"));
		return false;
	}
	if (!encoding || strcmp(encoding, "UTF8") != 0) {
		sb_ctl_fail("the database's encoding is %s; Slotbell needs UTF8\n"
			    "  hint: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
			    encoding ? encoding : "not known");
		return false;
	}
	return true;
}

static bool lock(PGconn *database)
{
	long locked = ask(database, "SELECT pg_try_advisory_lock(" LOCK ")::int");

	if (locked != 0)
		return locked > 0;
	sb_ctl_say("waiting for another slotbellctl at this database …");
	return run(database, "SELECT pg_advisory_lock(" LOCK ")", NULL);
}

/* How many of our steps are applied: the first ones, without a hole. False: said why not. */
static bool count_applied(PGconn *database, size_t *ret_count)
{
	PGresult *result = sb_database_query(
		database, "SELECT version, name FROM slotbell.migration ORDER BY version", 0, NULL);
	const int newest = sb_schema_steps[sb_schema_step_count - 1].version;
	int rows = result ? PQntuples(result) : 0;
	bool known = result != NULL;

	for (int row = 0; row < rows && known; row++) {
		long version = strtol(PQgetvalue(result, row, 0), NULL, 10);

		if (version > newest) {
			sb_ctl_fail("the database's schema is newer (%s) than this slotbellctl,"
				    " which knows up to version %d: use the slotbellctl of the"
				    " newer release",
				    PQgetvalue(result, rows - 1, 1), newest);
			known = false;
		} else if (version != sb_schema_steps[row].version) {
			sb_ctl_fail("the database has version %ld of the schema without version %d:"
				    " slotbell.migration is not as Slotbell leaves it",
				    version, sb_schema_steps[row].version);
			known = false;
		}
	}
	*ret_count = (size_t)rows;
	PQclear(result);
	return known;
}

/* In the caller's transaction, so that a first step which fails leaves nothing behind. */
static bool create_record(PGconn *database)
{
	return run(database,
		   "CREATE SCHEMA IF NOT EXISTS slotbell;"
		   "CREATE TABLE slotbell.migration (version int PRIMARY KEY, name text NOT NULL,"
		   " applied_at timestamptz NOT NULL DEFAULT now())",
		   NULL);
}

static bool record(PGconn *database, const struct sb_schema_step *step)
{
	char version[16];
	const char *const values[] = {version, step->name};
	PGresult *result;

	(void)snprintf(version, sizeof(version), "%d", step->version);
	result = sb_database_query(database,
				   "INSERT INTO slotbell.migration (version, name) VALUES ($1, $2)",
				   2, values);
	PQclear(result);
	return result != NULL;
}

static bool run_files(PGconn *database, const struct sb_schema_step *step)
{
	for (size_t i = 0; i < step->file_count; i++) {
		if (!run(database, (const char *)step->files[i].sql, step->files[i].name))
			return false;
	}
	return true;
}

static bool apply(PGconn *database, const struct sb_schema_step *step, bool create)
{
	sb_ctl_say("applying %s", step->name);
	if (run(database, "BEGIN", NULL) && (!create || create_record(database)) &&
	    run_files(database, step) && record(database, step) &&
	    run(database, "COMMIT", step->name))
		return true;
	/* The connection may be gone, and then so is the transaction. */
	PQclear(PQexec(database, "ROLLBACK"));
	return false;
}

bool sb_migrate(PGconn *database, bool may_create, struct sb_migrated *ret_migrated)
{
	long is_there;
	size_t applied = 0;

	if (!fits(database) || !lock(database))
		return false;
	is_there = ask(database, "SELECT (to_regclass('slotbell.migration') IS NOT NULL)::int");
	if (is_there < 0 || (is_there && !count_applied(database, &applied)))
		return false;
	if (applied == 0 && !may_create) {
		sb_ctl_fail("there is no Slotbell schema in this database to upgrade\n"
			    "  hint: `slotbellctl db init` makes it");
		return false;
	}
	ret_migrated->first = applied;
	for (size_t i = applied; i < sb_schema_step_count; i++) {
		if (!apply(database, &sb_schema_steps[i], !is_there && i == 0))
			return false;
	}
	ret_migrated->count = sb_schema_step_count - applied;
	ret_migrated->version = sb_schema_steps[sb_schema_step_count - 1].version;
	return true;
}
