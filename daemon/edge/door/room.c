/*
 * The waiting room: accepted connections that do not shake hands yet.
 *
 * No more than sessions.handshakes do so at once; a storm is then as quick as
 * its handshakes, and takes the memory of a few. A connection that waits costs
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
#include "daemon/edge/server_private.h"
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

void sb_room_init(struct sb_server *server)
{
	server->patience.wait_ms = SB_PATIENCE_MS;
}

static void take_turns(struct sb_server *server, struct sb_address *address)
{
	if (address->in_turn)
		return;
	sb_deadline_stop(&address->patience);
	address->in_turn = true;
	DL_APPEND2(server->turns, address, turn_prev, turn_next);
}

static void leave_turns(struct sb_server *server, struct sb_address *address)
{
	if (!address->in_turn)
		return;
	address->in_turn = false;
	DL_DELETE2(server->turns, address, turn_prev, turn_next);
}

void sb_room_enter(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	struct sb_address *address = connection->address;

	connection->stage = SB_STAGE_WAITING;
	DL_APPEND2(address->queue, connection, ready_prev, ready_next);
	address->queued++;
	server->queued++;
	sb_deadline_start(&connection->deadline, &server->openings, uv_now(server->loop));
	/* One that misses its turns has its patience running. */
	if (!address->patience.queue)
		take_turns(server, address);
}

static void leave_queue(struct sb_connection *connection)
{
	struct sb_address *address = connection->address;

	sb_deadline_stop(&connection->deadline);
	DL_DELETE2(address->queue, connection, ready_prev, ready_next);
	address->queued--;
	connection->server->queued--;
	if (!address->queue) {
		leave_turns(connection->server, address);
		sb_deadline_stop(&address->patience);
		address->impatient = false;
	}
}

void sb_room_leave(struct sb_connection *connection)
{
	leave_queue(connection);
	(void)close(connection->fd);
}

bool sb_room_has_place(const struct sb_server *server, const struct sb_address *address)
{
	uint32_t limit = server->config->unauthenticated_per_address;

	return !limit || address->arriving + address->open < limit;
}

static bool may_be_told(const struct sb_server *server, const struct sb_address *address)
{
	return (address->impatient || address->queue->overdue) &&
	       address->told < (uint64_t)TOLD_TIMES * server->config->unauthenticated_per_address;
}

void sb_room_place_free(struct sb_server *server, struct sb_address *address)
{
	if (address->queue && (sb_room_has_place(server, address) || may_be_told(server, address)))
		take_turns(server, address);
}

void sb_room_overdue(struct sb_connection *connection)
{
	connection->overdue = true;
	sb_room_place_free(connection->server, connection->address);
}

/* The first of its queue, if one may come in now. */
static struct sb_connection *take(struct sb_server *server, struct sb_address *address)
{
	struct sb_connection *connection = address->queue;

	if (sb_room_has_place(server, address)) {
		address->impatient = false;
		address->arriving++;
		connection->stage = SB_STAGE_ARRIVING;
	} else if (may_be_told(server, address)) {
		address->told++;
		connection->stage = SB_STAGE_TOLD;
	} else {
		sb_deadline_start(&address->patience, &server->patience, uv_now(server->loop));
		return NULL;
	}
	leave_queue(connection);
	return connection;
}

bool sb_room_may_serve(const struct sb_server *server)
{
	return server->turns && server->opening < server->config->handshakes;
}

void sb_room_serve(struct sb_server *server)
{
	for (int let_in = 0; let_in < PER_TURN && sb_room_may_serve(server);) {
		struct sb_address *address = server->turns;
		struct sb_connection *connection;

		leave_turns(server, address);
		connection = take(server, address);
		if (!connection)
			continue;
		if (address->queue)
			take_turns(server, address); /* behind all others */
		let_in++;
		sb_connection_shake(connection);
		sb_connection_adopt(connection);
	}
}

void sb_room_tick(struct sb_server *server)
{
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&server->patience, uv_now(server->loop)))) {
		owner_of(due)->impatient = true;
		take_turns(server, owner_of(due));
	}
}

void sb_room_close(struct sb_server *server)
{
	struct sb_address *address, *next;

	HASH_ITER(hh, server->addresses.table, address, next) {
		/* Its entry goes with the last connection. */
		for (uint32_t queued = address->queued; queued; queued--)
			sb_connection_gone(address->queue);
	}
}
