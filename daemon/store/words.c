/* SQLSTATEs into sentences. See words.h and PostgreSQL's appendix A. */
#include "daemon/store/words.h"
#include "daemon/store/first.h"
#include "daemon/store/schema_version.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sb_pg_sqlstate(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state ? state : "-----";
}

int sb_pg_text_int(const PGresult *result, int row, int column)
{
	char *end;
	long value = strtol(PQgetvalue(result, row, column), &end, 10);

	return *end == '\0' && value >= INT_MIN && value <= INT_MAX ? (int)value : 0;
}

static bool is_any_of(const char *state, const char *const *states)
{
	for (; *states; states++) {
		if (strncmp(state, *states, strlen(*states)) == 0)
			return true;
	}
	return false;
}

void sb_pg_words(char *ret_words, size_t size, const PGconn *conn, const PGresult *result)
{
	static const char *const missing[] = {"3F000", "42883", "42P01", NULL};
	static const char *const denied[] = {"42501", NULL};
	static const char *const standby[] = {"25006", NULL};
	static const char *const foreign[] = {SB_PG_FOREIGN, NULL};
	const char *state = sb_pg_sqlstate(result);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *user = PQuser(conn);

	if (is_any_of(state, missing))
		(void)snprintf(ret_words, size,
			       "the schema slotbell is missing or incomplete in database \"%s\"; "
			       "run slotbellctl db init",
			       PQdb(conn));
	else if (is_any_of(state, denied))
		(void)snprintf(ret_words, size,
			       "the role \"%s\" lacks rights; GRANT slotbell_daemon TO \"%s\"",
			       user, user);
	else if (is_any_of(state, foreign))
		(void)snprintf(ret_words, size,
			       "the schema slotbell in database \"%s\" does not belong to "
			       "slotbell_owner: Slotbell did not make it",
			       PQdb(conn));
	else if (is_any_of(state, standby))
		(void)snprintf(ret_words, size, "%s", SB_PG_WORDS_STANDBY);
	else
		(void)snprintf(ret_words, size, "%s (SQLSTATE %s)",
			       message ? message : PQresultErrorMessage(result), state);
}

void sb_pg_words_version(char *ret_words, size_t size, int theirs)
{
	if (theirs < SB_SCHEMA_VERSION)
		(void)snprintf(ret_words, size,
			       "the schema slotbell is of version %d and too old, this slotbelld "
			       "needs %d; "
			       "run slotbellctl db upgrade",
			       theirs, SB_SCHEMA_VERSION);
	else
		(void)snprintf(ret_words, size,
			       "the schema slotbell is of version %d and too new, this slotbelld "
			       "works with %d and %d; "
			       "upgrade slotbelld",
			       theirs, SB_SCHEMA_VERSION, SB_SCHEMA_VERSION + 1);
}

bool sb_pg_error_ends_connection(const PGresult *result)
{
	/* Read-only now, prepared statement gone, its result changed, objects or rights gone. */
	static const char *const states[] = {"25006", "26", "0A000", "42", "3F", NULL};

	return is_any_of(sb_pg_sqlstate(result), states);
}
