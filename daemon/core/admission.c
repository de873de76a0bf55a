/* The timetable of those who come back. */
#include "daemon/core/admission.h"

#define US_PER_MS     UINT64_C(1000)
#define US_PER_SECOND UINT64_C(1000000)

/* Uniform over [0, range). */
static uint64_t scale(uint32_t random, uint64_t range)
{
	return (random * range) >> 32;
}

uint32_t sb_admission_return_ms(struct sb_admission *admission, uint64_t now_ms,
				uint32_t per_second, uint32_t random)
{
	uint64_t now_us = now_ms * US_PER_MS;
	uint64_t first_us = now_us + SB_RETURN_MIN_MS * US_PER_MS;
	uint64_t last_us = now_us + SB_RETURN_MAX_MS * US_PER_MS;
	uint64_t slot_us = (US_PER_SECOND + per_second - 1) / per_second;
	uint64_t begin_us = admission->next_us > first_us ? admission->next_us : first_us;

	if (begin_us + slot_us > last_us)
		return SB_RETURN_MAX_MS / 2 + (uint32_t)scale(random, SB_RETURN_MAX_MS / 2 + 1);
	admission->next_us = begin_us + slot_us;
	return (uint32_t)((begin_us + scale(random, slot_us)) / US_PER_MS - now_ms);
}
