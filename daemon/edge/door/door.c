/* The life of a visitor, and the door's time; see door.h. */
#include "daemon/edge/door/door_private.h"
#include <stdlib.h>

struct sb_visitor *sb_visitor_new(struct sb_door *door)
{
	struct sb_visitor *visitor = calloc(1, sizeof(*visitor));

	if (!visitor)
		return NULL;
	visitor->door = door;
	door->visitors++;
	return visitor;
}

/* The next one comes in at the end of this turn of the loop. */
static void release_slot(struct sb_visitor *visitor)
{
	if (!visitor->has_slot)
		return;
	visitor->has_slot = false;
	visitor->door->opening--;
}

static void take_slot(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;

	visitor->has_slot = true;
	door->opening++;
	if (door->opening > door->stats.handshakes_peak)
		door->stats.handshakes_peak = door->opening;
	sb_deadline_start(&visitor->deadline, &door->slots, uv_now(door->loop));
}

void sb_visitor_gone(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;

	release_slot(visitor);
	sb_deadline_stop(&visitor->deadline);
	sb_arrival_drop(visitor->arrival);
	sb_guard_leave(visitor);
	door->visitors--;
	free(visitor);
}

void sb_visitor_admit(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;

	take_slot(visitor);
	visitor->owner = door->ops->admit(door->user, visitor, visitor->fd);
	if (visitor->owner)
		return;
	sb_guard_count(door, visitor->address, SB_TURNED_AWAY_MEMORY);
	sb_visitor_gone(visitor);
}

/* ---- time ---- */

static struct sb_visitor *take(struct sb_deadlines *queue, uint64_t now)
{
	struct sb_deadline *due = sb_deadlines_take(queue, now);

	return due ? (struct sb_visitor *)(void *)((char *)due -
						   offsetof(struct sb_visitor, deadline))
		   : NULL;
}

/* All its time is over. */
static void on_late(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;

	if (visitor->stage == SB_STAGE_WAITING && !door->leaving) {
		sb_room_overdue(visitor);
		return;
	}
	if (!door->leaving)
		sb_guard_count(door, visitor->address, SB_TURNED_AWAY_SLOW);
	if (visitor->owner)
		door->ops->evict(visitor->owner);
	else
		sb_visitor_gone(visitor);
}

void sb_door_tick(struct sb_door *door)
{
	uint64_t now = uv_now(door->loop);
	struct sb_visitor *visitor;

	/* First its place in the queue, then, when all its time is over, the visitor. */
	while ((visitor = take(&door->slots, now))) {
		release_slot(visitor);
		sb_deadline_start(&visitor->deadline, &door->openings, now);
	}
	while ((visitor = take(&door->openings, now)))
		on_late(visitor);
	sb_guard_tick(door);
	sb_room_tick(door);
}

uint64_t sb_door_due_ms(const struct sb_door *door)
{
	const struct sb_deadlines *const queues[] = {&door->slots, &door->openings, &door->patience,
						     &door->holds};
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		uint64_t due = sb_deadlines_due_ms(queues[i]);

		if (due < first)
			first = due;
	}
	return first;
}

/* ---- what the owner tells ---- */

/* Its time to open is over; the guard says whether it is welcome. */
static void stop_opening(struct sb_visitor *visitor)
{
	release_slot(visitor);
	sb_deadline_stop(&visitor->deadline);
}

bool sb_visitor_opened(struct sb_visitor *visitor)
{
	stop_opening(visitor);
	sb_guard_open(visitor);
	return !sb_visitor_is_refused(visitor);
}

bool sb_visitor_is_refused(const struct sb_visitor *visitor)
{
	return visitor->stage == SB_STAGE_REFUSED;
}

bool sb_visitor_is_held(const struct sb_visitor *visitor)
{
	return visitor->hold != NULL;
}

/* ---- the door ---- */

void sb_door_init(struct sb_door *door, const struct sb_door_config *config)
{
	door->config = config;
	door->openings.wait_ms = config->opening_ms;
	door->slots.wait_ms = SB_SLOT_MS;
	door->patience.wait_ms = SB_PATIENCE_MS;
	sb_guard_init(door);
}

struct sb_door *sb_door_new(uv_loop_t *loop, const char *address, int listener,
			    const struct sb_door_config *config, const struct sb_door_ops *ops,
			    void *user, char *ret_detail, size_t detail_size)
{
	struct sb_door *door = calloc(1, sizeof(*door));

	if (!door) {
		(void)snprintf(ret_detail, detail_size, "out of memory");
		return NULL;
	}
	door->loop = loop;
	door->ops = ops;
	door->user = user;
	sb_door_init(door, config);
	door->listener = sb_listener_new(door, address, listener, ret_detail, detail_size);
	if (door->listener)
		return door;
	sb_door_free(door);
	return NULL;
}

void sb_door_configure(struct sb_door *door, const struct sb_door_config *config)
{
	door->config = config;
	if (!door->leaving)
		sb_deadlines_set_wait(&door->openings, config->opening_ms, uv_now(door->loop));
}

uint16_t sb_door_port(const struct sb_door *door)
{
	return door->listener ? sb_listener_port(door->listener) : 0;
}

size_t sb_door_count(const struct sb_door *door)
{
	return door->visitors;
}

void sb_door_get_stats(const struct sb_door *door, struct sb_door_stats *ret_stats)
{
	*ret_stats = door->stats;
	ret_stats->handshakes = door->opening;
	ret_stats->queued = door->queued;
	ret_stats->addresses = sb_addresses_count(&door->addresses);
}

void sb_door_stop_accepting(struct sb_door *door)
{
	sb_listener_close(door->listener);
	door->listener = NULL;
	door->leaving = true;
	sb_deadlines_set_wait(&door->openings, SB_LEAVING_MS, uv_now(door->loop));
}

void sb_door_close(struct sb_door *door)
{
	sb_listener_close(door->listener);
	door->listener = NULL;
	sb_arrivals_close(door);
	sb_room_close(door);
	sb_guard_log(door);
}

void sb_door_free(struct sb_door *door)
{
	if (!door)
		return;
	sb_guard_fini(door);
	free(door);
}
