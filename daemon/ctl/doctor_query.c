/*
 * PostgreSQL for the doctor: as in database.c, but nothing is said here, and
 * no wait is longer than SB_DOCTOR_MS, not even for a server that accepts and
 * stays mute.
 */
#include "daemon/ctl/database.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/ops/credential.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *words(const char *text)
{
	char *copy = strdup(text && *text ? text : "the connection is lost");

	sb_need(copy);
	for (size_t end = strlen(copy); end > 0 && copy[end - 1] == '\n'; end--)
		copy[end - 1] = '\0';
	return copy;
}

bool sb_doctor_wait(PGconn *database, bool writable, int64_t deadline_ms)
{
	struct pollfd file = {.fd = PQsocket(database), .events = writable ? POLLOUT : POLLIN};

	for (;;) {
		int64_t left = deadline_ms - sb_doctor_now_ms();
		int ready = left > 0 ? poll(&file, 1, (int)left) : 0;

		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

static bool finish_connect(PGconn *database)
{
	int64_t deadline = sb_doctor_now_ms() + SB_DOCTOR_MS;
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (next != PGRES_POLLING_OK) {
		if (next == PGRES_POLLING_FAILED ||
		    !sb_doctor_wait(database, next == PGRES_POLLING_WRITING, deadline))
			return false;
		next = PQconnectPoll(database);
	}
	return true;
}

/* Not as an option of the connection: PgBouncer would refuse it, and with it the whole look. */
static bool apply_settings(PGconn *database, char **ret_why)
{
	PGresult *result = sb_doctor_query(database,
					   "SELECT pg_catalog.set_config('search_path', '', false),"
					   " pg_catalog.set_config('timezone', 'UTC', false)",
					   0, NULL, ret_why);

	PQclear(result);
	return result != NULL;
}

static bool is_ours(PGconn *database, char **ret_why)
{
	PGresult *result = sb_doctor_query(database, SB_SQL_FOREIGN_OWNER, 0, NULL, ret_why);
	bool ours = result && PQntuples(result) == 0;

	if (result && !ours)
		sb_need(asprintf(ret_why, SB_WORDS_FOREIGN_OWNER, PQgetvalue(result, 0, 0)) >= 0);
	PQclear(result);
	return ours;
}

PGconn *sb_doctor_connect(const char *url, const char *password, bool is_daemons, char **ret_why)
{
	/* What stands after the URL cannot be set by it; what stands before is a default. */
	static const char *const names[] = {
		"fallback_application_name",
		"target_session_attrs",
		"password",
		"dbname",
		"client_encoding",
		NULL,
	};
	const char *values[] = {
		"slotbellctl doctor", "read-write", password, url, "UTF8", NULL,
	};
	PGconn *database;

	if (!sb_database_url_is_readable(url)) {
		*ret_why = words("the URL cannot be read; it reads "
				 "postgresql://USER:PASSWORD@HOST:PORT/NAME, with @ : / ? % in "
				 "names and password written %40 %3A %2F %3F %25");
		return NULL;
	}
	database = PQconnectStartParams(names, values, 1);
	sb_need(database);
	/* Before the first step: the library is loaded at the handshake. We are outside of the
	 * daemon's sandbox, and its code is to stay inside. */
	if (PQstatus(database) != CONNECTION_BAD && is_daemons && sb_doctor_loads_library(database))
		*ret_why = words("its sslkey names an OpenSSL engine; doctor loads no library that "
				 "the daemon names");
	else if (PQstatus(database) == CONNECTION_BAD || !finish_connect(database))
		*ret_why = words(PQstatus(database) == CONNECTION_BAD ? PQerrorMessage(database)
								      : "it does not answer");
	else if (apply_settings(database, ret_why) && is_ours(database, ret_why))
		return database;
	PQfinish(database);
	return NULL;
}

PGconn *sb_doctor_connect_as_daemon(const struct sb_doctor *doctor, char **ret_why)
{
	char *password = sb_doctor_password(doctor);
	PGconn *database;

	database = sb_doctor_connect(doctor->config.database_url, password, true, ret_why);
	sb_credential_free(password);
	return database;
}

/* The last result of what was sent; NULL: none in time. */
static PGresult *collect(PGconn *database, int64_t deadline)
{
	PGresult *last = NULL;

	for (;;) {
		PGresult *next;

		while (PQisBusy(database)) {
			if (!sb_doctor_wait(database, false, deadline) ||
			    PQconsumeInput(database) != 1) {
				PQclear(last);
				return NULL;
			}
		}
		next = PQgetResult(database);
		if (!next)
			return last;
		PQclear(last);
		last = next;
	}
}

PGresult *sb_doctor_query(PGconn *database, const char *sql, int count, const char *const *values,
			  char **ret_why)
{
	PGresult *result = NULL;
	ExecStatusType status;

	if (PQsendQueryParams(database, sql, count, NULL, values, NULL, NULL, 0) == 1)
		result = collect(database, sb_doctor_now_ms() + SB_DOCTOR_MS);
	status = PQresultStatus(result);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	if (result)
		*ret_why = words(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	else
		*ret_why = words(*PQerrorMessage(database) ? PQerrorMessage(database)
							   : "it does not answer");
	PQclear(result);
	return NULL;
}
