/* The inside of the hub, for core's own files. */
#ifndef SB_CORE_HUB_PRIVATE_H
#define SB_CORE_HUB_PRIVATE_H

#include "daemon/core/admission.h"
#include "daemon/core/deadline.h"
#include "daemon/core/hub.h"
#include "daemon/core/rivals.h"
#include "daemon/core/table.h"

struct sb_mailbox;

struct sb_hub {
	struct sb_hub_config config;
	struct sb_store *store;
	struct sb_clock *clock;
	struct sb_session *sessions; /* in the order they came, which is that of their ids */
	struct sb_table by_id;	     /* the same */
	struct sb_table devices;     /* the first session of each, see devices.h */
	struct sb_table mailboxes;
	struct sb_deadlines greetings;				 /* hello_ms */
	struct sb_deadlines waits;				 /* authenticate_ms */
	struct sb_deadlines beats;				 /* heartbeat_ms */
	struct sb_deadlines closings;				 /* closing_ms */
	struct sb_deadlines runs;				 /* SB_RUN_MS */
	struct sb_deadlines polls[SB_POLL_WAIT_MAX_SECONDS + 1]; /* by the seconds they wait */
	struct sb_deadlines lates;				 /* SB_SENT_LATE_MS */
	struct sb_admission admission; /* when those who are sent away come back */
	struct sb_rivals rivals;
	int64_t next_expiry_s; /* no token of a session here ends sooner; 0: none ends */
	uint64_t next_session_id;
	uint64_t acks_asked, acks_answered; /* questions to the store since the start */
	uint64_t unheard; /* rechecks of devices that nobody here had, since the start; see
			     sb_hub_recheck() */
	bool database_up;
	bool draining;
	struct { /* see drain.c */
		uint64_t begun_ms;
		uint32_t spread_ms;
		uint64_t sessions; /* when it began */
		uint64_t told;	   /* of them, since */
	} drain;
	struct sb_hub_stats stats;
};

uint64_t sb_hub_now(const struct sb_hub *hub);

/* Says goodbye to those whose turn it is. */
void sb_hub_drain_step(struct sb_hub *hub);

/* A session's token ends then (Unix time, 0: never): hub->next_expiry_s is to be no later. */
void sb_hub_expect_expiry(struct sb_hub *hub, int64_t at_s);

#endif
