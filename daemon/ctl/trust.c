/*
 * Owners, kinds, members and rights, as pg_catalog has them; see trust.h.
 *
 * Each query returns a row for what is wrong: the words, a hint, and whether it
 * is no more than a warning.
 */
#include "daemon/ctl/trust.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"

enum { WORDS, HINT, IS_WARNING };

/* Whom a right is granted to, as words. */
#define GRANTEE                               \
	"CASE a.grantee WHEN 0 THEN 'PUBLIC'" \
	" ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END"

/* $1: whether the schema is to be created. */
static const char roles_sql[] =
	"WITH RECURSIVE ours AS ("
	"  SELECT r.oid, r.rolname AS name, r.rolname = 'slotbell_owner' AS is_owner,"
	"   r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb"
	"    OR r.rolreplication OR r.rolbypassrls AS may_more"
	"  FROM pg_catalog.pg_roles r WHERE r.rolname IN"
	"   ('slotbell_owner', 'slotbell_daemon', 'slotbell_publisher', 'slotbell_admin')"
	"), joined AS ("
	"  SELECT m.roleid, m.member, r.rolname AS name FROM pg_catalog.pg_auth_members m"
	"  JOIN pg_catalog.pg_roles r ON r.oid = m.member"
	"  WHERE NOT r.rolsuper AND r.rolname <> session_user"
	"), member AS ("
	"  SELECT j.member, j.name FROM ours o JOIN joined j ON j.roleid = o.oid"
	"  WHERE o.is_owner"
	"  UNION SELECT j.member, j.name FROM member m JOIN joined j ON j.roleid = m.member"
	") "
	/* What nobody may be who everything belongs to. */
	"SELECT pg_catalog.format('the role %I can log in, or has an attribute such as"
	" CREATEROLE: Slotbell makes it without', o.name),"
	" pg_catalog.format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB"
	" NOREPLICATION NOBYPASSRLS;', o.name), false"
	" FROM ours o WHERE o.may_more AND (o.is_owner OR $1::boolean)"
	/* Who could put code of its own where it would run as this session's user. */
	" UNION ALL SELECT pg_catalog.format('the role %I is a member of slotbell_owner, and"
	" what it puts into the schema would run here as %I', m.name, session_user),"
	" CASE WHEN $1::boolean"
	"  THEN pg_catalog.format('REVOKE slotbell_owner FROM %I;', m.name)"
	"  ELSE pg_catalog.format('Run this as %1$I. Or, if you trust all that it did as"
	" slotbell_owner: REVOKE slotbell_owner FROM %1$I;', m.name) END, false"
	" FROM member m"
	" UNION ALL SELECT pg_catalog.format('by default privileges %s has rights on what"
	" slotbell_owner creates here', " GRANTEE "),"
	" 'ALTER DEFAULT PRIVILEGES FOR ROLE slotbell_owner … REVOKE …; psql lists them with"
	" \\ddp', false"
	" FROM ours o JOIN pg_catalog.pg_default_acl d ON d.defaclrole = o.oid"
	" CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a"
	" WHERE o.is_owner AND a.grantee <> o.oid"
	" UNION ALL SELECT pg_catalog.format('the role %I was there before, with members: %s',"
	" o.name, pg_catalog.string_agg(pg_catalog.quote_ident(j.name), ', ' ORDER BY j.name)),"
	" 'A role is the whole cluster''s: its members have its rights in this database too."
	" REVOKE takes them away.', true"
	" FROM ours o JOIN joined j ON j.roleid = o.oid"
	" WHERE $1::boolean AND NOT o.is_owner GROUP BY o.name";

/*
 * The columns of slotbell.migration as text. With an empty search_path every
 * name that is not of pg_catalog would have its schema before it.
 */
