/*
 * The loop and the counts. What a machine reads is JSON on stdout, a line for
 * each thing that was reached; what people read is on stderr.
 */
#include "tests/bench/crowd.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define CODES_MAX  5000

struct crowd {
	struct sb_caller *callers;
	const struct sb_crowd_plan *plan;
	struct sb_line *line;
	size_t called; /* so far */
	size_t on_their_way;
	size_t live;
	size_t resumed;
	uint64_t messages;
	size_t lost; /* ended though they were to stay */
	size_t codes[CODES_MAX];
	const char *why; /* the first failure, in words */
	bool stopped;
};

/* One at a time: callers know their line, and nothing of a crowd. */
static struct crowd the_crowd;

static double now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void arrived(struct sb_caller *caller)
{
	struct crowd *crowd = &the_crowd;

	if (caller->live)
		return;
	caller->live = true;
	crowd->live++;
	crowd->on_their_way--;
	crowd->resumed += caller->resumed;
}

static void lose(struct crowd *crowd, const char *why)
{
	crowd->lost++;
	if (!crowd->why)
		crowd->why = why;
}

/* ---- the ways of a crowd ---- */

static void on_opened(struct sb_caller *caller)
{
	char hello[160];
	int len = caller->token ? snprintf(hello, sizeof(hello),
					   "{\"type\":\"hello\",\"token\":\"%s\"}", caller->token)
				: snprintf(hello, sizeof(hello), "{\"type\":\"hello\"}");

	(void)sb_caller_say(caller, hello, (size_t)len);
}

static bool is_live(const char *bytes, size_t len)
{
	static const char live[] = "{\"type\":\"live\"";

	return len > sizeof(live) && !memcmp(bytes, live, sizeof(live) - 1);
}

static void on_message_idle(struct sb_caller *caller, const char *bytes, size_t len)
{
	the_crowd.messages++;
	if (is_live(bytes, len))
		arrived(caller);
}

static void on_ended_idle(struct sb_caller *caller, int code, const char *why)
{
	struct crowd *crowd = &the_crowd;

	if (caller->live)
		crowd->live--;
	else
		crowd->on_their_way--;
	crowd->codes[code > 0 && code < CODES_MAX ? code : 0]++;
	lose(crowd, *why ? why : "the server closed");
}

static const struct sb_caller_ops idle = {
	.opened = on_opened, .message = on_message_idle, .ended = on_ended_idle};

static void on_message_knock(struct sb_caller *caller, const char *bytes, size_t len)
{
	(void)caller;
	(void)bytes;
	(void)len;
	the_crowd.messages++;
}

static void on_ended_knock(struct sb_caller *caller, int code, const char *why)
{
	struct crowd *crowd = &the_crowd;

	crowd->on_their_way--;
	crowd->resumed += caller->resumed;
	crowd->codes[code > 0 && code < CODES_MAX ? code : 0]++;
	if (!code)
		lose(crowd, why);
}

static const struct sb_caller_ops knock = {
	.opened = on_opened, .message = on_message_knock, .ended = on_ended_knock};

/* ---- the loop ---- */

static void call_more(struct crowd *crowd, const struct sb_caller_ops *ops)
{
	const struct sb_crowd_plan *plan = crowd->plan;

	while (crowd->called < plan->sessions && crowd->on_their_way < plan->connecting) {
		struct sb_caller *caller = &crowd->callers[crowd->called];
		int result;

		*caller = (struct sb_caller){
			.line = crowd->line,
			.ops = ops,
			.token = plan->tokens ? plan->tokens[crowd->called] : NULL,
		};
		result = sb_caller_call(caller);
		crowd->called++;
		if (result == 0)
			crowd->on_their_way++;
		else
			lose(crowd, strerror(-result));
	}
}

