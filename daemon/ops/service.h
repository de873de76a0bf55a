/*
 * What the service manager is told, sd_notify(3), and what it wants to hear.
 * Without one nothing happens.
 *
 * systemd before 253 has no Type=notify-reload: the unit's ExecReload sends
 * SIGHUP, and RELOADING=1 … READY=1 is all that `systemctl reload` knows of it.
 */
#ifndef SB_OPS_SERVICE_H
#define SB_OPS_SERVICE_H

#include <stdint.h>

/* Each status is a line for people. */
void sb_service_ready(const char *status);
void sb_service_reloading(void);
void sb_service_reloaded(const char *status);
/* Ends by itself within `within_ms`: it is given so long, whatever TimeoutStopSec= says. */
void sb_service_stopping(uint64_t within_ms);
/* Longer ones are cut. */
#define SB_SERVICE_STATUS_MAX 512
void sb_service_status(const char *status);

/* WatchdogSec=: the manager kills us when it was not fed for so long; 0: it does not watch. */
uint64_t sb_service_watchdog_ms(void);
void sb_service_feed_watchdog(void);

#endif
