/*
 * A crowd of callers: comes in at a pace, does one of the things that the tool
 * can do, and is counted.
 */
#ifndef SB_BENCH_CROWD_H
#define SB_BENCH_CROWD_H

#include "tests/bench/caller.h"

struct sb_crowd_plan {
	size_t sessions;
	size_t connecting; /* that are on their way in at once */
	char **tokens;	   /* as many as sessions, or more; NULL: hellos without a token */
	size_t token_count;
	double seconds; /* to stay; 0: until stdin ends or a signal comes */
	double rate;	/* ask: requests per second */
	bool keep;	/* ask: more than one by each connection */
	bool resume;	/* TLS sessions, after the first */
};

/* Sessions that come, say hello, are live and stay. The process' exit status. */
int sb_crowd_idle(struct sb_line *line, const struct sb_crowd_plan *plan);

/* Connections that shake hands, upgrade, say nothing, and stay. */
int sb_crowd_shake(struct sb_line *line, const struct sb_crowd_plan *plan);

/*
 * As idle, and each one acks its bookings and comes back when its connection
 * ends. A line is printed whenever all are live: "live", then "back" each time.
 */
int sb_crowd_storm(struct sb_line *line, const struct sb_crowd_plan *plan);

/* GET /v1/reconnect at a rate, a connection each or by some that are kept, tokens in turn: counts
 * the answers. */
int sb_crowd_ask(struct sb_line *line, const struct sb_crowd_plan *plan);

/* So many connections, each with a hello without a token: counts the close codes. */
int sb_crowd_knock(struct sb_line *line, const struct sb_crowd_plan *plan);

#endif