/* Serves whoever is ready within `wait_ms`. The end of stdin, and SIGINT or SIGTERM, stop it. */
static void turn(struct crowd *crowd, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(crowd->line->epoll, events, EVENTS_MAX, wait_ms);

	for (int i = 0; i < count; i++) {
		struct sb_caller *caller = events[i].data.ptr;

		if (caller)
			sb_caller_serve(caller, events[i].events);
		else
			crowd->stopped = true;
	}
}

static void watch_for_the_end(const struct crowd *crowd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	sigset_t signals;
	int fd;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	(void)epoll_ctl(crowd->line->epoll, EPOLL_CTL_ADD, fd, &event);
	if (crowd->plan->seconds <= 0)
		(void)epoll_ctl(crowd->line->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
}

static int begin(struct crowd *crowd, struct sb_line *line, const struct sb_crowd_plan *plan)
{
	*crowd = (struct crowd){.line = line, .plan = plan};
	crowd->callers = calloc(plan->sessions, sizeof(*crowd->callers));
	watch_for_the_end(crowd);
	return crowd->callers ? 0 : -ENOMEM;
}

/* The ticket of the first one that is there serves those who come after. */
static void keep_ticket(struct crowd *crowd)
{
	if (!crowd->plan->resume || crowd->line->ticket)
		return;
	for (size_t i = 0; i < crowd->called && !crowd->line->ticket; i++) {
		if (crowd->callers[i].live)
			crowd->line->ticket = SSL_get1_session(crowd->callers[i].tls);
	}
}

/* ---- the counts ---- */

static void report_codes(const struct crowd *crowd)
{
	const char *between = "";

	(void)printf("\"closes\":{");
	for (int code = 0; code < CODES_MAX; code++) {
		if (!crowd->codes[code])
			continue;
		(void)printf("%s\"%d\":%zu", between, code, crowd->codes[code]);
		between = ",";
	}
	(void)printf("}");
}

static void report(const struct crowd *crowd, const char *event, double seconds)
{
	uint64_t pings = 0;

	for (size_t i = 0; i < crowd->called; i++)
		pings += crowd->callers[i].pings;
	(void)printf("{\"event\":\"%s\",\"seconds\":%.3f,\"live\":%zu,\"lost\":%zu,\"resumed\":%zu,"
		     "\"messages\":%llu,\"pings\":%llu,",
		     event, seconds, crowd->live, crowd->lost, crowd->resumed,
		     (unsigned long long)crowd->messages, (unsigned long long)pings);
	report_codes(crowd);
	(void)printf("}\n");
	(void)fflush(stdout);
	if (crowd->why)
		(void)fprintf(stderr, "slotbell-bench: %zu lost; the first one: %s\n", crowd->lost,
			      crowd->why);
}

static int finish(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->called; i++)
		sb_caller_hang_up(&crowd->callers[i]);
	free(crowd->callers);
	SSL_SESSION_free(crowd->line->ticket);
	crowd->line->ticket = NULL;
	return crowd->lost ? EXIT_FAILURE : EXIT_SUCCESS;
}

int sb_crowd_idle(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	struct crowd *crowd = &the_crowd;
	double begun = now_s(), there;

	if (begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	while (!crowd->stopped && crowd->live + crowd->lost < plan->sessions) {
		keep_ticket(crowd);
		if (!plan->resume || line->ticket || !crowd->called)
			call_more(crowd, &idle);
		turn(crowd, 1000);
	}
	there = now_s();
	report(crowd, "live", there - begun);
	while (!crowd->stopped && (plan->seconds <= 0 || now_s() < there + plan->seconds))
		turn(crowd, 100);
	report(crowd, "stayed", now_s() - there);
	return finish(crowd);
}

int sb_crowd_knock(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	struct crowd *crowd = &the_crowd;
	double begun = now_s();

	if (begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	while (!crowd->stopped && (crowd->called < plan->sessions || crowd->on_their_way)) {
		call_more(crowd, &knock);
		turn(crowd, 1000);
	}
	report(crowd, "knocked", now_s() - begun);
	return finish(crowd);
}
