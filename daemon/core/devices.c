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

/* ---- the ids in order ---- */

static void swap(int64_t *a, int64_t *b)
{
	int64_t kept = *a;

	*a = *b;
	*b = kept;
}

/* heap[at] may be smaller than what is below it. */
static void sink(int64_t *heap, size_t count, size_t at)
{
	for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
		if (child + 1 < count && heap[child + 1] > heap[child])
			child++;
		if (heap[at] >= heap[child])
			return;
		swap(&heap[at], &heap[child]);
		at = child;
	}
}

/* heap[at] may be larger than what is above it. */
static void rise(int64_t *heap, size_t at)
{
	for (; at && heap[at] > heap[(at - 1) / 2]; at = (at - 1) / 2)
		swap(&heap[at], &heap[(at - 1) / 2]);
}

/* A heap of the smallest so far, the largest of them on top: no memory is needed that might not be
 * there. */
size_t sb_devices_after(const struct sb_hub *hub, int64_t after, int64_t *ids, size_t max)
{
	const struct sb_session *session = NULL;
	size_t count = 0;

	while (max && (session = sb_table_next(&hub->devices, session))) {
		if (session->device_id <= after)
			continue;
		if (count < max) {
			ids[count] = session->device_id;
			rise(ids, count++);
		} else if (session->device_id < ids[0]) {
			ids[0] = session->device_id;
			sink(ids, count, 0);
		}
	}
	for (size_t left = count; left > 1; left--) {
		swap(&ids[0], &ids[left - 1]);
		sink(ids, left - 1, 0);
	}
	return count;
}
