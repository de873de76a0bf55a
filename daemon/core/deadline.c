/* First in, first due. */
#include "daemon/core/deadline.h"
#include <stddef.h>
#include <utlist.h>

/* A reload's doing, so it may look at all of them. Whoever joins later must not be due before them.
 */
void sb_deadlines_set_wait(struct sb_deadlines *queue, uint32_t wait_ms, uint64_t now_ms)
{
	struct sb_deadline *deadline;

	queue->wait_ms = wait_ms;
	DL_FOREACH(queue->first, deadline) {
		if (deadline->due_ms > now_ms + wait_ms)
			deadline->due_ms = now_ms + wait_ms;
	}
}

void sb_deadline_start(struct sb_deadline *deadline, struct sb_deadlines *queue, uint64_t now_ms)
{
	sb_deadline_stop(deadline);
	deadline->queue = queue;
	deadline->due_ms = now_ms + queue->wait_ms;
	DL_APPEND(queue->first, deadline);
}

void sb_deadline_stop(struct sb_deadline *deadline)
{
	if (!deadline->queue)
		return;
	DL_DELETE(deadline->queue->first, deadline);
	deadline->queue = NULL;
}

struct sb_deadline *sb_deadlines_take(struct sb_deadlines *queue, uint64_t now_ms)
{
	struct sb_deadline *due = queue->first;

	if (!due || due->due_ms > now_ms)
		return NULL;
	sb_deadline_stop(due);
	return due;
}

uint64_t sb_deadlines_due_ms(const struct sb_deadlines *queue)
{
	return queue->first ? queue->first->due_ms : UINT64_MAX;
}
