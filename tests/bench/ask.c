/*
 * Clients that only ask whether to come back, at an even rate: a connection
 * each, resumed if wanted, as the server ends it after its answer.
 */
#include "tests/bench/crowd_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	double *begun_s; /* of each caller's request */
	float *took_s;	 /* of all answers */
	size_t *free;	 /* a stack of callers that may be called */
	size_t free_count, answers, room;
	size_t good; /* of the answers: 200 */
} ask;

static void on_answer(struct sb_caller *caller)
{
	ask.good += caller->status == 200;
	if (ask.answers < ask.room)
		ask.took_s[ask.answers++] =
			(float)(sb_crowd_now_s() - ask.begun_s[sb_crowd_number(caller)]);
	sb_the_crowd.resumed += caller->resumed;
	if (sb_the_crowd.plan->resume && !sb_the_crowd.line->ticket)
		sb_the_crowd.line->ticket = SSL_SESSION_dup(SSL_get0_session(caller->tls));
}

static void on_message(struct sb_caller *caller, const char *bytes, size_t len)
{
	(void)caller;
	(void)bytes;
	(void)len;
}

static void on_ended(struct sb_caller *caller, int code, const char *why)
{
	(void)code;
	sb_the_crowd.on_their_way--;
	if (!caller->status)
		sb_crowd_lose(&sb_the_crowd, why);
	ask.free[ask.free_count++] = sb_crowd_number(caller);
}

static const struct sb_caller_ops ops = {
	.opened = on_answer, .message = on_message, .ended = on_ended};

static void ask_next(struct sb_crowd *crowd, size_t token)
{
	size_t number = ask.free[--ask.free_count];
	struct sb_caller *caller = &crowd->callers[number];

	*caller =
		(struct sb_caller){.line = crowd->line,
				   .ops = &ops,
				   .token = crowd->plan->tokens[token % crowd->plan->token_count]};
	ask.begun_s[number] = sb_crowd_now_s();
	if (sb_caller_call(caller) == 0) {
		crowd->on_their_way++;
	} else {
		sb_crowd_lose(crowd, "cannot call");
		ask.free[ask.free_count++] = number;
	}
}

static void report(struct sb_crowd *crowd, double seconds)
{
	char more[256];

	sb_crowd_sort(ask.took_s, ask.answers);
	(void)snprintf(more, sizeof(more),
		       "\"answers\":%zu,\"ok\":%zu,\"took_p50\":%.6f,\"took_p99\":%.6f,",
		       ask.answers, ask.good, ask.answers ? (double)ask.took_s[ask.answers / 2] : 0,
		       ask.answers ? (double)ask.took_s[ask.answers * 99 / 100] : 0);
	sb_crowd_report(crowd, "asked", seconds, more);
}

/* One at first, for its ticket; then what is due by the clock, as long as callers are free. */
static void ask_all(struct sb_crowd *crowd, double begun)
{
	const struct sb_crowd_plan *plan = crowd->plan;
	size_t asked = 0;

	while (!crowd->stopped) {
		double now = sb_crowd_now_s();
		bool over = plan->seconds > 0 && now >= begun + plan->seconds;
		size_t due = (size_t)((now - begun) * plan->rate) + 1;

		if (over && !crowd->on_their_way)
			return;
		while (!over && asked < due && ask.free_count &&
		       (!plan->resume || crowd->line->ticket || !asked))
			ask_next(crowd, asked++);
		sb_crowd_turn(crowd, 1);
	}
}

int sb_crowd_ask(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	struct sb_crowd *crowd = &sb_the_crowd;
	double begun = sb_crowd_now_s();

	line->path = "/v1/reconnect";
	ask.room = (size_t)(plan->rate * (plan->seconds > 0 ? plan->seconds + 10 : 600));
	ask.begun_s = calloc(plan->sessions, sizeof(*ask.begun_s));
	ask.free = calloc(plan->sessions, sizeof(*ask.free));
	ask.took_s = calloc(ask.room, sizeof(*ask.took_s));
	if (!ask.begun_s || !ask.free || !ask.took_s || sb_crowd_begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	for (size_t i = plan->sessions; i > 0; i--)
		ask.free[ask.free_count++] = i - 1;
	ask_all(crowd, begun);
	report(crowd, sb_crowd_now_s() - begun);
	free(ask.begun_s);
	free(ask.free);
	free(ask.took_s);
	return sb_crowd_finish(crowd);
}
