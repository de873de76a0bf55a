/* A sliding count of questions, and what follows from it. See pace.h. */
#include "daemon/store/pace.h"

#define WINDOW_US 100000
/* Questions per window from which on it is busy, and below which it is not any more. */
#define BUSY_FROM  70
#define BUSY_UNTIL 50
/* Questions that come while one is answered, in halves: likewise. */
#define HALVES_FROM  4
#define HALVES_UNTIL 2
#define ANSWERS	     10 /* a distance is so many answers' time at the most */
#define SMOOTHING    8

static void roll(struct sb_pg_pace *pace, uint64_t now_us)
{
	uint64_t passed = now_us - pace->window_us;

	if (passed < WINDOW_US)
		return;
	pace->previous = passed < UINT64_C(2) * WINDOW_US ? pace->count : 0;
	pace->count = 0;
	/* Windows follow each other without a gap, unless nothing came for a while. */
	pace->window_us = pace->previous ? pace->window_us + WINDOW_US : now_us;
}

/* Questions in the last WINDOW_US, taking the window before as evenly filled. */
static uint32_t per_window(struct sb_pg_pace *pace, uint64_t now_us)
{
	roll(pace, now_us);
	return pace->count +
	       (uint32_t)(pace->previous * (WINDOW_US - (now_us - pace->window_us)) / WINDOW_US);
}

void sb_pg_pace_asked(struct sb_pg_pace *pace, uint64_t now_us)
{
	roll(pace, now_us);
	pace->count++;
}

void sb_pg_pace_sent(struct sb_pg_pace *pace, uint64_t now_us)
{
	pace->sent_us = now_us;
}

void sb_pg_pace_answered(struct sb_pg_pace *pace, uint64_t now_us)
{
	uint64_t us = now_us - pace->sent_us;

	if (us > SB_PG_PACE_MAX_US)
		us = SB_PG_PACE_MAX_US;
	pace->answer_us = (pace->answer_us * (SMOOTHING - 1) + (uint32_t)us) / SMOOTHING;
}

static uint32_t distance_us(const struct sb_pg_pace *pace, uint32_t rate)
{
	uint32_t most = pace->answer_us * ANSWERS;
	uint32_t wanted = SB_PG_PACE_ITEMS * (WINDOW_US / rate);

	if (most < SB_PG_PACE_MIN_US)
		most = SB_PG_PACE_MIN_US;
	if (most > SB_PG_PACE_MAX_US)
		most = SB_PG_PACE_MAX_US;
	return wanted < most ? wanted : most;
}

uint32_t sb_pg_pace_wait_us(struct sb_pg_pace *pace, uint64_t now_us)
{
	uint32_t rate = per_window(pace, now_us);
	uint64_t halves = UINT64_C(2) * rate * pace->answer_us / WINDOW_US;
	uint64_t passed = now_us - pace->sent_us;
	uint32_t distance;

	pace->busy = rate >= (pace->busy ? BUSY_UNTIL : BUSY_FROM) ||
		     halves >= (pace->busy ? HALVES_UNTIL : HALVES_FROM);
	if (!pace->busy)
		return 0;
	distance = distance_us(pace, rate);
	return passed < distance ? distance - (uint32_t)passed : 0;
}
