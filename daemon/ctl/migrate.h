/*
 * Bringing a database's schema to this program's version.
 *
 * The SQL files of config/sql are in the program itself (embed.cmake puts them
 * there), so it and what it installs are always of one release.
 */
#ifndef SB_CTL_MIGRATE_H
#define SB_CTL_MIGRATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* One file of config/sql. */
struct sb_schema_file {
	const char *name;	  /* its path below config/sql, without .sql */
	const unsigned char *sql; /* UTF-8, terminated */
};

/* A step of the schema: a file, or a folder of files, whose number is the version that it leads to.
 */
struct sb_schema_step {
	int version;
	const char *name; /* "001_schema", as slotbell.migration records it */
	const struct sb_schema_file *files;
	size_t file_count; /* at least 1 */
};

/* Ascending by version, and never empty. Generated. */
extern const struct sb_schema_step sb_schema_steps[];
extern const size_t sb_schema_step_count;

struct sb_migrated {
	int version;			     /* the schema's now */
	const struct sb_schema_step **steps; /* that were applied just now; to be freed */
	size_t count;
};

/*
 * Applies the steps that the database has not seen, each in one transaction
 * with its row in slotbell.migration and with that table locked, so that two at
 * once are safe: each applies what the other has not. What is applied is said
 * as it goes. `may_create`: a database without the schema gets it; else that is
 * refused, as is a newer schema than ours, and one that is not to be believed
 * (trust.h). Whoever is no superuser acts as slotbell_owner within those
 * transactions, and is no member of it afterwards. False: said why; steps
 * before the one that failed stay applied.
 */
bool sb_migrate(PGconn *database, bool may_create, struct sb_migrated *ret_migrated);

#endif
