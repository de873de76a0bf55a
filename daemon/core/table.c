/* Linear probing; a removal moves what stood behind it forward, so no place is ever half free. */
#include "daemon/core/table.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 16

static uint64_t id_of(const struct sb_table *table, const void *thing)
{
	uint64_t id;

	memcpy(&id, (const char *)thing + table->id_offset, sizeof(id));
	return id;
}

/* Where a thing of this id would stand if all were empty (Fibonacci hashing: ids are consecutive).
 */
static size_t home(const struct sb_table *table, uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (table->size - 1);
}

/* The place of this id, or the free one where it would go. There is one. */
static size_t look(const struct sb_table *table, uint64_t id)
{
	size_t at = home(table, id);

	while (table->places[at] && id_of(table, table->places[at]) != id)
		at = (at + 1) & (table->size - 1);
	return at;
}

void sb_table_init(struct sb_table *table, size_t id_offset)
{
	*table = (struct sb_table){.id_offset = id_offset};
}

void sb_table_fini(struct sb_table *table)
{
	free(table->places);
	sb_table_init(table, table->id_offset);
}

static bool is_full(const struct sb_table *table)
{
	return table->count >= table->size / 4 * 3;
}

static int grow(struct sb_table *table)
{
	struct sb_table grown = {.size = table->size ? 2 * table->size : SIZE_MIN,
				 .count = table->count,
				 .id_offset = table->id_offset};

	grown.places = calloc(grown.size, sizeof(*grown.places));
	if (!grown.places)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++) {
		if (table->places[i])
			grown.places[look(&grown, id_of(table, table->places[i]))] =
				table->places[i];
	}
	free(table->places);
	*table = grown;
	return 0;
}

int sb_table_add(struct sb_table *table, void *thing)
{
	/* Without memory it is filled further, to the last place but one: a look must end. */
	if (is_full(table) && grow(table) != 0 && table->count + 1 >= table->size)
		return -ENOMEM;
	table->places[look(table, id_of(table, thing))] = thing;
	table->count++;
	return 0;
}

void sb_table_remove(struct sb_table *table, const void *thing)
{
	size_t mask = table->size - 1, free_at = look(table, id_of(table, thing));

	for (size_t at = (free_at + 1) & mask; table->places[at]; at = (at + 1) & mask) {
		size_t wants = home(table, id_of(table, table->places[at]));

		/* It may go forward if that is not before where it wants to be. */
		if (((at - wants) & mask) < ((at - free_at) & mask))
			continue;
		table->places[free_at] = table->places[at];
		free_at = at;
	}
	table->places[free_at] = NULL;
	table->count--;
}

void sb_table_replace(struct sb_table *table, const void *thing, void *other)
{
	table->places[look(table, id_of(table, thing))] = other;
}

void *sb_table_find(const struct sb_table *table, uint64_t id)
{
	return table->size ? table->places[look(table, id)] : NULL;
}

void *sb_table_next(const struct sb_table *table, const void *thing)
{
	size_t at = thing ? look(table, id_of(table, thing)) + 1 : 0;

	while (at < table->size && !table->places[at])
		at++;
	return at < table->size ? table->places[at] : NULL;
}
