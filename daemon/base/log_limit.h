/*
 * How many lines of one kind the log takes, so that a client in a loop neither
 * makes it grow as fast as it can nor buries what matters: so many in a window of time, the rest is
 * counted. Pure: the time comes in.
 */
#ifndef SB_BASE_LOG_LIMIT_H
#define SB_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* What any stranger can cause at will. */
#define SB_LOG_LINES_MAX 1000
/* Of sessions, which only who is enrolled can have: a drain or a storm of reconnects has a line for
 * each, some thousand a second, and these are worth having. */
#define SB_LOG_SESSION_LINES_MAX 20000
#define SB_LOG_WINDOW_MS	 5000
/* Kinds of lines that are counted; the daemon has fewer. Those beyond have no limit. */
#define SB_LOG_KINDS_MAX 64

struct sb_log_limit {
	const char *event; /* a constant; NULL: free */
	uint64_t began_ms; /* the window */
	uint32_t max;	   /* lines of a window */
	uint32_t lines;	   /* in it */
	uint64_t suppressed;
};

/*
 * Whether one more line may go out now. Where a window is over that had lines
 * suppressed, *ret_suppressed says how many; else it is 0.
 */
bool sb_log_limit_take(struct sb_log_limit *limit, uint64_t now_ms, uint64_t *ret_suppressed);

/* How many were suppressed in a window that is over by now, and have not been told of; 0: none. */
uint64_t sb_log_limit_settle(struct sb_log_limit *limit, uint64_t now_ms);

#endif
