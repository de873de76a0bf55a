/*
 * Time and chance, as core gets them: from the loop in the daemon, from the
 * test in a unit test. So a minute passes in a microsecond there.
 */
#ifndef SB_BASE_CLOCK_H
#define SB_BASE_CLOCK_H

#include <stdint.h>

struct sb_clock {
	uint64_t (*now_ms)(struct sb_clock *clock); /* monotonic, any origin */
	int64_t (*wall_us)(struct sb_clock *clock); /* Unix time, microseconds */
	uint32_t (*random)(struct sb_clock *clock); /* uniform over uint32_t */
};

#endif