#define COLUMNS                                                                         \
	"(SELECT pg_catalog.string_agg(pg_catalog.format('%s %s%s%s%s%s', a.attname,"   \
	"  pg_catalog.format_type(a.atttypid, a.atttypmod),"                            \
	"  CASE WHEN a.attnotnull THEN ' NOT NULL' END, a.attidentity, a.attgenerated," \
	"  ' DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)), ', '"            \
	"  ORDER BY a.attnum) FROM pg_catalog.pg_attribute a"                           \
	" LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid"                  \
	"  AND d.adnum = a.attnum"                                                      \
	" WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped)"

#define EXPECTED_COLUMNS                                  \
	"'version integer NOT NULL, name text NOT NULL, " \
	"applied_at timestamp with time zone NOT NULL DEFAULT now()'"

static const char schema_sql[] =
	"WITH space AS ("
	"  SELECT n.oid, n.nspowner, n.nspacl, o.oid AS owner FROM pg_catalog.pg_namespace n"
	"  LEFT JOIN pg_catalog.pg_roles o ON o.rolname = 'slotbell_owner'"
	"  WHERE n.nspname = 'slotbell'"
	"), object (class, oid, space, owner) AS ("
	"  SELECT tableoid, oid, relnamespace, relowner FROM pg_catalog.pg_class UNION ALL"
	"  SELECT tableoid, oid, pronamespace, proowner FROM pg_catalog.pg_proc UNION ALL"
	"  SELECT t.tableoid, t.oid, t.typnamespace, t.typowner FROM pg_catalog.pg_type t"
	/* An array type is its element's owner's. */
	"  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid) UNION ALL"
	"  SELECT tableoid, oid, oprnamespace, oprowner FROM pg_catalog.pg_operator UNION ALL"
	"  SELECT tableoid, oid, opcnamespace, opcowner FROM pg_catalog.pg_opclass UNION ALL"
	"  SELECT tableoid, oid, opfnamespace, opfowner FROM pg_catalog.pg_opfamily UNION ALL"
	"  SELECT tableoid, oid, collnamespace, collowner FROM pg_catalog.pg_collation UNION ALL"
	"  SELECT tableoid, oid, connamespace, conowner FROM pg_catalog.pg_conversion UNION ALL"
	"  SELECT tableoid, oid, stxnamespace, stxowner FROM pg_catalog.pg_statistic_ext UNION ALL"
	"  SELECT tableoid, oid, cfgnamespace, cfgowner FROM pg_catalog.pg_ts_config UNION ALL"
	"  SELECT tableoid, oid, dictnamespace, dictowner FROM pg_catalog.pg_ts_dict"
	"), relation AS ("
	"  SELECT c.*, pg_catalog.pg_describe_object(c.tableoid, c.oid, 0) AS words"
	"  FROM space s JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid"
	"), record AS ("
	"  SELECT r.* FROM relation r WHERE r.relname = 'migration'"
	"), problem (words, hint) AS ("
	"  SELECT pg_catalog.format('the schema slotbell belongs to %I, not to slotbell_owner:"
	" Slotbell did not make it', pg_catalog.pg_get_userbyid(s.nspowner)),"
	"  'It makes its schema itself. If this one may go: DROP SCHEMA slotbell CASCADE;'"
	"  FROM space s WHERE s.nspowner IS DISTINCT FROM s.owner"
	"  UNION ALL SELECT pg_catalog.format('%s may create in the schema slotbell', " GRANTEE "),"
	"  'REVOKE CREATE ON SCHEMA slotbell FROM …;'"
	"  FROM space s CROSS JOIN LATERAL pg_catalog.aclexplode(s.nspacl) a"
	"  WHERE a.grantee <> s.nspowner AND a.privilege_type = 'CREATE'"
	"  UNION ALL SELECT pg_catalog.format('%s belongs to %I, not to slotbell_owner',"
	"   pg_catalog.pg_describe_object(o.class, o.oid, 0),"
	"   pg_catalog.pg_get_userbyid(o.owner)),"
	"  'Slotbell did not make it: drop it. After pg_restore --no-owner instead:"
	" ALTER … OWNER TO slotbell_owner;'"
	"  FROM space s JOIN object o ON o.space = s.oid AND o.owner IS DISTINCT FROM s.owner"
	"  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e"
	"   ON e.oid = d.refobjid AND e.extnamespace = s.oid WHERE d.classid = o.class"
	"   AND d.objid = o.oid AND d.refclassid = e.tableoid AND d.deptype = 'e')"
	"  UNION ALL SELECT pg_catalog.format('the extension %I is in the schema slotbell',"
	"   e.extname), pg_catalog.format('ALTER EXTENSION %1$I SET SCHEMA public; or"
	" DROP EXTENSION %1$I;', e.extname)"
	"  FROM space s JOIN pg_catalog.pg_extension e ON e.extnamespace = s.oid"
	"  UNION ALL SELECT pg_catalog.format('%s calls a function from outside the schema',"
	"   pg_catalog.pg_describe_object(t.tableoid, t.oid, 0)), 'DROP TRIGGER … ON …;'"
	"  FROM relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal"
	"  JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid AND p.pronamespace <> r.relnamespace"
	"  UNION ALL SELECT pg_catalog.format('%s is not of Slotbell',"
	"   pg_catalog.pg_describe_object(w.tableoid, w.oid, 0)), 'DROP RULE … ON …;'"
	"  FROM relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid"
	"   AND (w.ev_type <> '1' OR r.relkind <> 'v')"
	"  UNION ALL SELECT pg_catalog.format('%s has a parent or a child', r.words),"
	"   'ALTER TABLE … NO INHERIT …;'"
	"  FROM relation r JOIN pg_catalog.pg_inherits i ON r.oid IN (i.inhrelid, i.inhparent)"
	"  WHERE r.relkind = 'r'"
	"  UNION ALL SELECT pg_catalog.format('%s may write to slotbell.migration', " GRANTEE "),"
	"  'REVOKE ALL ON TABLE slotbell.migration FROM …;'"
	"  FROM record r CROSS JOIN LATERAL pg_catalog.aclexplode(r.relacl) a"
	"  WHERE a.grantee <> r.relowner AND a.privilege_type <> 'SELECT'"
	"  UNION ALL SELECT 'slotbell.migration is not the table that Slotbell makes',"
	"   'It has a row for each step of the schema that was applied. Take it from a backup.'"
	"  FROM space s LEFT JOIN record r ON true WHERE NOT coalesce("
	"   r.relkind = 'r' AND r.relpersistence = 'p' AND NOT r.relrowsecurity"
	"   AND NOT r.relforcerowsecurity AND NOT r.relispartition AND r.reloftype = 0"
	"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = r.oid)"
	"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = r.oid)"
	"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = r.oid"
	"    AND c.contype NOT IN ('p', 'n'))"
	"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = r.oid"
	"    AND NOT (i.indisprimary AND i.indkey::pg_catalog.text = '1'"
	"     AND i.indexprs IS NULL AND i.indpred IS NULL))"
	"   AND " COLUMNS " = " EXPECTED_COLUMNS ", false)"
	") SELECT words, hint, false FROM problem ORDER BY words";

/* Says what the query found. False: some of it is no mere warning, or the query failed. */
static bool judge(PGconn *database, const char *sql, int count, const char *const *values)
{
	PGresult *result = sb_database_query(database, sql, count, values);
	int errors = 0;

	for (int row = 0; result && row < PQntuples(result); row++) {
		const char *words = PQgetvalue(result, row, WORDS);

		if (*PQgetvalue(result, row, IS_WARNING) == 't')
			sb_ctl_say("warning: %s", words);
		else if (errors++ == 0)
			sb_ctl_fail("%s", words);
		else
			sb_ctl_say("  and: %s", words);
		sb_ctl_say("  hint: %s", PQgetvalue(result, row, HINT));
	}
	PQclear(result);
	return result && errors == 0;
}

bool sb_trust_roles(PGconn *database, bool creating)
{
	const char *const values[] = {creating ? "t" : "f"};

	return judge(database, roles_sql, 1, values);
}

bool sb_trust_schema(PGconn *database)
{
	return judge(database, schema_sql, 0, NULL);
}
