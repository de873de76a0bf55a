/*
 * One connection to PostgreSQL, used one statement at a time, and its errors
 * in words. A password is never among them.
 */
#ifndef SB_CTL_DATABASE_H
#define SB_CTL_DATABASE_H

#include "daemon/ctl/ctl.h"
#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

/* A timestamptz as RFC 3339 text in UTC, in SQL; NULL stays NULL. */
#define SB_SQL_INSTANT(value) \
	"pg_catalog.to_char((" value ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

/*
 * A row if the schema is there and is not Slotbell's: its owner. A role that may
 * create in a database can make a schema slotbell, whose functions would run with
 * the caller's rights. So this is asked before the first call.
 */
#define SB_SQL_FOREIGN_OWNER                                                      \
	"SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_namespace n" \
	" JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner"                       \
	" WHERE n.nspname = 'slotbell' AND r.rolname <> 'slotbell_owner'"
#define SB_WORDS_FOREIGN_OWNER \
	"the schema slotbell belongs to %s, not to slotbell_owner: Slotbell did not make it"

/*
 * Connects to what --database or SLOTBELLCTL_DATABASE_URL names, with an empty
 * search_path, UTC, UTF-8. The caller's, for PQfinish(). NULL: said why, and
 * ctl->status has which kind of failure it is.
 */
PGconn *sb_database_open(struct sb_ctl *ctl);

/* Whether libpq can read it, and nothing of a password would show in its errors. */
bool sb_database_url_is_readable(const char *url);

/* Connects a lost connection again, in the same way; says nothing. False: not now. */
bool sb_database_reopen(PGconn *database);

/*
 * Runs one statement with `count` text parameters (NULL is SQL's NULL) in a
 * transaction of its own. The result is the caller's, for PQclear(). NULL:
 * said why.
 */
PGresult *sb_database_query(PGconn *database, const char *sql, int count,
			    const char *const *values);

/* Says what went wrong with `result`, or with the connection if that has no words. `file`: the
 * name of the file that was run, `sql` its text, or both NULL. */
void sb_database_complain(PGconn *database, const PGresult *result, const char *file,
			  const char *sql);

/* A value of a row; NULL for SQL's NULL. Lives as long as the result. */
const char *sb_database_value(const PGresult *result, int row, int column);

/* bytea in PostgreSQL's hex form, for a text parameter; `text` has 2 * size + 3 bytes. */
void sb_database_bytea(char *text, const uint8_t *bytes, size_t size);

#endif
