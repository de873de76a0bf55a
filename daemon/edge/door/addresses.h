/*
 * What is known of each address that has a connection here, or had one that
 * is not forgotten yet: how many connections, and how many refused tokens.
 *
 * One hash table with a maximum; all in O(1). A household (network.h) is one
 * entry. It never decides: guard.c does.
 */
#ifndef SB_EDGE_ADDRESSES_H
#define SB_EDGE_ADDRESSES_H

#include "daemon/base/network.h"
#include "daemon/core/admission.h"
#include "daemon/core/deadline.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

struct sb_visitor;

struct sb_address {
	struct sb_ip household;
	UT_hash_handle hh;
	struct sb_visitor *queue;		  /* in the waiting room, see room.c */
	struct sb_address *turn_prev, *turn_next; /* in door->turns */
	uint32_t connections;			  /* all there are; each is one of these: */
	uint32_t queued;			  /* in the waiting room */
	uint32_t arriving;			  /* shake hands */
	uint32_t open;				  /* do not say who they are */
	uint32_t told;				  /* are too many, and told so, or will be */
	uint32_t known;				  /* have a good token */
	bool in_turn;
	bool impatient; /* has missed its turns for too long */
	struct sb_deadline patience;
	struct sb_deadline idle;    /* without connections, until it is forgotten */
	uint64_t spent_until_us;    /* each refused token moves it on by its share of a minute */
	struct sb_admission visits; /* its own timetable of coming back */
};

struct sb_addresses {
	struct sb_address *table;
	struct sb_deadlines idle;
};

/* After a minute without connections everything of an address is forgotten. */
#define SB_ADDRESS_IDLE_MS 60000

void sb_addresses_init(struct sb_addresses *addresses);
/* Frees all entries. */
void sb_addresses_fini(struct sb_addresses *addresses);

/*
 * The entry of this address, with one connection more. When there are `max`
 * entries, the one that has been without connections for longest gives way;
 * NULL when all have some, or out of memory.
 */
struct sb_address *sb_addresses_enter(struct sb_addresses *addresses, const struct sb_ip *ip,
				      size_t max);

/* One connection less. The entry may be gone after. */
void sb_addresses_leave(struct sb_addresses *addresses, struct sb_address *address,
			uint64_t now_ms);

/* Forgets what has been idle for long enough. */
void sb_addresses_tick(struct sb_addresses *addresses, uint64_t now_ms);

size_t sb_addresses_count(const struct sb_addresses *addresses);

/*
 * A token was refused. Whether there were more of them than `per_minute` (1 to
 * 1000000) allows: that many at once, then one each time a minute's share of
 * them is over.
 */
bool sb_address_spend(struct sb_address *address, uint32_t per_minute, uint64_t now_ms);

#endif
