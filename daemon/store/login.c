/* One question; see login.h. */
#include "daemon/store/login.h"
#include <stdio.h>

const char sb_pg_login_sql[] =
	"SELECT r.rolsuper, pg_catalog.pg_has_role(r.oid, n.nspowner, 'MEMBER') OR coalesce("
	"pg_catalog.pg_has_role(r.oid, pg_catalog.to_regrole('slotbell_owner')::pg_catalog.oid, "
	"'MEMBER'), false) "
	"FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n "
	"WHERE r.rolname OPERATOR(pg_catalog.=) session_user "
	"AND n.nspname OPERATOR(pg_catalog.=) 'slotbell'";

void sb_pg_login_judge(char *ret_words, size_t size, const PGconn *conn, const PGresult *result)
{
	const char *what;

	*ret_words = '\0';
	if (PQntuples(result) != 1)
		return;
	if (PQgetvalue(result, 0, 0)[0] == 't')
		what = "is a superuser";
	else if (PQgetvalue(result, 0, 1)[0] == 't')
		what = "owns the schema slotbell, or is a member of the role that does";
	else
		return;
	(void)snprintf(ret_words, size,
		       "the role \"%.63s\" %s; let slotbelld log in as a role that is a member of "
		       "slotbell_daemon and of nothing else",
		       PQuser(conn), what);
}
