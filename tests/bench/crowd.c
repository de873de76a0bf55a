/*
 * The loop and the counts. What a machine reads is JSON on stdout, a line for
 * each thing that was reached; what people read is on stderr.
 */
#include "tests/bench/crowd_private.h"
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

struct sb_crowd sb_the_crowd;

double sb_crowd_now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void sb_crowd_arrived(struct sb_caller *caller)
{
	struct sb_crowd *crowd = &sb_the_crowd;

	if (caller->live)
		return;
	caller->live = true;
	crowd->live++;
	crowd->on_their_way--;
	crowd->resumed += caller->resumed;
}

void sb_crowd_lose(struct sb_crowd *crowd, const char *why)
{
	crowd->lost++;
	if (!crowd->why)
		crowd->why = why;
}

void sb_crowd_count_code(struct sb_crowd *crowd, int code)
{
	crowd->codes[code > 0 && code < SB_CROWD_CODES ? code : 0]++;
}

size_t sb_crowd_number(const struct sb_caller *caller)
{
	return (size_t)(caller - sb_the_crowd.callers);
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

void sb_crowd_sort(float *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
}

/* ---- messages ---- */

void sb_crowd_hello(struct sb_caller *caller)
{
	char hello[160];
	int len = caller->token ? snprintf(hello, sizeof(hello),
					   "{\"type\":\"hello\",\"token\":\"%s\"}", caller->token)
				: snprintf(hello, sizeof(hello), "{\"type\":\"hello\"}");

	(void)sb_caller_say(caller, hello, (size_t)len);
}

bool sb_crowd_is(const char *bytes, size_t len, const char *type)
{
	char start[40];
	int start_len = snprintf(start, sizeof(start), "{\"type\":\"%s\"", type);

	return len > (size_t)start_len && !memcmp(bytes, start, (size_t)start_len);
}

/* ---- the loop ---- */

static void call_next(struct sb_crowd *crowd, const struct sb_caller_ops *ops)
{
	struct sb_caller *caller = &crowd->callers[crowd->called];
	int result;

	*caller = (struct sb_caller){
		.line = crowd->line,
		.ops = ops,
		.token = crowd->plan->tokens ? crowd->plan->tokens[crowd->called] : NULL,
	};
	result = sb_caller_call(caller);
	crowd->called++;
	if (result == 0)
		crowd->on_their_way++;
	else
		sb_crowd_lose(crowd, strerror(-result));
}

void sb_crowd_call_more(struct sb_crowd *crowd, const struct sb_caller_ops *ops)
{
	const struct sb_crowd_plan *plan = crowd->plan;

	sb_crowd_keep_ticket(crowd);
	while (crowd->called < plan->sessions && crowd->on_their_way < plan->connecting &&
	       (!plan->resume || crowd->line->ticket || !crowd->called))
		call_next(crowd, ops);
}

void sb_crowd_turn(struct sb_crowd *crowd, int wait_ms)
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

static void watch_for_the_end(const struct sb_crowd *crowd)
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

int sb_crowd_begin(struct sb_crowd *crowd, struct sb_line *line, const struct sb_crowd_plan *plan)
{
	*crowd = (struct sb_crowd){.line = line, .plan = plan};
	crowd->callers = calloc(plan->sessions, sizeof(*crowd->callers));
	watch_for_the_end(crowd);
	return crowd->callers ? 0 : -ENOMEM;
}

void sb_crowd_keep_ticket(struct sb_crowd *crowd)
{
	if (!crowd->plan->resume || crowd->line->ticket)
		return;
	for (size_t i = 0; i < crowd->called && !crowd->line->ticket; i++) {
		if (crowd->callers[i].live)
			crowd->line->ticket =
				SSL_SESSION_dup(SSL_get0_session(crowd->callers[i].tls));
	}
}

/* ---- the counts ---- */

static void report_codes(const struct sb_crowd *crowd)
{
	const char *between = "";

	(void)printf("\"closes\":{");
	for (int code = 0; code < SB_CROWD_CODES; code++) {
		if (!crowd->codes[code])
			continue;
		(void)printf("%s\"%d\":%zu", between, code, crowd->codes[code]);
		between = ",";
	}
	(void)printf("}");
}

void sb_crowd_report(const struct sb_crowd *crowd, const char *event, double seconds,
		     const char *more)
{
	uint64_t pings = 0;

	for (size_t i = 0; i < crowd->called; i++)
		pings += crowd->callers[i].pings;
	(void)printf("{\"event\":\"%s\",\"seconds\":%.3f,\"live\":%zu,\"lost\":%zu,\"resumed\":%zu,"
		     "\"messages\":%llu,\"pings\":%llu,%s",
		     event, seconds, crowd->live, crowd->lost, crowd->resumed,
		     (unsigned long long)crowd->messages, (unsigned long long)pings, more);
	report_codes(crowd);
	(void)printf("}\n");
	(void)fflush(stdout);
	if (crowd->why)
		(void)fprintf(stderr, "slotbell-bench: %zu lost; the first one: %s\n", crowd->lost,
			      crowd->why);
}

int sb_crowd_finish(struct sb_crowd *crowd)
{
	for (size_t i = 0; i < crowd->called; i++)
		sb_caller_hang_up(&crowd->callers[i]);
	free(crowd->callers);
	SSL_SESSION_free(crowd->line->ticket);
	crowd->line->ticket = NULL;
	return crowd->lost ? EXIT_FAILURE : EXIT_SUCCESS;
}
