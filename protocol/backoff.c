/* Full jitter. The caller brings the randomness, so a test can bring its own. */
#include "protocol/backoff.h"

void sb_backoff_init(struct sb_backoff *backoff, uint32_t min_ms, uint32_t max_ms)
{
	*backoff = (struct sb_backoff){.min_ms = min_ms, .max_ms = max_ms};
}

uint32_t sb_backoff_next(struct sb_backoff *backoff, uint32_t random)
{
	uint64_t ceiling = backoff->max_ms;

	/* From 32 doublings on every min_ms but 0 is beyond every max_ms. */
	if (backoff->failures < 32 && (uint64_t)backoff->min_ms << backoff->failures < ceiling)
		ceiling = (uint64_t)backoff->min_ms << backoff->failures;
	if (backoff->min_ms == 0)
		ceiling = 0;
	if (backoff->failures < UINT32_MAX)
		backoff->failures++;
	/* random / 2^32 of the way through 0 .. ceiling, both ends included */
	return (uint32_t)((random * (ceiling + 1)) >> 32);
}

void sb_backoff_reset(struct sb_backoff *backoff)
{
	backoff->failures = 0;
}
