/* Who was replaced lately, in a hash that is a queue too; see rivals.h. */
#include "daemon/core/rivals.h"
#include <stdlib.h>

/* The analyser does not see that HASH_DEL leaves no pointer to what it took out. */
/* NOLINTBEGIN(clang-analyzer-unix.Malloc) */

static void forget(struct sb_rivals *rivals, struct sb_rival *rival)
{
	HASH_DEL(rivals->by_device, rival);
	free(rival);
}

void sb_rivals_fini(struct sb_rivals *rivals)
{
	struct sb_rival *rival, *next;

	HASH_ITER(hh, rivals->by_device, rival, next)
		forget(rivals, rival);
}

/* The head of the hash is the one that was replaced longest ago. */
static void tidy(struct sb_rivals *rivals, uint64_t now_ms)
{
	struct sb_rival *oldest, *next;

	HASH_ITER(hh, rivals->by_device, oldest, next) {
		if (now_ms - oldest->last_ms < SB_RIVALS_QUICK_MS &&
		    HASH_COUNT(rivals->by_device) <= SB_RIVALS_REMEMBERED_MAX)
			break;
		forget(rivals, oldest);
	}
}

uint32_t sb_rivals_note(struct sb_rivals *rivals, int64_t device_id, uint64_t now_ms)
{
	struct sb_rival *rival;
	uint32_t row = 0;

	tidy(rivals, now_ms);
	HASH_FIND(hh, rivals->by_device, &device_id, sizeof(device_id), rival);
	if (rival) {
		row = rival->row;
		forget(rivals, rival);
	}
	rival = calloc(1, sizeof(*rival));
	if (!rival)
		return 0; /* not remembered: as patient as at first */
	rival->device_id = device_id;
	rival->last_ms = now_ms;
	rival->row = row < UINT32_MAX ? row + 1 : row;
	HASH_ADD(hh, rivals->by_device, device_id, sizeof(rival->device_id), rival);
	if (!rival->hh.tbl) {
		free(rival);
		return 0;
	}
	row = rival->row;
	tidy(rivals, now_ms);
	return row;
}

/* NOLINTEND(clang-analyzer-unix.Malloc) */

uint32_t sb_rivals_wait_ms(const struct sb_rivals *rivals, int64_t device_id, uint64_t now_ms)
{
	const struct sb_rival *rival;
	uint64_t wait = SB_RIVALS_WAIT_MIN_MS, passed;

	HASH_FIND(hh, rivals->by_device, &device_id, sizeof(device_id), rival);
	if (!rival || rival->row < SB_RIVALS_PATIENCE)
		return 0;
	for (uint32_t more = rival->row - SB_RIVALS_PATIENCE; more && wait < SB_RIVALS_WAIT_MAX_MS;
	     more--)
		wait *= 2;
	if (wait > SB_RIVALS_WAIT_MAX_MS)
		wait = SB_RIVALS_WAIT_MAX_MS;
	passed = now_ms - rival->last_ms;
	return passed < wait ? (uint32_t)(wait - passed) : 0;
}
