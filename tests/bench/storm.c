/*
 * A crowd that comes back. Each caller is live, acks what it is sent, and when
 * its connection ends it is called again, as a plug-in would be: first come,
 * first called, so many on their way at once, and a server's word of when to
 * return is kept to. While nobody listens, one caller at a time tries.
 *
 * The clock of a return starts when the server listens again: what counts is
 * how long a server takes, not how long it was away.
 */
#include "tests/bench/crowd_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED_S 0.02 /* until the next try, while nobody listens */

struct seat {
	double again_s; /* not to be called before */
	float took_s;	/* from when the first one was let in until this one was live */
	uint16_t calls; /* that it needed */
};

static struct {
	struct seat *seats;
	size_t *queue; /* a ring of those who wait, in the order in which they were lost */
	size_t first, waiting;
	double quiet_until_s; /* nobody listens */
	double open_s;	      /* when the first one was let in since a loss; 0: not yet */
	double until_s;	      /* when it ends by itself; 0: not yet known, or never */
	uint64_t bookings;
	size_t told; /* to come back later */
} storm;

/* ---- in ---- */

/* The string member `name`, quotes left off; its length, or 0. */
static size_t find_string(const char *bytes, size_t len, const char *name, const char **ret_value)
{
	char key[32];
	int key_len = snprintf(key, sizeof(key), "\"%s\":\"", name);
	const char *at = memmem(bytes, len, key, (size_t)key_len), *end;

	if (!at)
		return 0;
	at += key_len;
	end = memchr(at, '"', len - (size_t)(at - bytes));
	*ret_value = at;
	return end ? (size_t)(end - at) : 0;
}

static void acknowledge(struct sb_caller *caller, const char *bytes, size_t len)
{
	const char *cursor = NULL;
	char ack[120];
	size_t cursor_len = find_string(bytes, len, "cursor", &cursor);

	if (cursor_len && cursor_len < 60)
		(void)sb_caller_say(caller, ack,
				    (size_t)snprintf(ack, sizeof(ack),
						     "{\"type\":\"ack\",\"cursor\":\"%.*s\"}",
						     (int)cursor_len, cursor));
}

static void on_message(struct sb_caller *caller, const char *bytes, size_t len)
{
	static const char after[] = "\"reconnect_after_ms\":";
	struct seat *seat = &storm.seats[sb_crowd_number(caller)];

	sb_the_crowd.messages++;
	if (sb_crowd_is(bytes, len, "booking")) {
		storm.bookings++;
		acknowledge(caller, bytes, len);
	} else if (sb_crowd_is(bytes, len, "live")) {
		sb_crowd_arrived(caller);
		seat->took_s = (float)(sb_crowd_now_s() - storm.open_s);
	} else if (sb_crowd_is(bytes, len, "goodbye")) {
		const char *at = memmem(bytes, len, after, sizeof(after) - 1);

		storm.told++;
		if (at)
			seat->again_s =
				sb_crowd_now_s() + strtod(at + sizeof(after) - 1, NULL) / 1000;
	}
}

static void on_opened(struct sb_caller *caller)
{
	if (storm.open_s == 0)
		storm.open_s = sb_crowd_now_s();
	sb_crowd_hello(caller);
}

static void wait_for_turn(size_t number)
{
	size_t size = sb_the_crowd.plan->sessions;

	storm.queue[(storm.first + storm.waiting) % size] = number;
	storm.waiting++;
}

static void on_ended(struct sb_caller *caller, int code, const char *why)
{
	struct sb_crowd *crowd = &sb_the_crowd;

	if (caller->live)
		crowd->live--;
	else
		crowd->on_their_way--;
	caller->live = false;
	sb_crowd_count_code(crowd, code);
	if (!strcmp(why, "cannot connect"))
		storm.quiet_until_s = sb_crowd_now_s() + REFUSED_S;
	wait_for_turn(sb_crowd_number(caller));
}

static const struct sb_caller_ops ops = {
	.opened = on_opened, .message = on_message, .ended = on_ended};

