/*
 * Writing metrics, as OpenMetrics 1.0 or as Prometheus' older text format 0.0.4;
 * the reader's Accept header decides. What metrics there are is up to the app.
 *
 *     sb_metrics_counter(m, "slotbell_closes", "Sessions ended, by reason.");
 *     sb_metrics_count(m, "reason", "lost", 3);
 *
 * Errors stick to `text`.
 */
#ifndef SB_OPS_METRICS_H
#define SB_OPS_METRICS_H

#include "daemon/base/histogram.h"
#include "protocol/text.h"
#include <stdbool.h>
#include <stdint.h>

struct sb_metrics {
	struct sb_text text;
	bool openmetrics;
	const char *name; /* of the family that values belong to */
	bool is_counter;
};

void sb_metrics_begin(struct sb_metrics *metrics, bool openmetrics);
/* The text is complete; the caller's to give to sb_text_fini(). */
void sb_metrics_end(struct sb_metrics *metrics);

/* Begins a family. `name` without "_total", `help` a sentence; both borrowed until the next one. */
void sb_metrics_counter(struct sb_metrics *metrics, const char *name, const char *help);
void sb_metrics_gauge(struct sb_metrics *metrics, const char *name, const char *help);
void sb_metrics_histogram(struct sb_metrics *metrics, const char *name, const char *help);

/* A value of the family; label NULL: it has none. Label values are words that need no escaping. */
void sb_metrics_count(struct sb_metrics *metrics, const char *label, const char *label_value,
		      uint64_t value);
void sb_metrics_value(struct sb_metrics *metrics, const char *label, const char *label_value,
		      double value);

/* One histogram: `bounds` and `buckets` as in base/histogram.h, times `unit` (0.000001 for
 * microseconds in a family that counts seconds). */
void sb_metrics_buckets(struct sb_metrics *metrics, const char *label, const char *label_value,
			const uint32_t *bounds, size_t bound_count, const uint64_t *buckets,
			uint64_t sum, double unit);

/* A whole family of one histogram of latencies. */
void sb_metrics_latency(struct sb_metrics *metrics, const char *name, const char *help,
			const struct sb_histogram *histogram);

/* Of this process, by the names that every exporter uses: memory, CPU, start, files. */
void sb_metrics_process(struct sb_metrics *metrics, double started_at_s);

#endif
