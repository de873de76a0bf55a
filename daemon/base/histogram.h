/*
 * How long things took: a histogram of fixed buckets, so that one more costs
 * the same however many there were. Exact counts, no percentiles here: whoever
 * reads the metrics makes those.
 */
#ifndef SB_BASE_HISTOGRAM_H
#define SB_BASE_HISTOGRAM_H

#include <stdint.h>

/* Upper bounds of the buckets for latencies, in microseconds, each included; one more bucket is for
 * what lies above. */
#define SB_LATENCY_BUCKETS 16
extern const uint32_t sb_latency_bounds_us[SB_LATENCY_BUCKETS];

/* All zero: empty. */
struct sb_histogram {
	uint64_t buckets[SB_LATENCY_BUCKETS + 1]; /* not cumulative */
	uint64_t sum_us;
};

/* Of a time below zero (a clock was set back) counts as zero. */
void sb_histogram_add(struct sb_histogram *histogram, int64_t us);

#endif
