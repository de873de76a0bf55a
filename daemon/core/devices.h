/*
 * Which sessions a device has here: one live one, and short ones of mode once
 * beside it. A table from device to its first session, the others chained.
 */
#ifndef SB_CORE_DEVICES_H
#define SB_CORE_DEVICES_H

#include <stddef.h>
#include <stdint.h>

struct sb_hub;
struct sb_session;

/* 0, or -ENOMEM. session->device_id is set. */
int sb_devices_add(struct sb_hub *hub, struct sb_session *session);
void sb_devices_remove(struct sb_hub *hub, struct sb_session *session);
/* The first session of this device, the others by their device_next; or NULL. */
struct sb_session *sb_devices_find(struct sb_hub *hub, int64_t device_id);

#endif
