/* The two formats differ in where "_total" stands and in the last line; see metrics.h. */
#include "daemon/ops/metrics.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void sb_metrics_begin(struct sb_metrics *metrics, bool openmetrics)
{
	*metrics = (struct sb_metrics){.openmetrics = openmetrics};
	sb_text_init(&metrics->text);
}

void sb_metrics_end(struct sb_metrics *metrics)
{
	if (metrics->openmetrics)
		sb_text_append_string(&metrics->text, "# EOF\n");
}

static void append(struct sb_metrics *metrics, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(struct sb_metrics *metrics, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	sb_text_append_string(&metrics->text, line);
}

static void begin_family(struct sb_metrics *metrics, const char *name, const char *help,
			 const char *type)
{
	const char *suffix;

	metrics->name = name;
	metrics->is_counter = !strcmp(type, "counter");
	suffix = metrics->is_counter && !metrics->openmetrics ? "_total" : "";
	append(metrics, "# HELP %s%s %s\n", name, suffix, help);
	append(metrics, "# TYPE %s%s %s\n", name, suffix, type);
}

void sb_metrics_counter(struct sb_metrics *metrics, const char *name, const char *help)
{
	begin_family(metrics, name, help, "counter");
}

void sb_metrics_gauge(struct sb_metrics *metrics, const char *name, const char *help)
{
	begin_family(metrics, name, help, "gauge");
}

void sb_metrics_histogram(struct sb_metrics *metrics, const char *name, const char *help)
{
	begin_family(metrics, name, help, "histogram");
}

/* The name, its labels, and a space. */
static void append_name(struct sb_metrics *metrics, const char *suffix, const char *label,
			const char *label_value, const char *le)
{
	append(metrics, "%s%s", metrics->name, suffix);
	if (label || le)
		append(metrics, "{%s%s%s%s", label ? label : "", label ? "=\"" : "",
		       label ? label_value : "", label ? "\"" : "");
	if (le)
		append(metrics, "%sle=\"%s\"", label ? "," : "", le);
	append(metrics, label || le ? "} " : " ");
}

static const char *suffix_of(const struct sb_metrics *metrics)
{
	return metrics->is_counter ? "_total" : "";
}

void sb_metrics_count(struct sb_metrics *metrics, const char *label, const char *label_value,
		      uint64_t value)
{
	append_name(metrics, suffix_of(metrics), label, label_value, NULL);
	append(metrics, "%llu\n", (unsigned long long)value);
}

void sb_metrics_value(struct sb_metrics *metrics, const char *label, const char *label_value,
		      double value)
{
	append_name(metrics, suffix_of(metrics), label, label_value, NULL);
	append(metrics, "%.15g\n", value);
}

/* OpenMetrics wants bounds spelled one way: with a point. */
static void spell_bound(char text[32], double bound)
{
	(void)snprintf(text, 32, "%g", bound);
	if (!strpbrk(text, ".e"))
		(void)snprintf(text, 32, "%g.0", bound);
}

void sb_metrics_buckets(struct sb_metrics *metrics, const char *label, const char *label_value,
			const uint32_t *bounds, size_t bound_count, const uint64_t *buckets,
			uint64_t sum, double unit)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= bound_count; i++) {
		char le[32] = "+Inf";

		if (i < bound_count)
			spell_bound(le, bounds[i] * unit);
		count += buckets[i];
		append_name(metrics, "_bucket", label, label_value, le);
		append(metrics, "%llu\n", (unsigned long long)count);
	}
	append_name(metrics, "_sum", label, label_value, NULL);
	append(metrics, "%.15g\n", (double)sum * unit);
	append_name(metrics, "_count", label, label_value, NULL);
	append(metrics, "%llu\n", (unsigned long long)count);
}

void sb_metrics_latency(struct sb_metrics *metrics, const char *name, const char *help,
			const struct sb_histogram *histogram)
{
	sb_metrics_histogram(metrics, name, help);
	sb_metrics_buckets(metrics, NULL, NULL, sb_latency_bounds_us, SB_LATENCY_BUCKETS,
			   histogram->buckets, histogram->sum_us, 1e-6);
}

/* ---- the process ---- */

/* The second number of /proc/self/statm, in pages; 0 where there is none. */
static double resident_bytes(void)
{
	char text[128] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	const char *space = len > 0 ? strchr(text, ' ') : NULL;

	if (fd >= 0)
		(void)close(fd);
	return space ? (double)strtoull(space + 1, NULL, 10) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec * 1e-6;
}

void sb_metrics_process(struct sb_metrics *metrics, double started_at_s)
{
	struct rusage usage = {0};
	struct rlimit files = {0};

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	sb_metrics_gauge(metrics, "process_resident_memory_bytes", "Resident memory.");
	sb_metrics_value(metrics, NULL, NULL, resident_bytes());
	sb_metrics_counter(metrics, "process_cpu_seconds", "User and system time used.");
	sb_metrics_value(metrics, NULL, NULL,
			 seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	sb_metrics_gauge(metrics, "process_start_time_seconds", "When it started, Unix time.");
	sb_metrics_value(metrics, NULL, NULL, started_at_s);
	sb_metrics_gauge(metrics, "process_max_fds", "File descriptors it may open.");
	sb_metrics_count(metrics, NULL, NULL, files.rlim_cur);
}
