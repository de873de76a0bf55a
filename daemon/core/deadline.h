/*
 * Deadlines in O(1): those in a queue, sessions for instance, all wait equally
 * long, so the one that joined first is always due first and no sorting is
 * needed. Each is in at most one queue.
 */
#ifndef SB_CORE_DEADLINE_H
#define SB_CORE_DEADLINE_H

#include <stdint.h>

struct sb_deadline {
	struct sb_deadline *prev, *next;
	struct sb_deadlines *queue; /* NULL: not waiting */
	uint64_t due_ms;
};

struct sb_deadlines {
	struct sb_deadline *first;
	uint32_t wait_ms; /* once there are some, changed by sb_deadlines_set_wait() only */
};

/* Counts for those that join from now on. A shorter one also for those that are there: from now,
 * not from when they joined. */
void sb_deadlines_set_wait(struct sb_deadlines *queue, uint32_t wait_ms, uint64_t now_ms);

/* Waits from now on; leaves the queue it was in. */
void sb_deadline_start(struct sb_deadline *deadline, struct sb_deadlines *queue, uint64_t now_ms);
void sb_deadline_stop(struct sb_deadline *deadline);
/* The first one whose time has come, taken out of its queue; or NULL. */
struct sb_deadline *sb_deadlines_take(struct sb_deadlines *queue, uint64_t now_ms);
/* When that is; UINT64_MAX while nobody waits. */
uint64_t sb_deadlines_due_ms(const struct sb_deadlines *queue);

#endif
