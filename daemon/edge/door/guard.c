/*
 * The guard: who may come in, by the limits of slotbelld.conf, and what one
 * from whose address there are too many is told.
 *
 * Told costs a whole handshake, for only so a client learns when to come back.
 * Closed, before anything is read, is who comes when there is no room even to
 * wait, or who takes more of it than is left for all others: so the room never
 * is full for a new address.
 *
 * Refused tokens: so many a minute are answered at once; beyond that the
 * refusal is held back, and for as long takes one of the address' places, also
 * when its client hangs up at once to guess again. A good token is never held
 * back: one plug-in gone wrong costs its company one place, not its calendar.
 */
#include "daemon/base/log.h"
#include "daemon/edge/server_private.h"
#include <openssl/rand.h>
#include <stdlib.h>

/* One address may take a quarter of the hub's timetable, for a minute ahead. */
#define SHARE	       4
#define SHARE_AHEAD_MS 60000
/* The log says at most so often that somebody was turned away. */
#define LOG_EVERY_MS 1000

struct sb_hold {
	struct sb_deadline deadline; /* first */
	struct sb_address *address;
	struct sb_connection *connection; /* NULL when it is gone; then the place is the hold's */
};

const char *sb_turned_away_word(enum sb_turned_away reason)
{
	static const char *const words[] = {
#define WORD(name, word, what) [SB_TURNED_AWAY_##name] = (word),
		SB_TURNED_AWAY(WORD)
#undef WORD
	};

	return words[reason];
}

void sb_guard_init(struct sb_server *server)
{
	sb_addresses_init(&server->addresses);
	server->holds.wait_ms = SB_HOLD_MS;
}

void sb_guard_count(struct sb_server *server, const struct sb_address *address,
		    enum sb_turned_away reason)
{
	uint64_t now = uv_now(server->loop);
	char text[SB_IP_TEXT_MAX] = "-";

	server->stats.turned_away[reason]++;
	if (server->logged_ms && now - server->logged_ms < LOG_EVERY_MS) {
		server->logged_others++;
		return;
	}
	if (address)
		sb_ip_format_household(&address->household, text);
	sb_log(SB_LOG_NOTICE, "turned away", "reason=%s address=%s others=%" PRIu64,
	       sb_turned_away_word(reason), text, server->logged_others);
	server->logged_ms = now;
	server->logged_others = 0;
}

/* ---- at accept ---- */

/* So many connections may there be: room beside the sessions for those who are told that there is
 * none, who wait, and for plain HTTP. */
static uint64_t most_connections(const struct sb_server *server)
{
	uint64_t max = server->config->max_sessions;

	return max + max / 4 + 64;
}

int sb_guard_admit(struct sb_connection *connection, const struct sb_ip *ip)
{
	struct sb_server *server = connection->server;
	uint64_t most = most_connections(server);

	if (server->connections > most) {
		sb_guard_count(server, NULL, SB_TURNED_AWAY_FULL);
		return -1;
	}
	connection->address =
		sb_addresses_enter(&server->addresses, ip, server->config->max_addresses);
	if (!connection->address) {
		sb_guard_count(server, NULL, SB_TURNED_AWAY_ADDRESSES);
		return -1;
	}
	/* Of its address there may wait as many as there could come from all others. */
	if (connection->address->queued > most - server->connections) {
		sb_guard_count(server, connection->address, SB_TURNED_AWAY_FLOOD);
		return -1;
	}
	return 0;
}

/* ---- when it is open ---- */

static bool are_too_many(const struct sb_server *server, const struct sb_address *address)
{
	uint32_t limit = server->config->per_address;

	return limit && address->open + address->known > limit;
}

static void refuse(struct sb_connection *connection, enum sb_turned_away reason)
{
	connection->address->told++;
	connection->stage = SB_STAGE_REFUSED;
	sb_guard_count(connection->server, connection->address, reason);
}

void sb_guard_open(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	struct sb_address *address = connection->address;

	switch ((enum sb_stage)connection->stage) {
	case SB_STAGE_ARRIVING:
		address->arriving--;
		break;
	case SB_STAGE_TOLD:
		address->told--;
		break;
	case SB_STAGE_KNOWN: /* has a further request; it was no stranger, so it has its place */
		address->known--;
		address->open++;
		connection->stage = SB_STAGE_OPEN;
		return;
	default:
		return;
	}
	/* There may be a place by now, even for one that came in to be told. */
	if (!sb_room_has_place(server, address)) {
		refuse(connection, SB_TURNED_AWAY_UNAUTHENTICATED);
		return;
	}
	address->open++;
	connection->stage = SB_STAGE_OPEN;
	if (are_too_many(server, address)) {
		address->open--;
		refuse(connection, SB_TURNED_AWAY_PER_ADDRESS);
	}
}

