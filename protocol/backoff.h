/*
 * How a client comes back: full jitter. Wait random(0, min(max_ms, min_ms * 2^n)),
 * unless the server said when.
 */
#ifndef SB_PROTOCOL_BACKOFF_H
#define SB_PROTOCOL_BACKOFF_H

#include <stdint.h>

struct sb_backoff {
	uint32_t min_ms;   /* ceiling of the first wait */
	uint32_t max_ms;   /* ceiling of every wait */
	uint32_t failures; /* tries since the last success */
};

void sb_backoff_init(struct sb_backoff *backoff, uint32_t min_ms, uint32_t max_ms);

/* A try failed: returns how long to wait, in ms. `random` is uniform over all of uint32_t. */
uint32_t sb_backoff_next(struct sb_backoff *backoff, uint32_t random);

/* A try succeeded: the next failure starts from min_ms again. */
void sb_backoff_reset(struct sb_backoff *backoff);

#endif
