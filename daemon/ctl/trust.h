/*
 * What is looked up in pg_catalog before anything of the schema is believed.
 *
 * A schema `slotbell` may be somebody else's: whoever has CREATE on the
 * database can make one, with a table `migration` whose triggers run with the
 * rights of whoever writes to it. So nothing in the schema is read, locked or
 * written before it is known that it belongs to slotbell_owner, and that nobody
 * acts as slotbell_owner but the caller.
 *
 * Nothing here reads anything but pg_catalog. The caller's transaction is READ
 * COMMITTED, and its search_path is empty.
 */
#ifndef SB_CTL_TRUST_H
#define SB_CTL_TRUST_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * Whether Slotbell's roles are as it makes them: nobody logs in as
 * slotbell_owner, is its member, or has rights on what it will create. A
 * superuser and the session's own user may be members: they gain nothing by it.
 * `creating`: the schema is not there yet. Then the three other roles must not
 * log in either, and a warning says who has them already. False: said why.
 */
bool sb_trust_roles(PGconn *database, bool creating);

/*
 * Whether the schema and all in it belongs to slotbell_owner, slotbell.migration
 * is the table that sb_migrate() makes, and no table calls functions from
 * outside the schema. False: said why.
 */
bool sb_trust_schema(PGconn *database);

#endif
