/* A daemon that leaves an event out, once in a hundred. */
#include "daemon/core/mailbox.h"

const struct sb_run_event *__real_sb_mailbox_next(const struct sb_mailbox *mailbox, int64_t seq);
const struct sb_run_event *__wrap_sb_mailbox_next(const struct sb_mailbox *mailbox, int64_t seq);

const struct sb_run_event *__wrap_sb_mailbox_next(const struct sb_mailbox *mailbox, int64_t seq)
{
	static unsigned int calls;
	const struct sb_run_event *next = __real_sb_mailbox_next(mailbox, seq);
	const struct sb_run_event *one_more = NULL;

	if (next && ++calls % 100 == 0)
		one_more = __real_sb_mailbox_next(mailbox, next->seq);
	return one_more ? one_more : next;
}
