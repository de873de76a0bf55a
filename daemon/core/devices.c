/* The table of devices: its entries are sessions themselves. */
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"

struct sb_session *sb_devices_find(struct sb_hub *hub, int64_t device_id)
{
	return sb_table_find(&hub->devices, (uint64_t)device_id);
}

size_t sb_devices_count_short(struct sb_hub *hub, int64_t device_id)
{
	const struct sb_session *session = sb_devices_find(hub, device_id);
	size_t count = 0;

	for (; session; session = session->device_next)
		count += session->role != SB_ROLE_LIVE;
	return count;
}

int sb_devices_add(struct sb_hub *hub, struct sb_session *session)
{
	struct sb_session *first = sb_devices_find(hub, session->device_id);

	if (first) {
		session->device_next = first->device_next;
		first->device_next = session;
		return 0;
	}
	session->device_next = NULL;
	return sb_table_add(&hub->devices, session);
}

void sb_devices_remove(struct sb_hub *hub, struct sb_session *session)
{
	struct sb_session *first = sb_devices_find(hub, session->device_id);

	if (first == session && session->device_next) {
		sb_table_replace(&hub->devices, session, session->device_next);
		return;
	}
	if (first == session) {
		sb_table_remove(&hub->devices, session);
		return;
	}
	for (; first; first = first->device_next) {
		if (first->device_next == session) {
			first->device_next = session->device_next;
			return;
		}
	}
}