/* ---- back ---- */

/* Who waits and may be called, in their order; who was told to wait goes to the end of it. */
static void call_back(struct sb_crowd *crowd)
{
	size_t size = crowd->plan->sessions, at_once = crowd->plan->connecting,
	       looked = storm.waiting;
	double now = sb_crowd_now_s();

	if (now < storm.quiet_until_s)
		return;
	if (storm.quiet_until_s > 0 && storm.open_s == 0)
		at_once = 1;
	while (looked-- && crowd->on_their_way < at_once) {
		size_t number = storm.queue[storm.first];
		struct seat *seat = &storm.seats[number];

		storm.first = (storm.first + 1) % size;
		storm.waiting--;
		if (now < seat->again_s) {
			wait_for_turn(number);
			continue;
		}
		seat->calls++;
		if (sb_caller_call(&crowd->callers[number]) == 0)
			crowd->on_their_way++;
		else
			wait_for_turn(number);
	}
}

/* How long each of them took, from the quickest to the slowest. */
static void report_return(struct sb_crowd *crowd, const char *event, double seconds)
{
	size_t count = crowd->plan->sessions;
	float *took = calloc(count, sizeof(*took));
	unsigned most_calls = 0;
	char more[256];

	if (!took)
		return;
	for (size_t i = 0; i < count; i++) {
		took[i] = storm.seats[i].took_s;
		if (storm.seats[i].calls > most_calls)
			most_calls = storm.seats[i].calls;
		storm.seats[i].calls = 0;
	}
	sb_crowd_sort(took, count);
	(void)snprintf(more, sizeof(more),
		       "\"bookings\":%llu,\"told\":%zu,\"calls_max\":%u,"
		       "\"took_p50\":%.3f,\"took_p99\":%.3f,\"took_max\":%.3f,",
		       (unsigned long long)storm.bookings, storm.told, most_calls,
		       (double)took[count / 2], (double)took[count * 99 / 100],
		       (double)took[count - 1]);
	free(took);
	sb_crowd_report(crowd, event, seconds, more);
}

static void turn(struct sb_crowd *crowd, int wait_ms)
{
	sb_crowd_turn(crowd, wait_ms);
	if (storm.until_s > 0 && sb_crowd_now_s() >= storm.until_s)
		crowd->stopped = true;
}

/* Until all are live, or it is stopped. */
static void gather(struct sb_crowd *crowd)
{
	const struct sb_crowd_plan *plan = crowd->plan;

	while (!crowd->stopped && crowd->live < plan->sessions) {
		sb_crowd_call_more(crowd, &ops);
		call_back(crowd);
		turn(crowd, storm.waiting ? 5 : 1000);
	}
}

int sb_crowd_storm(struct sb_line *line, const struct sb_crowd_plan *plan)
{
	struct sb_crowd *crowd = &sb_the_crowd;
	double begun = sb_crowd_now_s();
	const char *event = "live";

	if (sb_crowd_begin(crowd, line, plan) != 0)
		return EXIT_FAILURE;
	storm.seats = calloc(plan->sessions, sizeof(*storm.seats));
	storm.queue = calloc(plan->sessions, sizeof(*storm.queue));
	if (!storm.seats || !storm.queue)
		return EXIT_FAILURE;
	while (!crowd->stopped) {
		gather(crowd);
		if (crowd->stopped)
			break;
		report_return(crowd, event,
			      sb_crowd_now_s() - (storm.open_s > 0 ? storm.open_s : begun));
		if (plan->seconds > 0 && storm.until_s <= 0)
			storm.until_s = sb_crowd_now_s() + plan->seconds;
		while (!crowd->stopped && crowd->live == plan->sessions)
			turn(crowd, plan->seconds > 0 ? 100 : 1000);
		event = "back";
		storm.open_s = 0;
		storm.told = 0;
		crowd->resumed = 0;
	}
	report_return(crowd, "stayed", sb_crowd_now_s() - begun);
	free(storm.seats);
	free(storm.queue);
	return sb_crowd_finish(crowd);
}
