/*
 * slotbellctl as it is, but for one thing: its wall clock is as many seconds
 * ahead as SLOTBELL_CLOCK_AHEAD says. For test_ctl_doctor.py, which may not set the
 * machine's. The name of the variable is one that doctor's worker is given too.
 */
#include <stdlib.h>
#include <time.h>

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	const char *ahead = getenv("SLOTBELL_CLOCK_AHEAD");

	if (clock == CLOCK_REALTIME && ahead)
		now->tv_sec += strtol(ahead, NULL, 10);
	return result;
}
