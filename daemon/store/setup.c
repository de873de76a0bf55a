/* Settings and questions in one round trip, each with words for its refusal. See setup.h. */
#include "daemon/store/setup.h"
#include "daemon/store/first.h"
#include "daemon/store/login.h"
#include "daemon/store/schema_version.h"
#include "daemon/store/words.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sb_pg_kind_table *const sb_pg_kind_tables[SB_PG_KIND_COUNT] = {
	[SB_PG_KIND_AUTHENTICATE] = &sb_pg_kind_authenticate,
	[SB_PG_KIND_FETCH] = &sb_pg_kind_fetch,
	[SB_PG_KIND_ACK] = &sb_pg_kind_ack,
	[SB_PG_KIND_RECONCILE] = &sb_pg_kind_reconcile,
	[SB_PG_KIND_SENT] = &sb_pg_kind_sent,
	[SB_PG_KIND_PRESENCE] = &sb_pg_kind_presence,
};

enum step { FIRST, OWNED, SERVER, VERSION, RIGHTS, PREPARES, LOGIN = PREPARES + SB_PG_KIND_COUNT };

static int send_text(PGconn *conn, const char *sql)
{
	return PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0) == 1 ? 0 : -EIO;
}

/* Session settings come along: what a role or a database may have set is not for us. */
static int send_server(PGconn *conn, const struct sb_pg_config *config)
{
	char sql[1280];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT pg_catalog.pg_is_in_recovery(), "
		       "pg_catalog.current_setting('transaction_read_only'), "
		       "pg_catalog.pg_backend_pid(), "
		       "pg_catalog.set_config('lock_timeout', '%" PRIu32 "', false), "
		       "pg_catalog.set_config('statement_timeout', '%" PRIu32 "', false), "
		       "pg_catalog.set_config('default_transaction_isolation', 'read committed', "
		       "false), "
		       "pg_catalog.set_config('jit', 'off', false), "
		       /* A client forgets what it was told to be saved. The stronger ones stay. */
		       "pg_catalog.set_config('synchronous_commit', CASE "
		       "pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
		       "ELSE pg_catalog.current_setting('synchronous_commit') END, false), "
		       "(SELECT pg_catalog.count(pg_catalog.set_config(s.name, '0', false)) "
		       "FROM pg_catalog.pg_settings s WHERE s.name = 'idle_session_timeout')",
		       config->lock_timeout_ms, config->statement_timeout_ms);
	return send_text(conn, sql);
}

static int send_rights(PGconn *conn)
{
	char sql[1536];
	int len = snprintf(sql, sizeof(sql),
			   "SELECT pg_catalog.bool_and(may IS NOT NULL), pg_catalog.bool_and(may) "
			   "FROM (VALUES ");

	for (int kind = 0; kind < SB_PG_KIND_COUNT; kind++)
		len += snprintf(sql + len, sizeof(sql) - (size_t)len,
				"%s(pg_catalog.has_function_privilege("
				"pg_catalog.to_regprocedure('%s'), 'EXECUTE'))",
				kind ? ", " : "", sb_pg_kind_tables[kind]->signature);
	(void)snprintf(sql + len, sizeof(sql) - (size_t)len, ") AS rights (may)");
	return send_text(conn, sql);
}

int sb_pg_setup_send(struct sb_pg_setup *setup, PGconn *conn, const struct sb_pg_config *config)
{
	*setup = (struct sb_pg_setup){0};
	if (PQenterPipelineMode(conn) != 1 || send_text(conn, SB_PG_FIRST) < 0 ||
	    send_text(conn, SB_PG_OWNED) < 0 || send_server(conn, config) < 0 ||
	    send_text(conn, "SELECT slotbell.schema_version()") < 0 || send_rights(conn) < 0)
		return -EIO;
	for (enum sb_pg_kind kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		const struct sb_pg_kind_table *table = sb_pg_kind_tables[kind];

		if (PQsendPrepare(conn, sb_pg_kind_word(kind), table->sql, table->param_count,
				  table->param_types) != 1)
			return -EIO;
	}
	if (send_text(conn, sb_pg_login_sql) < 0)
		return -EIO;
	return PQpipelineSync(conn) == 1 ? 0 : -EIO;
}

static void judge_server(struct sb_pg_setup *setup, const PGresult *result)
{
	if (PQgetvalue(result, 0, 0)[0] == 't')
		(void)snprintf(setup->problem, sizeof(setup->problem), "%s", SB_PG_WORDS_STANDBY);
	else if (strcmp(PQgetvalue(result, 0, 1), "on") == 0)
		(void)snprintf(setup->problem, sizeof(setup->problem), "%s", SB_PG_WORDS_READ_ONLY);
	setup->backend_pid = sb_pg_text_int(result, 0, 2);
}

static void judge_rights(struct sb_pg_setup *setup, const PGconn *conn, const PGresult *result)
{
	if (PQgetvalue(result, 0, 0)[0] != 't')
		(void)snprintf(setup->problem, sizeof(setup->problem),
			       "the schema slotbell in database \"%s\" lacks functions that its "
			       "version should have; run slotbellctl db upgrade",
			       PQdb(conn));
	else if (PQgetvalue(result, 0, 1)[0] != 't')
		(void)snprintf(setup->problem, sizeof(setup->problem),
			       "the role \"%s\" lacks rights; GRANT slotbell_daemon TO \"%s\"",
			       PQuser(conn), PQuser(conn));
}

void sb_pg_setup_result(struct sb_pg_setup *setup, const PGconn *conn, const PGresult *result)
{
	int step = setup->step++;

	if (setup->problem[0])
		return; /* the first one is the reason for the rest */
	if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
		sb_pg_words(setup->problem, sizeof(setup->problem), conn, result);
		return;
	}
	if (step == LOGIN)
		sb_pg_login_judge(setup->excess, sizeof(setup->excess), conn, result);
	if (step >= PREPARES || PQntuples(result) != 1)
		return;
	if (step == SERVER)
		judge_server(setup, result);
	else if (step == VERSION && !sb_schema_version_fits(sb_pg_text_int(result, 0, 0)))
		sb_pg_words_version(setup->problem, sizeof(setup->problem),
				    sb_pg_text_int(result, 0, 0));
	else if (step == RIGHTS)
		judge_rights(setup, conn, result);
}
