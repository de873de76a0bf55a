/* What makes bookings ring at once: notifications that are heard, and their queue. */
#include "daemon/ctl/doctor.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL "slotbell_doctor"

/* A notification may be late, but not by more. */
#define HEAR_MS 5000

/* Whoever sits in a transaction longer than this is worth a word, full queue or not. */
#define IDLE_SECONDS 300

/* ---- LISTEN ---- */

/* -1: not heard in time. */
static int64_t hear(PGconn *database, const char *payload)
{
	int64_t began = sb_doctor_now_ms();

	for (;;) {
		PGnotify *notice = PQnotifies(database);

		if (notice) {
			bool ours = strcmp(notice->extra, payload) == 0;

			PQfreemem(notice);
			if (ours)
				return sb_doctor_now_ms() - began;
		} else if (!sb_doctor_wait(database, false, began + HEAR_MS) ||
			   PQconsumeInput(database) != 1) {
			return -1;
		}
	}
}

static bool do_statement(PGconn *database, const char *statement, const char *value, char **ret_why)
{
	PGresult *result = sb_doctor_query(database, statement, value ? 1 : 0,
					   (const char *const[]){value}, ret_why);

	PQclear(result);
	return result != NULL;
}

/* From another connection, as a backend's commit would. */
static void listen_to(struct sb_doctor *doctor, PGconn *other, struct sb_finding *finding)
{
	char payload[64], *why = NULL;
	int64_t took_ms;

	(void)snprintf(payload, sizeof(payload), "%d-%" PRId64, PQbackendPID(other),
		       sb_doctor_wall_us());
	if (!do_statement(doctor->database, "LISTEN " CHANNEL, NULL, &why) ||
	    !do_statement(other, "SELECT pg_catalog.pg_notify('" CHANNEL "', $1)", payload, &why)) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s", why);
		sb_advise(finding, "slotbelld must reach the primary, and directly");
		free(why);
		return;
	}
	took_ms = hear(doctor->database, payload);
	if (!do_statement(doctor->database, "UNLISTEN " CHANNEL, NULL, &why))
		free(why);
	if (took_ms < 0) {
		sb_saw(finding, SB_HEALTH_FAIL, "a NOTIFY was not heard within %d s",
		       HEAR_MS / 1000);
		sb_advise(finding, "is there a pooler between (PgBouncer in transaction mode)? "
				   "database.url must lead to PostgreSQL itself. Without "
				   "notifications bookings ring late");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "a NOTIFY was heard after %" PRId64 " ms", took_ms);
	}
}

void sb_check_listen(struct sb_doctor *doctor, struct sb_finding *finding)
{
	char *why = NULL;
	PGconn *other;

	if (!doctor->database) {
		sb_not_checked(finding, "database");
		return;
	}
	other = sb_doctor_connect_as_daemon(doctor, &why);
	if (other) {
		listen_to(doctor, other, finding);
	} else {
		sb_saw(finding, SB_HEALTH_FAIL, "there is no second connection: %s", why);
		sb_advise(finding, "slotbelld needs three of them; max_connections, or the role's "
				   "CONNECTION LIMIT");
	}
	free(why);
	PQfinish(other);
}

/* ---- the queue ---- */

/* Any listener that sits in a transaction holds the queue: who sits longest. Only seen by who may
 * see it. */
static const char queue_sql[] =
	"SELECT pg_catalog.pg_notification_queue_usage(), idle.pid, idle.who, idle.seconds FROM "
	"(SELECT 1) AS one LEFT JOIN LATERAL (SELECT a.pid, pg_catalog.concat_ws(', ', 'role ' || "
	"a.usename::text, 'database ' || a.datname::text, nullif(a.application_name, '')) AS who,"
	" pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)::bigint AS "
	"seconds"
	" FROM pg_catalog.pg_stat_activity a WHERE a.state LIKE 'idle in transaction%'"
	" ORDER BY a.xact_start LIMIT 1) AS idle ON true";

static void judge_queue(const struct sb_doctor *doctor, struct sb_finding *finding,
			const PGresult *result)
{
	double usage = strtod(PQgetvalue(result, 0, 0), NULL);
	long long pid = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	const char *who = PQgetvalue(result, 0, 2), *seconds = PQgetvalue(result, 0, 3);

	if (usage >= doctor->brief.queue_limit) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "PostgreSQL's queue of notifications is %.2f %% full; when it is full "
		       "commits "
		       "fail",
		       usage * 100);
		if (pid)
			sb_advise(
				finding,
				"process %lld (%s) sits in a transaction for %s s and holds it up: "
				"SELECT pg_terminate_backend(%lld);",
				pid, who, seconds, pid);
		else
			sb_advise(finding,
				  "find who listens and sits in a transaction, in any "
				  "database of the cluster: pg_stat_activity, state 'idle in "
				  "transaction' (as a superuser, or with pg_monitor)");
	} else if (pid && strtoll(seconds, NULL, 10) >= IDLE_SECONDS) {
		sb_saw(finding, SB_HEALTH_WARN,
		       "%.2f %% full; but process %lld (%s) sits in a transaction for %s s, and "
		       "holds "
		       "it up if it listens",
		       usage * 100, pid, who, seconds);
		sb_advise(finding,
			  "SELECT pg_terminate_backend(%lld); and for the next one: "
			  "idle_in_transaction_session_timeout",
			  pid);
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%.2f %% full", usage * 100);
	}
}

void sb_check_queue(struct sb_doctor *doctor, struct sb_finding *finding)
{
	PGconn *database = doctor->admin ? doctor->admin : doctor->database;
	char *why = NULL;
	PGresult *result;

	if (!database) {
		sb_not_checked(finding, "database");
		return;
	}
	result = sb_doctor_query(database, queue_sql, 0, NULL, &why);
	if (result)
		judge_queue(doctor, finding, result);
	else
		sb_saw(finding, SB_HEALTH_FAIL, "%s", why);
	PQclear(result);
	free(why);
}
