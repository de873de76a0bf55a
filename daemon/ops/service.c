/* sd_notify's variables; see service.h. A manager that does not hear us must not stop us. */
#include "daemon/ops/service.h"
#include <inttypes.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void sb_service_ready(uint16_t port)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=Listening on port %u", port);
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

void sb_service_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Draining");
}
