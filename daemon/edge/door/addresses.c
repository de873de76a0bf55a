/* The table of addresses. */
#include "daemon/edge/door/addresses.h"
#include <stdlib.h>
#include <utlist.h>

#define MINUTE_US UINT64_C(60000000)

static struct sb_address *owner_of(struct sb_deadline *idle)
{
	return (struct sb_address *)(void *)((char *)idle - offsetof(struct sb_address, idle));
}

void sb_addresses_init(struct sb_addresses *addresses)
{
	*addresses = (struct sb_addresses){.idle.wait_ms = SB_ADDRESS_IDLE_MS};
}

static void forget(struct sb_addresses *addresses, struct sb_address *address)
{
	sb_deadline_stop(&address->idle);
	HASH_DEL(addresses->table, address);
	free(address);
}

void sb_addresses_fini(struct sb_addresses *addresses)
{
	struct sb_address *address = addresses->table, *next;

	HASH_CLEAR(hh, addresses->table);
	addresses->idle.first = NULL;
	for (; address; address = next) {
		next = address->hh.next;
		free(address);
	}
}

static struct sb_address *add(struct sb_addresses *addresses, const struct sb_ip *household,
			      size_t max)
{
	struct sb_address *address;

	if (HASH_COUNT(addresses->table) >= max) {
		if (!addresses->idle.first)
			return NULL;
		forget(addresses, owner_of(addresses->idle.first));
	}
	address = calloc(1, sizeof(*address));
	if (!address)
		return NULL;
	address->household = *household;
	HASH_ADD(hh, addresses->table, household, sizeof(address->household), address);
	if (!address->hh.tbl) {
		free(address);
		return NULL;
	}
	return address;
}

struct sb_address *sb_addresses_enter(struct sb_addresses *addresses, const struct sb_ip *ip,
				      size_t max)
{
	struct sb_ip household = sb_ip_household(ip);
	struct sb_address *address;

	HASH_FIND(hh, addresses->table, &household, sizeof(household), address);
	if (!address)
		address = add(addresses, &household, max);
	if (!address)
		return NULL;
	sb_deadline_stop(&address->idle);
	address->connections++;
	return address;
}

void sb_addresses_leave(struct sb_addresses *addresses, struct sb_address *address, uint64_t now_ms)
{
	if (--address->connections)
		return;
	/* Only what somebody could make use of by hanging up is kept. */
	if (address->spent_until_us > now_ms * 1000 || address->visits.next_us > now_ms * 1000)
		sb_deadline_start(&address->idle, &addresses->idle, now_ms);
	else
		forget(addresses, address);
}

void sb_addresses_tick(struct sb_addresses *addresses, uint64_t now_ms)
{
	struct sb_deadline *due;

	while ((due = sb_deadlines_take(&addresses->idle, now_ms)))
		forget(addresses, owner_of(due));
}

size_t sb_addresses_count(const struct sb_addresses *addresses)
{
	return HASH_COUNT(addresses->table);
}

bool sb_address_spend(struct sb_address *address, uint32_t per_minute, uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000;
	uint64_t from_us = address->spent_until_us > now_us ? address->spent_until_us : now_us;
	uint64_t until_us = from_us + MINUTE_US / per_minute;

	/* What is too many is not counted: else one that never tires would never be done. */
	if (until_us > now_us + MINUTE_US)
		return true;
	address->spent_until_us = until_us;
	return false;
}
