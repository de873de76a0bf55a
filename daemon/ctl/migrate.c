/*
 * Applies the schema's files, for `db init` and `db upgrade`; see migrate.h.
 *
 * Each step is a transaction: the roles and the schema are looked at (trust.h),
 * slotbell.migration is locked, what is applied is read under that lock, and
 * then one step is applied and recorded. The lock is the table's: only
 * slotbell_owner can take it. An advisory lock is anybody's.
 *
 * It never takes a step back and never skips one: a database whose row of
 * versions has a hole, or goes beyond ours, is left as it is.
 */
#include "daemon/ctl/migrate.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/trust.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_SERVER 140000

/* So long a step waits for another program before it says that it waits. */
#define WAIT_IN_SILENCE "500ms"
/* A step that waits for a transaction of somebody else holds up those who come after it. */
#define WAIT_FOR_OTHERS "10s"

/* Each time somebody else was quicker to create what this was about to. */
#define TRIES 10

struct migration {
	PGconn *database;
	bool may_create;
	bool is_super;
	bool was_member; /* of slotbell_owner, before this began */
	bool is_member;	 /* still, after the last step */
	bool may_retry;	 /* where the transaction stands, somebody else's may end it */
	bool retry;	 /* it did */
	bool waits;	 /* it was said that another is waited for */
};

/* Whether a statement failed only because another program does the same at the same time. */
static bool is_race(struct migration *migration, const PGresult *result)
{
	static const char *const races[] = {"23505", "42710", "42P06", "40P01"};
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (!state || !migration->may_retry)
		return false;
	if (strcmp(state, "55P03") == 0 && !migration->waits) {
		sb_ctl_say("waiting for another slotbellctl at this database …");
		migration->waits = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
		if (strcmp(state, races[i]) == 0)
			return true;
	}
	return false;
}

/* Runs statements. `file`: as for complaints. */
static bool run(struct migration *migration, const char *sql, const char *file)
{
	PGresult *result = PQexec(migration->database, sql);
	bool done = PQresultStatus(result) == PGRES_COMMAND_OK ||
		    PQresultStatus(result) == PGRES_TUPLES_OK;

	if (!done && is_race(migration, result))
		migration->retry = true;
	else if (!done)
		sb_database_complain(migration->database, result, file, sql);
	PQclear(result);
	return done;
}

/* A question whose answer is yes or no. False: said why there is none. */
static bool ask(struct migration *migration, const char *sql, bool *ret_answer)
{
	PGresult *result = sb_database_query(migration->database, sql, 0, NULL);

	*ret_answer = result && PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
	PQclear(result);
	return result != NULL;
}