bool sb_guard_refuses(const struct sb_connection *connection)
{
	return connection->stage == SB_STAGE_REFUSED;
}

void sb_guard_greet(struct sb_connection *connection)
{
	if (sb_guard_refuses(connection))
		sb_session_send_away(connection->session, SB_REASON_TOO_MANY,
				     sb_guard_return_ms(connection));
}

uint32_t sb_guard_return_ms(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	uint32_t share = server->config->return_per_second / SHARE, random = 0, own;

	(void)RAND_bytes((unsigned char *)&random, sizeof(random)); /* a 0 does no harm */
	own = sb_admission_return_ms(&connection->address->visits, uv_now(server->loop),
				     share ? share : 1, random);
	return own > SHARE_AHEAD_MS ? own : sb_hub_return_ms(server->hub);
}

uint32_t sb_guard_link_return_ms(struct sb_link *link)
{
	return sb_guard_return_ms((struct sb_connection *)(void *)link);
}

/* ---- its token ---- */

static void leave_address(struct sb_server *server, struct sb_address *address, uint8_t stage)
{
	switch ((enum sb_stage)stage) {
	case SB_STAGE_NONE:
	case SB_STAGE_WAITING: /* the room's */
		break;
	case SB_STAGE_ARRIVING:
		address->arriving--;
		break;
	case SB_STAGE_OPEN:
		address->open--;
		break;
	case SB_STAGE_TOLD:
	case SB_STAGE_REFUSED:
		address->told--;
		break;
	case SB_STAGE_KNOWN:
		address->known--;
		break;
	}
	sb_room_place_free(server, address);
	sb_addresses_leave(&server->addresses, address, uv_now(server->loop));
}

static void hold(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	struct sb_hold *held = calloc(1, sizeof(*held));

	if (!held)
		return; /* then it is told at once */
	held->address = connection->address;
	held->connection = connection;
	connection->hold = held;
	server->stats.tokens_held++;
	sb_deadline_start(&held->deadline, &server->holds, uv_now(server->loop));
}

static void release(struct sb_server *server, struct sb_hold *held)
{
	if (held->connection) {
		held->connection->hold = NULL;
		sb_connection_ready(held->connection);
	} else {
		leave_address(server, held->address, SB_STAGE_OPEN);
	}
	free(held);
}

static void judge(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	uint32_t per_minute = server->config->bad_tokens_per_minute;

	if (sb_session_is_authenticated(connection->session)) {
		connection->address->open--;
		connection->address->known++;
		connection->stage = SB_STAGE_KNOWN;
		sb_room_place_free(server, connection->address);
		return;
	}
	switch (sb_session_reason(connection->session)) {
	case SB_REASON_BAD_TOKEN:
	case SB_REASON_REVOKED:
	case SB_REASON_EXPIRED:
		connection->judged = true;
		server->stats.tokens_refused++;
		if (per_minute &&
		    sb_address_spend(connection->address, per_minute, uv_now(server->loop)))
			hold(connection);
		break;
	default:
		break;
	}
}

bool sb_guard_holds(struct sb_connection *connection)
{
	if (connection->stage == SB_STAGE_OPEN && connection->session && !connection->judged)
		judge(connection);
	return connection->hold != NULL;
}

/* ---- the end ---- */

void sb_guard_leave(struct sb_connection *connection)
{
	if (!connection->address)
		return;
	if (connection->stage == SB_STAGE_WAITING)
		sb_room_leave(connection);
	if (connection->hold)
		connection->hold->connection = NULL;
	else
		leave_address(connection->server, connection->address, connection->stage);
	connection->address = NULL;
}

void sb_guard_tick(struct sb_server *server)
{
	uint64_t now = uv_now(server->loop);
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&server->holds, now)))
		release(server, (struct sb_hold *)(void *)due);
	sb_addresses_tick(&server->addresses, now);
}

void sb_guard_log(const struct sb_server *server)
{
#define FORMAT(name, word, what)   " " word "=%" PRIu64
#define ARGUMENT(name, word, what) , stats->turned_away[SB_TURNED_AWAY_##name]
	const struct sb_door_stats *stats = &server->stats;

	sb_log(SB_LOG_INFO, "the door, since the start",
	       "accepted=%" PRIu64 " handshakes_peak=%zu tokens_refused=%" PRIu64
	       " tokens_held=%" PRIu64 SB_TURNED_AWAY(FORMAT),
	       stats->accepted, stats->handshakes_peak, stats->tokens_refused,
	       stats->tokens_held SB_TURNED_AWAY(ARGUMENT));
#undef FORMAT
#undef ARGUMENT
}

void sb_guard_fini(struct sb_server *server)
{
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&server->holds, UINT64_MAX)))
		free(due);
	sb_addresses_fini(&server->addresses);
}
