/*
 * The first statements of each connection to PostgreSQL.
 */
#ifndef SB_STORE_FIRST_H
#define SB_STORE_FIRST_H

/*
 * The owner of the database, and the role itself, may have set a search_path;
 * and in PostgreSQL 14 everybody may create functions in public, one of
 * which may fit a call better than pg_catalog's. What such a function does, it
 * does with the daemon's rights. From this statement on an unqualified name is
 * pg_catalog's. It comes alone, for the names in a statement are looked up
 * before any of it is run.
 */
#define SB_PG_FIRST "SELECT pg_catalog.set_config('search_path', '', false)"

/*
 * The second one. Whoever may create in the database can make a schema slotbell
 * with functions that run as the daemon's role. It fails, with SB_PG_FOREIGN,
 * where there is one that is not slotbell_owner's; and with it all that is sent
 * behind it.
 */
#define SB_PG_OWNED                                                            \
	"SELECT 1 / (1 - pg_catalog.count(*)) FROM pg_catalog.pg_namespace n " \
	"JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner "                    \
	"WHERE n.nspname = 'slotbell' AND r.rolname <> 'slotbell_owner'"
#define SB_PG_FOREIGN "22012" /* division by zero; no other statement of ours divides */

#endif
