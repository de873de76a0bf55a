/* Spreading the come-back of a crowd. */
#include "daemon/core/admission.h"

uint32_t sb_admission_return_ms(size_t crowd, uint32_t per_second, uint32_t min_ms, uint32_t random)
{
	uint64_t spread_ms = ((uint64_t)crowd * 1000) / (per_second ? per_second : 1);

	/* Even a small crowd must not come in one instant; a huge one not only tomorrow. */
	if (spread_ms < 1000)
		spread_ms = 1000;
	if (spread_ms > 600000)
		spread_ms = 600000;
	return min_ms + (uint32_t)((random * spread_ms) >> 32);
}
