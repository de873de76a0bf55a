/*
 * Which sessions a device has here: one live one, and short ones beside it. A table from device to
 * its first session, the others chained.
 */
#ifndef SB_CORE_DEVICES_H
#define SB_CORE_DEVICES_H

#include <stddef.h>
#include <stdint.h>

/* Short sessions of one device at once: of mode once, polls, acks. All sessions share
 * sessions.max, so one token must not be enough to fill it. */
#define SB_DEVICE_SHORT_MAX 64

struct sb_hub;
struct sb_session;

/* 0, or -ENOMEM. session->device_id is set. */
int sb_devices_add(struct sb_hub *hub, struct sb_session *session);
void sb_devices_remove(struct sb_hub *hub, struct sb_session *session);
/* The first session of this device, the others by their device_next; or NULL. */
struct sb_session *sb_devices_find(struct sb_hub *hub, int64_t device_id);
/* How many short ones it has. */
size_t sb_devices_count_short(struct sb_hub *hub, int64_t device_id);

/* Ids of the devices held here, ascending, each greater than `after`: the first `max` of them;
 * returns how many. Allocates nothing. */
size_t sb_devices_after(const struct sb_hub *hub, int64_t after, int64_t *ids, size_t max);

#endif
