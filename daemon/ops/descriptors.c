/* The process' limit on descriptors. */
#include "daemon/ops/descriptors.h"
#include <sys/resource.h>

/* The loop, the database, the log and what libraries hold. */
#define BESIDE 192

uint64_t sb_descriptors_wanted(uint32_t sessions)
{
	return (uint64_t)sessions + sessions / 4 + 64 + BESIDE;
}

uint64_t sb_descriptors_now(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

uint64_t sb_descriptors_limit(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* a sandbox may forbid it: then it stays */
	return sb_descriptors_now();
}
