/*
 * A table from a 64-bit id to the thing that carries it: open addressing, eight
 * bytes a place. The things are the caller's; a table only points to them.
 *
 * For what there are thousands of: uthash's handle in each of them takes 56.
 */
#ifndef SB_CORE_TABLE_H
#define SB_CORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct sb_table {
	void **places; /* a power of two of them; NULL before the first thing */
	size_t size;
	size_t count;
	size_t id_offset; /* where a thing carries its id, an int64_t or uint64_t */
};

void sb_table_init(struct sb_table *table, size_t id_offset);
/* Forgets what is in it. */
void sb_table_fini(struct sb_table *table);

/* 0, or -ENOMEM. Nothing with this id is in it. */
int sb_table_add(struct sb_table *table, void *thing);
/* The thing, and no other of its id, is in it. Never fails, and never moves memory. */
void sb_table_remove(struct sb_table *table, const void *thing);
/* Another of the same id takes its place. */
void sb_table_replace(struct sb_table *table, const void *thing, void *other);
void *sb_table_find(const struct sb_table *table, uint64_t id);

/* Walks in no order: NULL begins, NULL ends. Nothing is added or removed meanwhile. */
void *sb_table_next(const struct sb_table *table, const void *thing);

#endif
