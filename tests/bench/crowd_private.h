/*
 * What the ways of a crowd (idle.c, storm.c) share: the callers, the loop, the
 * counts. One crowd at a time: callers know their line, and nothing of a crowd.
 */
#ifndef SB_BENCH_CROWD_PRIVATE_H
#define SB_BENCH_CROWD_PRIVATE_H

#include "tests/bench/crowd.h"

#define SB_CROWD_CODES 5000

struct sb_crowd {
	struct sb_caller *callers;
	const struct sb_crowd_plan *plan;
	struct sb_line *line;
	size_t called; /* so far */
	size_t on_their_way;
	size_t live;
	size_t resumed;
	uint64_t messages;
	size_t lost; /* ended though they were to stay */
	size_t codes[SB_CROWD_CODES];
	const char *why; /* the first failure, in words */
	bool stopped;
};

extern struct sb_crowd sb_the_crowd;

/* Seconds of the monotonic clock. */
double sb_crowd_now_s(void);

/* 0 or -errno. Afterwards the end of stdin (unless the plan has seconds), SIGINT and SIGTERM set
 * `stopped`. */
int sb_crowd_begin(struct sb_crowd *crowd, struct sb_line *line, const struct sb_crowd_plan *plan);

/* Calls those that never did while there is room; with --resume the first one goes ahead, for its
 * ticket. Who cannot even call is lost. */
void sb_crowd_call_more(struct sb_crowd *crowd, const struct sb_caller_ops *ops);

/* Serves whoever is ready within `wait_ms`. */
void sb_crowd_turn(struct sb_crowd *crowd, int wait_ms);

/* With --resume: the ticket of the first one that is live serves those who come after. */
void sb_crowd_keep_ticket(struct sb_crowd *crowd);

/* A caller is where it wanted to be. */
void sb_crowd_arrived(struct sb_caller *caller);
/* ...or was, or came nowhere. */
void sb_crowd_lose(struct sb_crowd *crowd, const char *why);
void sb_crowd_count_code(struct sb_crowd *crowd, int code);

/* Which one of the crowd. */
size_t sb_crowd_number(const struct sb_caller *caller);
/* From the least to the most. */
void sb_crowd_sort(float *values, size_t count);

/* A hello, with its token if it has one. */
void sb_crowd_hello(struct sb_caller *caller);
bool sb_crowd_is(const char *bytes, size_t len, const char *type);

/* A line of JSON on stdout; `more` is "" or further members, each with a comma behind it. */
void sb_crowd_report(const struct sb_crowd *crowd, const char *event, double seconds,
		     const char *more);

/* Hangs all up. The process' exit status. */
int sb_crowd_finish(struct sb_crowd *crowd);

#endif
