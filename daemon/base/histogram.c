/* Counting into buckets. */
#include "daemon/base/histogram.h"

const uint32_t sb_latency_bounds_us[SB_LATENCY_BUCKETS] = {
	250,	500,	1000,	2000,	 5000,	  10000,   20000,    50000,
	100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 60000000,
};

void sb_histogram_add(struct sb_histogram *histogram, int64_t us)
{
	uint64_t value = us > 0 ? (uint64_t)us : 0;
	int i = 0;

	while (i < SB_LATENCY_BUCKETS && value > sb_latency_bounds_us[i])
		i++;
	histogram->buckets[i]++;
	histogram->sum_us += value;
}