static bool fits(PGconn *database)
{
	const char *encoding = PQparameterStatus(database, "server_encoding");

	if (PQserverVersion(database) < OLDEST_SERVER) {
		sb_ctl_fail("this is PostgreSQL %s; Slotbell needs 14 or newer",
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

/* ---- acting as slotbell_owner ---- */

static bool may_set_role(struct migration *migration, bool *ret_may)
{
	/* From 16 on a member may be one that can grant the role, and cannot act as it. */
	return ask(migration,
		   PQserverVersion(migration->database) >= 160000
			   ? "SELECT pg_catalog.pg_has_role('slotbell_owner', 'SET')"
			   : "SELECT pg_catalog.pg_has_role('slotbell_owner', 'MEMBER')",
		   ret_may);
}

/* Until the transaction ends: leave_owner() takes it back before anybody else sees it. */
static bool join_owner(struct migration *migration)
{
	bool may = true;

	if (migration->is_super)
		return true;
	if (!may_set_role(migration, &may))
		return false;
	migration->was_member |= may;
	return may || run(migration,
			  "DO $$ BEGIN EXECUTE pg_catalog.format("
			  "'GRANT slotbell_owner TO %I', session_user); END $$",
			  NULL);
}

/* Whoever may not take it back stays a member: a superuser gave it that right. */
static bool leave_owner(struct migration *migration)
{
	return migration->is_super ||
	       (run(migration,
		    "SET LOCAL client_min_messages = error;"
		    "DO $$ BEGIN EXECUTE pg_catalog.format('REVOKE slotbell_owner FROM %I', "
		    "session_user);"
		    " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;"
		    "SET LOCAL client_min_messages = warning",
		    NULL) &&
		may_set_role(migration, &migration->is_member));
}

static void tell_membership(const struct migration *migration)
{
	const char *user = PQuser(migration->database);

	if (migration->is_member)
		sb_ctl_say(
			"warning: %s stays a member of slotbell_owner, and can change all of the"
			" schema\n  hint: whoever granted it: REVOKE slotbell_owner FROM \"%s\";",
			user, user);
	else if (migration->was_member)
		sb_ctl_say("%s is not a member of slotbell_owner any longer, as it was since an"
			   " earlier `db init`: `db upgrade` joins for each step, and leaves again",
			   user);
}

/* ---- what is there ---- */

/* How many of our steps are applied: the first ones, without a hole. False: said why not. */
static bool count_applied(struct migration *migration, size_t *ret_count)
{
	PGresult *result = sb_database_query(
		migration->database,
		"SELECT m.version, m.name FROM ONLY slotbell.migration m ORDER BY m.version", 0,
		NULL);
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

/*
 * As slotbell_owner from the beginning, so that nobody's default privileges
 * apply. CREATE SCHEMA fails where another one was made meanwhile.
 */
static bool create(struct migration *migration)
{
	bool has_owner;

	if (!migration->may_create) {
		sb_ctl_fail("there is no Slotbell schema in this database to upgrade\n"
			    "  hint: `slotbellctl db init` makes it");
		return false;
	}
	return ask(migration,
		   "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname ="
		   " 'slotbell_owner')",
		   &has_owner) &&
	       (has_owner || run(migration, "CREATE ROLE slotbell_owner NOLOGIN", NULL)) &&
	       join_owner(migration) &&
	       run(migration,
		   "CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner;"
		   "SET LOCAL ROLE slotbell_owner;"
		   "CREATE TABLE slotbell.migration (version int PRIMARY KEY,"
		   " name pg_catalog.text NOT NULL,"
		   " applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());"
		   "SET LOCAL ROLE NONE",
		   NULL);
}

/* ---- one transaction ---- */

/* Begins it, and holds slotbell.migration locked when it is done. */
static bool begin(struct migration *migration, size_t *ret_applied)
{
	bool is_there = false;

	migration->may_retry = true;
	if (!run(migration,
		 migration->waits ? "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"
				  : "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;"
				    "SET LOCAL lock_timeout = '" WAIT_IN_SILENCE "'",
		 NULL) ||
	    !ask(migration,
		 "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname ="
		 " 'slotbell')",
		 &is_there) ||
	    !sb_trust_roles(migration->database, !is_there && migration->may_create))
		return false;
	if (is_there ? !sb_trust_schema(migration->database) || !join_owner(migration)
		     : !create(migration))
		return false;
	if (!run(migration,
		 "SET LOCAL ROLE slotbell_owner;"
		 "LOCK TABLE ONLY slotbell.migration IN SHARE ROW EXCLUSIVE MODE;"
		 "SET LOCAL lock_timeout = '" WAIT_FOR_OTHERS "'",
		 NULL))
		return false;
	migration->may_retry = false;
	/* Once more: from here on it stays as it is. */
	return sb_trust_schema(migration->database) && count_applied(migration, ret_applied) &&
	       run(migration, "SET LOCAL ROLE NONE", NULL);
}

/* The connection may be gone, and then so is the transaction. */
static void undo(struct migration *migration)
{
	PQclear(PQexec(migration->database, "ROLLBACK"));
}

static bool record(struct migration *migration, const struct sb_schema_step *step)
{
	char version[16];
	const char *const values[] = {version, step->name};
	PGresult *result;

	(void)snprintf(version, sizeof(version), "%d", step->version);
	if (!run(migration, "SET LOCAL ROLE slotbell_owner", NULL))
		return false;
	result = sb_database_query(migration->database,
				   "INSERT INTO slotbell.migration (version, name) VALUES ($1, $2)",
				   2, values);
	PQclear(result);
	return result && run(migration, "SET LOCAL ROLE NONE", NULL);
}

static bool run_files(struct migration *migration, const struct sb_schema_step *step)
{
	sb_ctl_say("applying %s", step->name);
	for (size_t i = 0; i < step->file_count; i++) {
		/* A file ends with RESET ROLE, which goes to what ALTER DATABASE … SET role says.
		 */
		if (!run(migration, (const char *)step->files[i].sql, step->files[i].name) ||
		    !run(migration, "SET LOCAL ROLE NONE", NULL))
			return false;
	}
	return record(migration, step);
}

/* tzdata is renewed more often than the schema, so every run looks. */
static bool renew_zones(struct migration *migration)
{
	PGresult *result;
	bool done;

	if (!run(migration, "SET LOCAL ROLE slotbell_owner", NULL))
		return false;
	result = sb_database_query(
		migration->database,
		"SELECT z.learnt, z.lost FROM slotbell.renew_zones() z"
		" WHERE z.learnt OPERATOR(pg_catalog.>) 0 OR z.lost OPERATOR(pg_catalog.>) 0",
		0, NULL);
	if (result && PQntuples(result) == 1)
		sb_ctl_say("slotbell.time_zone is renewed: names new %s, names gone %s",
			   PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	done = result && run(migration, "SET LOCAL ROLE NONE", NULL);
	PQclear(result);
	return done;
}

/* Applies the first step that is missing. False: said why, or migration->retry. */
static bool apply_next(struct migration *migration, size_t *ret_applied, bool *ret_any)
{
	const struct sb_schema_step *step;

	migration->retry = false;
	if (!begin(migration, ret_applied))
		return false;
	*ret_any = *ret_applied < sb_schema_step_count;
	step = *ret_any ? &sb_schema_steps[*ret_applied] : NULL;
	return (step ? run_files(migration, step) : renew_zones(migration)) &&
	       leave_owner(migration) && run(migration, "COMMIT", step ? step->name : NULL);
}

/* What a role or a database may have set, and what its RESET ROLE would go back to. */
static bool prepare(struct migration *migration)
{
	return run(migration,
		   "SET ROLE NONE; SET statement_timeout = 0; SET lock_timeout = 0;"
		   "SET idle_in_transaction_session_timeout = 0",
		   NULL) &&
	       ask(migration,
		   "SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = session_user",
		   &migration->is_super);
}

bool sb_migrate(PGconn *database, bool may_create, struct sb_migrated *ret_migrated)
{
	struct migration migration = {.database = database, .may_create = may_create};
	bool any = true;
	int tries = 0;

	ret_migrated->version = sb_schema_steps[sb_schema_step_count - 1].version;
	ret_migrated->count = 0;
	ret_migrated->steps = calloc(sb_schema_step_count, sizeof(struct sb_schema_step *));
	sb_need(ret_migrated->steps);
	if (!fits(database) || !prepare(&migration))
		return false;
	while (any) {
		size_t applied = 0;

		if (apply_next(&migration, &applied, &any)) {
			tries = 0;
			if (any)
				ret_migrated->steps[ret_migrated->count++] =
					&sb_schema_steps[applied];
			continue;
		}
		undo(&migration);
		if (!migration.retry)
			return false;
		if (++tries == TRIES) {
			sb_ctl_fail("another program creates the same in this database, again and "
				    "again");
			return false;
		}
		any = true;
	}
	tell_membership(&migration);
	return true;
}
