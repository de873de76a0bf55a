/*
 * Clients that only ask whether to come back, at an even rate: by a connection
 * for each question, resumed if wanted, or by connections that are kept, in turn.
 */
#include "tests/bench/crowd_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	double *begun_s; /* of each caller's question */
	float *took_s;	 /* of all answers */
	size_t *free;	 /* a ring of callers that may ask: who waited longest is next */
	size_t free_first, free_count;
	size_t answers, room;
	size_t good;  /* of the answers: 200 */
	size_t calls; /* connections */
} ask;

static void put_free(const struct sb_caller *caller)
{
	ask.free[(ask.free_first + ask.free_count++) % sb_the_crowd.plan->sessions] =
		sb_crowd_number(caller);
}

static struct sb_caller *take_free(void)
{
	size_t number = ask.free[ask.free_first];

	ask.free_first = (ask.free_first + 1) % sb_the_crowd.plan->sessions;
	ask.free_count--;
	return &sb_the_crowd.callers[number];
}

static void on_answer(struct sb_caller *caller)
{
	ask.good += caller->status == 200;
	if (ask.answers < ask.room)
		ask.took_s[ask.answers++] =
			(float)(sb_crowd_now_s() - ask.begun_s[sb_crowd_number(caller)]);
	if (sb_the_crowd.plan->resume && !sb_the_crowd.line->ticket)
		sb_the_crowd.line->ticket = SSL_SESSION_dup(SSL_get0_session(caller->tls));
	if (!caller->live) { /* its first one by this connection */
		caller->live = true;
		sb_the_crowd.resumed += caller->resumed;
	}
	if (!sb_the_crowd.plan->keep)
		return;
	sb_the_crowd.on_their_way--;
	put_free(caller);
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
	if (sb_the_crowd.plan->keep && caller->status)
		return; /* it is free already, and will call anew */
	sb_the_crowd.on_their_way--;
	if (!caller->status)
		sb_crowd_lose(&sb_the_crowd, why);
	put_free(caller);
}

static const struct sb_caller_ops ops = {
	.opened = on_answer, .message = on_message, .ended = on_ended};

static int call(struct sb_crowd *crowd, struct sb_caller *caller, const char *token)
{
	*caller = (struct sb_caller){.line = crowd->line, .ops = &ops, .token = token};
	ask.calls++;
	return sb_caller_call(caller);
}

static void ask_next(struct sb_crowd *crowd, size_t question)
{
	const char *token = crowd->plan->tokens[question % crowd->plan->token_count];
	struct sb_caller *caller = take_free();
	int result;

	ask.begun_s[sb_crowd_number(caller)] = sb_crowd_now_s();
	if (caller->state == SB_CALLER_ANSWERED) {
		caller->token = token;
		result = sb_caller_ask(caller);
	} else {
		result = call(crowd, caller, token);
	}
	if (result == 0) {
		crowd->on_their_way++;
	} else {
		sb_crowd_lose(crowd, "cannot call");
		sb_caller_hang_up(caller);
		put_free(caller);
	}
}

static void report(struct sb_crowd *crowd, double seconds)
{
	char more[256];

	sb_crowd_sort(ask.took_s, ask.answers);
	(void)snprintf(more, sizeof(more),
		       "\"answers\":%zu,\"ok\":%zu,\"connections\":%zu,\"took_p50\":%.6f,"
		       "\"took_p99\":%.6f,",
		       ask.answers, ask.good, ask.calls,
		       ask.answers ? (double)ask.took_s[ask.answers / 2] : 0,
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
	line->keep = plan->keep;
	ask.room = (size_t)(plan->rate * (plan->seconds > 0 ? plan->seconds + 10 : 600));
	ask.begun_s = calloc(plan->sessions, sizeof(*ask.begun_s));
	ask.free = calloc(plan->sessions, sizeof(*ask.free));
	ask.took_s = calloc(ask.room, sizeof(*ask.took_s));
	if (!ask.begun_s || !ask.free || !ask.took_s || sb_crowd_begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	crowd->called = plan->sessions; /* any of them may be */
	for (size_t i = 0; i < plan->sessions; i++)
		put_free(&crowd->callers[i]);
	ask_all(crowd, begun);
	report(crowd, sb_crowd_now_s() - begun);
	free(ask.begun_s);
	free(ask.free);
	free(ask.took_s);
	return sb_crowd_finish(crowd);
}
