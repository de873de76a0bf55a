/* Windows that begin with the first line after the one before; see log_limit.h. */
#include "daemon/base/log_limit.h"

uint64_t sb_log_limit_settle(struct sb_log_limit *limit, uint64_t now_ms)
{
	uint64_t suppressed = limit->suppressed;

	if (!limit->lines || now_ms - limit->began_ms < SB_LOG_WINDOW_MS)
		return 0;
	limit->lines = 0;
	limit->suppressed = 0;
	return suppressed;
}

bool sb_log_limit_take(struct sb_log_limit *limit, uint64_t now_ms, uint64_t *ret_suppressed)
{
	*ret_suppressed = sb_log_limit_settle(limit, now_ms);
	if (!limit->lines)
		limit->began_ms = now_ms;
	if (limit->lines >= limit->max) {
		limit->suppressed++;
		return false;
	}
	limit->lines++;
	return true;
}
