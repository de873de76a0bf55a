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
#include "daemon/edge/door/door_private.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

/* One address may take a quarter of the hub's timetable, for a minute ahead. */
#define SHARE	       4
#define SHARE_AHEAD_MS 60000
/* The log says at most so often that somebody was turned away. */
#define LOG_EVERY_MS 1000

struct sb_hold {
	struct sb_deadline deadline; /* first */
	struct sb_address *address;
	struct sb_visitor *visitor; /* NULL when it is gone; then the place is the hold's */
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

void sb_guard_init(struct sb_door *door)
{
	sb_addresses_init(&door->addresses);
	door->holds.wait_ms = SB_HOLD_MS;
}

void sb_guard_count(struct sb_door *door, const struct sb_address *address,
		    enum sb_turned_away reason)
{
	uint64_t now = uv_now(door->loop);
	char text[SB_IP_TEXT_MAX] = "-";

	door->stats.turned_away[reason]++;
	if (door->logged_ms && now - door->logged_ms < LOG_EVERY_MS) {
		door->logged_others++;
		return;
	}
	if (address)
		sb_ip_format_household(&address->household, text);
	sb_log(SB_LOG_NOTICE, "turned away", "reason=%s address=%s others=%" PRIu64,
	       sb_turned_away_word(reason), text, door->logged_others);
	door->logged_ms = now;
	door->logged_others = 0;
}

/* ---- at accept ---- */

/* So many connections may there be: room beside the sessions for those who are told that there is
 * none, who wait, and for plain HTTP. */
static uint64_t most_connections(const struct sb_door *door)
{
	uint64_t max = door->config->max_sessions;

	return max + max / 4 + 64;
}

int sb_guard_enter(struct sb_visitor *visitor, const struct sb_ip *ip)
{
	struct sb_door *door = visitor->door;
	uint64_t most = most_connections(door);

	if (door->visitors > most) {
		sb_guard_count(door, NULL, SB_TURNED_AWAY_FULL);
		return -1;
	}
	visitor->address = sb_addresses_enter(&door->addresses, ip, door->config->max_addresses);
	if (!visitor->address) {
		sb_guard_count(door, NULL, SB_TURNED_AWAY_ADDRESSES);
		return -1;
	}
	/* Of its address there may wait as many as there could come from all others. */
	if (visitor->address->queued > most - door->visitors) {
		sb_guard_count(door, visitor->address, SB_TURNED_AWAY_FLOOD);
		return -1;
	}
	return 0;
}

/* ---- when it is open ---- */

static bool are_too_many(const struct sb_door *door, const struct sb_address *address)
{
	uint32_t limit = door->config->per_address;

	return limit && address->open + address->known > limit;
}

static void refuse(struct sb_visitor *visitor, enum sb_turned_away reason)
{
	visitor->address->told++;
	visitor->stage = SB_STAGE_REFUSED;
	sb_guard_count(visitor->door, visitor->address, reason);
}

void sb_guard_open(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;
	struct sb_address *address = visitor->address;

	switch ((enum sb_stage)visitor->stage) {
	case SB_STAGE_ARRIVING:
		address->arriving--;
		break;
	case SB_STAGE_TOLD:
		address->told--;
		break;
	case SB_STAGE_KNOWN: /* has a further request; it was no stranger, so it has its place */
		address->known--;
		address->open++;
		visitor->stage = SB_STAGE_OPEN;
		return;
	default:
		return;
	}
	/* There may be a place by now, even for one that came in to be told. */
	if (!sb_room_has_place(door, address)) {
		refuse(visitor, SB_TURNED_AWAY_UNAUTHENTICATED);
		return;
	}
	address->open++;
	visitor->stage = SB_STAGE_OPEN;
	if (are_too_many(door, address)) {
		address->open--;
		refuse(visitor, SB_TURNED_AWAY_PER_ADDRESS);
	}
}

uint32_t sb_visitor_return_ms(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;
	uint32_t share = door->config->return_per_second / SHARE, random = 0, own;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0; /* does no harm */
	own = sb_admission_return_ms(&visitor->address->visits, uv_now(door->loop),
				     share ? share : 1, random);
	return own > SHARE_AHEAD_MS ? own : 0;
}

/* ---- its token ---- */

static void leave_address(struct sb_door *door, struct sb_address *address, uint8_t stage)
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
	sb_room_place_free(door, address);
	sb_addresses_leave(&door->addresses, address, uv_now(door->loop));
}

static void hold(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;
	struct sb_hold *held = calloc(1, sizeof(*held));

	if (!held)
		return; /* then it is told at once */
	held->address = visitor->address;
	held->visitor = visitor;
	visitor->hold = held;
	door->stats.tokens_held++;
	sb_deadline_start(&held->deadline, &door->holds, uv_now(door->loop));
}

static void release(struct sb_door *door, struct sb_hold *held)
{
	struct sb_visitor *visitor = held->visitor;

	if (visitor)
		visitor->hold = NULL;
	else
		leave_address(door, held->address, SB_STAGE_OPEN);
	free(held);
	if (visitor)
		door->ops->release(visitor->owner);
}

void sb_visitor_known(struct sb_visitor *visitor)
{
	if (visitor->stage != SB_STAGE_OPEN)
		return;
	visitor->address->open--;
	visitor->address->known++;
	visitor->stage = SB_STAGE_KNOWN;
	sb_room_place_free(visitor->door, visitor->address);
}

bool sb_visitor_bad_token(struct sb_visitor *visitor)
{
	struct sb_door *door = visitor->door;
	uint32_t per_minute = door->config->bad_tokens_per_minute;

	if (visitor->stage != SB_STAGE_OPEN || visitor->hold)
		return visitor->hold != NULL;
	door->stats.tokens_refused++;
	if (per_minute && sb_address_spend(visitor->address, per_minute, uv_now(door->loop)))
		hold(visitor);
	return visitor->hold != NULL;
}

/* ---- the end ---- */

void sb_guard_leave(struct sb_visitor *visitor)
{
	if (!visitor->address)
		return;
	if (visitor->stage == SB_STAGE_WAITING)
		sb_room_leave(visitor);
	if (visitor->hold)
		visitor->hold->visitor = NULL;
	else
		leave_address(visitor->door, visitor->address, visitor->stage);
	visitor->address = NULL;
}

void sb_guard_tick(struct sb_door *door)
{
	uint64_t now = uv_now(door->loop);
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&door->holds, now)))
		release(door, (struct sb_hold *)(void *)due);
	sb_addresses_tick(&door->addresses, now);
}

void sb_guard_log(const struct sb_door *door)
{
#define FORMAT(name, word, what)   " " word "=%" PRIu64
#define ARGUMENT(name, word, what) , stats->turned_away[SB_TURNED_AWAY_##name]
	const struct sb_door_stats *stats = &door->stats;

	sb_log(SB_LOG_INFO, "the door, since the start",
	       "accepted=%" PRIu64 " handshakes_peak=%zu tokens_refused=%" PRIu64
	       " tokens_held=%" PRIu64 SB_TURNED_AWAY(FORMAT),
	       stats->accepted, stats->handshakes_peak, stats->tokens_refused,
	       stats->tokens_held SB_TURNED_AWAY(ARGUMENT));
#undef FORMAT
#undef ARGUMENT
}

void sb_guard_fini(struct sb_door *door)
{
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&door->holds, UINT64_MAX)))
		free(due);
	sb_addresses_fini(&door->addresses);
}
