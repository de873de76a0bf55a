/* Who is here: for operators, who see sessions by name and may send one away. */
#ifndef SB_CORE_ROSTER_H
#define SB_CORE_ROSTER_H

#include "daemon/core/hub.h"

struct sb_session_info {
	char name[SB_SESSION_NAME_MAX + 1];
	uint64_t id;	    /* for the next call */
	int64_t device_id;  /* 0: not known yet */
	int64_t mailbox_id; /* 0: not known yet, or it leaves */
	int64_t sent, saved, head;
	const char *state;     /* a word */
	const char *transport; /* a word */
};

/* Sessions in the order they came, those after session `after` (0: from the first): at most `max`;
 * returns how many. */
size_t sb_hub_list(struct sb_hub *hub, uint64_t after, struct sb_session_info *infos, size_t max);

/* How many have a full window: their clients do not keep up with their acks. Looks at each. */
size_t sb_hub_count_slow(const struct sb_hub *hub);

/* Sends the session of this name away, to come back in a while, as a drain does. 0 or -ENOENT. */
int sb_hub_kick(struct sb_hub *hub, const char *name);

/* Words for metrics, status and lists: constants. */
const char *sb_session_state_word(enum sb_session_state state);
const char *sb_transport_word(enum sb_transport transport);

#endif
