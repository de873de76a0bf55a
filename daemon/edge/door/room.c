/*
 * The waiting room: accepted connections that do not shake hands yet.
 *
 * No more than sessions.handshakes do so at once; a storm is then as quick as
 * its handshakes, and takes the memory of a few. A visitor that waits costs
 * a descriptor and a hundred bytes.
 *
 * Addresses take turns, each with a queue of its own, first come, first served:
 * who sends a thousand connections waits for itself, and nobody else does. An
 * address whose strangers are as many as sessions.unauthenticated_per_address
 * misses its turns until one of them is known or gone: a company that comes
 * back through one address is let through as quickly as the database answers.
 * After three seconds without a place, or when one has waited for as long as a
 * handshake may take, they are let in to be told so. (With one second a company
 * whose four hundred plug-ins came at once, from one slow machine, was sent away
 * nearly whole, and needed 25 seconds instead of 7.)
 */
#include "daemon/edge/door/door_private.h"
#include <unistd.h>
#include <utlist.h>

/* So many times the limit may be here to be told so, handshake and all. */
#define TOLD_TIMES 3

/* So many are let in before the loop turns again: a handshake takes a good part of a millisecond,
 * and bookings for those who are here wait meanwhile. */
#define PER_TURN 4

static struct sb_address *owner_of(struct sb_deadline *patience)
{
	return (struct sb_address *)(void *)((char *)patience -
					     offsetof(struct sb_address, patience));
}

static void take_turns(struct sb_door *door, struct sb_address *address)
{
	if (address->in_turn)
		return;
	sb_deadline_stop(&address->patience);
	address->in_turn = true;
	DL_APPEND2(door->turns, address, turn_prev, turn_next);
}

static void leave_turns(struct sb_door *door, struct sb_address *address)
{
	if (!address->in_turn)
		return;
	address->in_turn = false;
	DL_DELETE2(door->turns, address, turn_prev, turn_next);
}

void sb_room_enter(struct sb_visitor *visitor, int fd)
{
	struct sb_door *door = visitor->door;
	struct sb_address *address = visitor->address;

	visitor->fd = fd;
	visitor->stage = SB_STAGE_WAITING;
	DL_APPEND2(address->queue, visitor, prev, next);
	address->queued++;
	door->queued++;
	sb_deadline_start(&visitor->deadline, &door->openings, uv_now(door->loop));
	/* One that misses its turns has its patience running. */
	if (!address->patience.queue)
		take_turns(door, address);
}

static void leave_queue(struct sb_visitor *visitor)
{
	struct sb_address *address = visitor->address;

	sb_deadline_stop(&visitor->deadline);
	DL_DELETE2(address->queue, visitor, prev, next);
	address->queued--;
	visitor->door->queued--;
	if (!address->queue) {
		leave_turns(visitor->door, address);
		sb_deadline_stop(&address->patience);
		address->impatient = false;
	}
}

void sb_room_leave(struct sb_visitor *visitor)
{
	leave_queue(visitor);
	(void)close(visitor->fd);
}

bool sb_room_has_place(const struct sb_door *door, const struct sb_address *address)
{
	uint32_t limit = door->config->unauthenticated_per_address;

	return !limit || address->arriving + address->open < limit;
}

static bool may_be_told(const struct sb_door *door, const struct sb_address *address)
{
	return (address->impatient || address->queue->is_overdue) &&
	       address->told < (uint64_t)TOLD_TIMES * door->config->unauthenticated_per_address;
}

void sb_room_place_free(struct sb_door *door, struct sb_address *address)
{
	if (address->queue && (sb_room_has_place(door, address) || may_be_told(door, address)))
		take_turns(door, address);
}

void sb_room_overdue(struct sb_visitor *visitor)
{
	visitor->is_overdue = true;
	sb_room_place_free(visitor->door, visitor->address);
}

/* The first of its queue, if one may come in now. */
static struct sb_visitor *take(struct sb_door *door, struct sb_address *address)
{
	struct sb_visitor *visitor = address->queue;

	if (sb_room_has_place(door, address)) {
		address->impatient = false;
		address->arriving++;
		visitor->stage = SB_STAGE_ARRIVING;
	} else if (may_be_told(door, address)) {
		address->told++;
		visitor->stage = SB_STAGE_TOLD;
	} else {
		sb_deadline_start(&address->patience, &door->patience, uv_now(door->loop));
		return NULL;
	}
	leave_queue(visitor);
	return visitor;
}

bool sb_room_may_serve(const struct sb_door *door)
{
	return door->turns && door->opening < door->config->handshakes;
}

bool sb_door_serve(struct sb_door *door)
{
	for (int let_in = 0; let_in < PER_TURN && sb_room_may_serve(door);) {
		struct sb_address *address = door->turns;
		struct sb_visitor *visitor;

		leave_turns(door, address);
		visitor = take(door, address);
		if (!visitor)
			continue;
		if (address->queue)
			take_turns(door, address); /* behind all others */
		let_in++;
		sb_visitor_admit(visitor);
	}
	return sb_room_may_serve(door);
}

void sb_room_tick(struct sb_door *door)
{
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&door->patience, uv_now(door->loop)))) {
		owner_of(due)->impatient = true;
		take_turns(door, owner_of(due));
	}
}

void sb_room_close(struct sb_door *door)
{
	struct sb_address *address, *next;

	HASH_ITER(hh, door->addresses.table, address, next) {
		/* Its entry goes with the last connection. */
		for (uint32_t queued = address->queued; queued; queued--)
			sb_visitor_gone(address->queue);
	}
}
