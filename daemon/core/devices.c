/* The hash of devices: its entries are sessions themselves. */
#include "daemon/core/devices.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"
#include <errno.h>
#include <string.h>

struct sb_session *sb_devices_find(struct sb_hub *hub, int64_t device_id)
{
	struct sb_session *first;

	HASH_FIND(hh_device, hub->devices, &device_id, sizeof(device_id), first);
	return first;
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
	HASH_ADD(hh_device, hub->devices, device_id, sizeof(session->device_id), session);
	return session->hh_device.tbl ? 0 : -ENOMEM;
}

void sb_devices_remove(struct sb_hub *hub, struct sb_session *session)
{
	struct sb_session *first = sb_devices_find(hub, session->device_id);

	if (first == session) {
		struct sb_session *heir = session->device_next;

		/* The heir first: two entries of one key are only a moment's matter, an emptied
		 * table would have to be made anew. */
		if (heir)
			HASH_ADD(hh_device, hub->devices, device_id, sizeof(heir->device_id), heir);
		HASH_DELETE(hh_device, hub->devices, session);
		return;
	}
	for (; first; first = first->device_next) {
		if (first->device_next == session) {
			first->device_next = session->device_next;
			return;
		}
	}
}
