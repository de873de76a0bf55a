/* The arithmetic of epochs. */
#include "daemon/core/numbering.h"

enum sb_verdict sb_numbering_judge(const struct sb_numbering *numbering,
				   const struct sb_cursor *cursor)
{
	if (sb_epoch_equal(&cursor->epoch, &numbering->epoch))
		return cursor->seq <= numbering->head ? SB_VERDICT_GOOD : SB_VERDICT_BEYOND;
	if (numbering->previous_epoch.text[0] &&
	    sb_epoch_equal(&cursor->epoch, &numbering->previous_epoch) &&
	    cursor->seq <= numbering->base)
		return SB_VERDICT_GOOD;
	return SB_VERDICT_EPOCH;
}

int64_t sb_numbering_distance(const struct sb_numbering *numbering, int64_t from, int64_t to)
{
	int64_t distance = to - from;

	if (distance <= 0)
		return 0;
	if (numbering->previous_epoch.text[0] && from <= numbering->base &&
	    to >= numbering->base + SB_EPOCH_JUMP)
		distance -= SB_EPOCH_JUMP;
	return distance;
}
