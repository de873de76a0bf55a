/*
 * What the service manager is told, sd_notify(3). Without one nothing happens.
 *
 * systemd before 253 has no Type=notify-reload: the unit's ExecReload sends
 * SIGHUP, and RELOADING=1 … READY=1 is all that `systemctl reload` knows of it.
 */
#ifndef SB_OPS_SERVICE_H
#define SB_OPS_SERVICE_H

#include <stdint.h>

void sb_service_ready(uint16_t port);
void sb_service_reloading(void);
/* The reload is over, with this status for people. */
void sb_service_reloaded(const char *status);
void sb_service_stopping(void);

#endif
