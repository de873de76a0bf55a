/* The process' limit on descriptors. */
#include "daemon/ops/descriptors.h"
#include <sys/resource.h>

/* The loop, the database, the log and what libraries hold; and some connections that are told
 * that the house is full. */
#define BESIDE 256

uint64_t sb_descriptors_wanted(uint32_t sessions, uint32_t handshakes)
{
	return (uint64_t)sessions + handshakes + BESIDE;
}

uint64_t sb_descriptors_limit(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* a sandbox may forbid it: then it stays */
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}
