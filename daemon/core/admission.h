/*
 * When a client that is sent away should come back: each answer takes the next
 * free slot of a timetable, so all answers together add up to a rate that the
 * daemon can take, whoever asked, and why.
 *
 * Slots are 1/per_second apart. An answer lies anywhere within its own slot, so
 * that the clients of two daemons do not come in step.
 */
#ifndef SB_CORE_ADMISSION_H
#define SB_CORE_ADMISSION_H

#include <stdint.h>

/* Nobody comes back sooner than this. */
#define SB_RETURN_MIN_MS 500
/*
 * Nobody is sent away for longer. When every slot up to there is taken, the
 * answers are spread over the later half of this time and take no slot; who
 * comes then is told anew.
 */
#define SB_RETURN_MAX_MS 600000

/* All zero: no slot is taken. */
struct sb_admission {
	uint64_t next_us; /* when the next free slot begins */
};

/*
 * The next answer, in ms from now: SB_RETURN_MIN_MS to SB_RETURN_MAX_MS.
 * per_second is at least 1, and may be another at each call: it holds for the
 * slots that are given from now on. random is uniform over uint32_t.
 */
uint32_t sb_admission_return_ms(struct sb_admission *admission, uint64_t now_ms,
				uint32_t per_second, uint32_t random);

#endif
