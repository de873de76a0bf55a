/*
 * When a client that is sent away should come back. The answers given are
 * spread so that together they make a rate that the daemon can take.
 */
#ifndef SB_CORE_ADMISSION_H
#define SB_CORE_ADMISSION_H

#include <stddef.h>
#include <stdint.h>

/*
 * A time to come back in ms: uniform over [min_ms, min_ms + spread), where the
 * spread lets `crowd` clients return at no more than `per_second` each second.
 */
uint32_t sb_admission_return_ms(size_t crowd, uint32_t per_second, uint32_t min_ms,
				uint32_t random);

#endif
