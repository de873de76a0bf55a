/*
 * The version of the schema `slotbell` (config/sql) that this build speaks to.
 *
 * slotbellctl brings a database to it, slotbelld checks for it at each
 * connect. A step in config/sql raises it by one.
 *
 * A daemon works with this version and with the next one. So an upgrade goes
 * schema first, then daemons, and the daemons can be rolled back.
 */
#ifndef SB_STORE_SCHEMA_VERSION_H
#define SB_STORE_SCHEMA_VERSION_H

#include <stdbool.h>

#define SB_SCHEMA_VERSION 9

/* Whether a daemon of this build works with a schema of that version. */
static inline bool sb_schema_version_fits(int version)
{
	return version == SB_SCHEMA_VERSION || version == SB_SCHEMA_VERSION + 1;
}

#endif
