/* Crowds that come in and stay, or knock and are sent away. */
#include "tests/bench/crowd_private.h"
#include <stdlib.h>

/* ---- idle: live, and then at rest ---- */

static void on_message_idle(struct sb_caller *caller, const char *bytes, size_t len)
{
	sb_the_crowd.messages++;
	if (sb_crowd_is(bytes, len, "live"))
		sb_crowd_arrived(caller);
}

static void on_ended_idle(struct sb_caller *caller, int code, const char *why)
{
	struct sb_crowd *crowd = &sb_the_crowd;

	if (caller->live)
		crowd->live--;
	else
		crowd->on_their_way--;
	sb_crowd_count_code(crowd, code);
	sb_crowd_lose(crowd, *why ? why : "the server closed");
}

static const struct sb_caller_ops idle = {
	.opened = sb_crowd_hello, .message = on_message_idle, .ended = on_ended_idle};

/* ---- shake: through TLS and upgrade, and nothing more ---- */

static void on_message_shake(struct sb_caller *caller, const char *bytes, size_t len)
{
	(void)caller;
	(void)bytes;
	(void)len;
	sb_the_crowd.messages++;
}

static const struct sb_caller_ops shake = {
	.opened = sb_crowd_arrived, .message = on_message_shake, .ended = on_ended_idle};

/* ---- knock: a hello without a token ---- */

static void on_ended_knock(struct sb_caller *caller, int code, const char *why)
{
	struct sb_crowd *crowd = &sb_the_crowd;

	crowd->on_their_way--;
	crowd->resumed += caller->resumed;
	sb_crowd_count_code(crowd, code);
	if (!code)
		sb_crowd_lose(crowd, why);
}

static const struct sb_caller_ops knock = {
	.opened = sb_crowd_hello, .message = on_message_shake, .ended = on_ended_knock};

/* ---- the commands ---- */

static int stay(struct sb_line *line, const struct sb_crowd_plan *plan,
		const struct sb_caller_ops *ops)
{
	struct sb_crowd *crowd = &sb_the_crowd;
	double begun = sb_crowd_now_s(), there;

	if (sb_crowd_begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	while (!crowd->stopped && crowd->live + crowd->lost < plan->sessions) {
		sb_crowd_call_more(crowd, ops);
		sb_crowd_turn(crowd, 1000);
	}
	there = sb_crowd_now_s();
	sb_crowd_report(crowd, "live", there - begun, "");
	while (!crowd->stopped && (plan->seconds <= 0 || sb_crowd_now_s() < there + plan->seconds))
		sb_crowd_turn(crowd, 100);
	sb_crowd_report(crowd, "stayed", sb_crowd_now_s() - there, "");
	return sb_crowd_finish(crowd);
}

int sb_crowd_idle(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	return stay(line, plan, &idle);
}

int sb_crowd_shake(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	return stay(line, plan, &shake);
}

int sb_crowd_knock(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	struct sb_crowd *crowd = &sb_the_crowd;
	double begun = sb_crowd_now_s();

	if (sb_crowd_begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	while (!crowd->stopped && (crowd->called < plan->sessions || crowd->on_their_way)) {
		sb_crowd_call_more(crowd, &knock);
		sb_crowd_turn(crowd, 1000);
	}
	sb_crowd_report(crowd, "knocked", sb_crowd_now_s() - begun, "");
	return sb_crowd_finish(crowd);
}
