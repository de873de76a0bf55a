/*
 * slotbell-plugin as it is, but for one thing: SIGUSR2 sets its wall clock an
 * hour ahead, as waking from sleep does. For test_plugin_clock.py, which may
 * not set the machine's.
 */
#include <signal.h>
#include <time.h>

static volatile sig_atomic_t hours;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += 3600 * (time_t)hours;
	return result;
}

static void on_signal(int number)
{
	(void)number;
	hours = hours + 1;
}

__attribute__((constructor)) static void begin(void)
{
	signal(SIGUSR2, on_signal);
}
