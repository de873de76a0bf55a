/* sd_notify's variables; see service.h. A manager that does not hear us must not stop us. */
#include "daemon/ops/service.h"
#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void sb_service_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* With the time, so that a manager tells this reload from one that it asks for meanwhile. */
void sb_service_reloading(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
			 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void sb_service_reloaded(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void sb_service_stopping(uint64_t within_ms)
{
	(void)sd_notifyf(0, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=%" PRIu64,
			 within_ms * 1000);
}

/*
 * What a database says may be in it. A line break would begin another variable,
 * and a status that is not UTF-8, as one is that was cut somewhere, is not shown
 * at all: so it is ASCII.
 */
void sb_service_status(const char *status)
{
	char line[SB_SERVICE_STATUS_MAX];
	size_t len = strnlen(status, sizeof(line) - 1);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)status[i];

		line[i] = (char)(c < ' ' ? ' ' : c < 0x7f ? c : '?');
	}
	line[len] = '\0';
	(void)sd_notifyf(0, "STATUS=%s", line);
}

uint64_t sb_service_watchdog_ms(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec / 1000 : 0;
}

void sb_service_feed_watchdog(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}
