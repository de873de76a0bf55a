/* Whether the daemon's role may do what it has to, and no more. */
#include "daemon/ctl/doctor.h"
#include <stdlib.h>
#include <string.h>

/* As docs/database.md has it; a test compares it with what the schema grants. */
#define NEEDED                                                                              \
	"('authenticate'), ('next_events'), ('ack'), ('sent'), ('attend'), ('reconcile'), " \
	"('sweep_step'), ('schema_version')"
/* What the role may call besides: for the daemon of the release before. */
#define KEPT "'fetch', 'presence', 'sweep_alone', 'sweep'"

enum { USAGE, LACKS, MORE_FUNCTIONS, TABLES, ATTRIBUTES };

/* A row: may it into the schema, and lists of names, NULL where there is none. */
static const char sql[] =
	"WITH needed (name) AS (VALUES " NEEDED "), of_ours AS ("
	" SELECT p.proname::text AS name,"
	"  pg_catalog.bool_or(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) AS may"
	" FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'slotbell'::regnamespace"
	"  AND p.prorettype <> 'trigger'::regtype GROUP BY 1) "
	"SELECT pg_catalog.has_schema_privilege('slotbell', 'USAGE'),"
	" (SELECT pg_catalog.string_agg(n.name, ', ') FROM needed n"
	"  WHERE NOT EXISTS (SELECT FROM of_ours o WHERE o.name = n.name AND o.may)),"
	" (SELECT pg_catalog.string_agg(o.name, ', ' ORDER BY o.name) FROM of_ours o"
	"  WHERE o.may AND o.name NOT IN (SELECT n.name FROM needed n) AND o.name NOT IN (" KEPT
	")),"
	" (SELECT pg_catalog.string_agg(c.relname, ', ' ORDER BY c.relname) FROM "
	"pg_catalog.pg_class c"
	"  WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')"
	"  AND pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')),"
	" (SELECT pg_catalog.concat_ws(', ', CASE WHEN r.rolsuper THEN 'SUPERUSER' END,"
	"  CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN "
	"'CREATEDB' END,"
	"  CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN "
	"'BYPASSRLS'"
	"  END) FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)";

static const char *value(const PGresult *result, int column)
{
	return PQgetvalue(result, 0, column);
}

static void judge(struct sb_doctor *doctor, struct sb_finding *finding, const PGresult *result)
{
	const char *role = PQuser(doctor->database);

	doctor->rights_lack = *value(result, USAGE) != 't' || *value(result, LACKS);
	if (doctor->rights_lack) {
		sb_saw(finding, SB_HEALTH_FAIL, "the role %s may not use: %s", role,
		       *value(result, USAGE) == 't' ? value(result, LACKS) : "the schema slotbell");
		sb_advise(finding, "GRANT slotbell_daemon TO \"%s\";",
			  strpbrk(role, "\"\\;\n") ? "ROLE" : role);
	} else if (*value(result, ATTRIBUTES)) {
		sb_saw(finding, SB_HEALTH_WARN, "the role %s is more than it needs to be: %s", role,
		       value(result, ATTRIBUTES));
		sb_advise(finding, "give the daemon a role of its own: CREATE ROLE slotbell LOGIN; "
				   "GRANT slotbell_daemon TO slotbell;");
	} else if (*value(result, MORE_FUNCTIONS) || *value(result, TABLES)) {
		sb_saw(finding, SB_HEALTH_WARN, "the role %s may more than it needs: %s%s%s", role,
		       value(result, MORE_FUNCTIONS),
		       *value(result, MORE_FUNCTIONS) && *value(result, TABLES) ? ", " : "",
		       value(result, TABLES));
		sb_advise(finding, "it needs slotbell_daemon and nothing else: REVOKE the rest");
	} else {
		sb_saw(finding, SB_HEALTH_OK,
		       "the role %s may what slotbell_daemon may, and no more", role);
	}
}

/*
 * The attached tables for which a condition holds, by name. By the catalog alone: the daemon's role
 * may read that, and nothing of a table's owner runs.
 */
#define ATTACHED(condition)                                                                   \
	"SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I of %I', n.nspname, c.relname," \
	" r.rolname), ', ' ORDER BY c.oid) FROM pg_catalog.pg_trigger t"                      \
	" JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"                                    \
	" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                           \
	" JOIN pg_catalog.pg_roles r ON r.oid = c.relowner"                                   \
	" JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid"                                      \
	" WHERE t.tgname = 'slotbell_ring' AND t.tgparentid = 0 AND c.relpersistence <> 't'"  \
	"  AND p.proname ~ '^slotbell_ring_.' AND (" condition ")"                            \
	"  AND pg_catalog.pg_has_role(r.oid, 'slotbell_publisher', 'USAGE')"

/* Warns of attached tables. `tables`: an ATTACHED query. `seen`: what is said before their names.
 */
static void look_at_attached(struct sb_doctor *doctor, struct sb_finding *finding,
			     const char *tables, const char *seen, const char *advice)
{
	char *why = NULL;
	PGresult *result = sb_doctor_query(doctor->database, tables, 0, NULL, &why);

	if (!result) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s", why);
	} else if (*PQgetvalue(result, 0, 0)) {
		sb_saw(finding, SB_HEALTH_WARN, "%s: %s", seen, PQgetvalue(result, 0, 0));
		sb_advise(finding, "%s", advice);
	}
	PQclear(result);
	free(why);
}

void sb_check_rights(struct sb_doctor *doctor, struct sb_finding *finding)
{
	char *why = NULL;
	PGresult *result;

	if (!doctor->database) {
		sb_not_checked(finding, "database");
		return;
	}
	if (!doctor->schema_there || doctor->schema_old) {
		sb_not_checked(finding, "schema");
		return;
	}
	result = sb_doctor_query(doctor->database, sql, 0, NULL, &why);
	if (result)
		judge(doctor, finding, result);
	else
		sb_saw(finding, SB_HEALTH_FAIL, "%s", why);
	PQclear(result);
	free(why);
	if (finding->health == SB_HEALTH_OK)
		look_at_attached(doctor, finding, ATTACHED("r.rolsuper OR NOT r.rolcanlogin"),
				 "attached, and no session can resync it",
				 "give it to a role that can log in and is no superuser, and "
				 "attach it again as that role");
	/* The triggers of later releases have an argument. */
	if (finding->health == SB_HEALTH_OK)
		look_at_attached(doctor, finding, ATTACHED("t.tgnargs = 0"),
				 "attached by release 0.1.0, and rings as it did",
				 "attach it again with its mapping, as its owner: "
				 "slotbell.attachment shows the mapping");
}
