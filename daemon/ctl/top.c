/*
 * slotbellctl top: the running daemon, again and again. On a terminal the
 * screen is drawn anew each time; else, and with --json, it is a line a time.
 *
 * Each look is a connection of its own, so a restart in between is only one
 * look in which nobody answers.
 */
#include "daemon/ctl/control.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/status.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CLEAR_SCREEN "\033[H\033[2J"

struct look {
	struct timespec at;
	long long sent, saved, handshakes; /* since the daemon's start; -1: not known */
	long long pid;
	bool unwritable; /* nobody reads what is printed */
};

struct rates {
	double sent, saved, handshakes; /* a second */
};

static void on_signal(int number)
{
	(void)number;
	_exit(SB_EXIT_DONE);
}

static struct look look_at(const json_t *status)
{
	struct look look = {
		.sent = sb_status_sum(json_object_get(status, "events_sent")),
		.saved = json_integer_value(json_object_get(status, "acks_saved")),
		.handshakes = sb_status_sum(json_object_get(status, "handshakes")),
		.pid = json_integer_value(json_object_get(status, "pid")),
	};

	(void)clock_gettime(CLOCK_MONOTONIC, &look.at);
	return look;
}

/* Of another process, or before the second look, there are none. */
static struct rates rates_of(const struct look *before, const struct look *now)
{
	double seconds = (double)(now->at.tv_sec - before->at.tv_sec) +
			 (double)(now->at.tv_nsec - before->at.tv_nsec) / 1e9;

	if (before->pid != now->pid || seconds <= 0)
		return (struct rates){0};
	return (struct rates){
		.sent = ((double)now->sent - (double)before->sent) / seconds,
		.saved = ((double)now->saved - (double)before->saved) / seconds,
		.handshakes = ((double)now->handshakes - (double)before->handshakes) / seconds,
	};
}

static void show_screen(const json_t *status, const struct rates *rates)
{
	fputs(CLEAR_SCREEN, stdout);
	sb_status_print(status);
	printf("\n%.1f events sent, %.1f acks saved, %.1f handshakes a second\n", rates->sent,
	       rates->saved, rates->handshakes);
}

static void show_line(const json_t *status, const struct rates *rates, bool with_titles)
{
	const json_t *states = json_object_get(status, "states");
	const char *told = json_string_value(json_object_get(status, "state"));
	char *state = sb_clean(told ? told : "-", false);

	if (with_titles)
		printf("%-9s %9s %9s %9s %9s %12s\n", "STATE", "SESSIONS", "LIVE", "SENT/S",
		       "ACKED/S", "HANDSHAKES/S");
	printf("%-9s %9lld %9lld %9.1f %9.1f %12.1f\n", state,
	       (long long)json_integer_value(json_object_get(status, "sessions")),
	       (long long)json_integer_value(json_object_get(states, "live")), rates->sent,
	       rates->saved, rates->handshakes);
	free(state);
}

static void show_json(json_t *status, const struct rates *rates)
{
	sb_need(json_object_set_new(status, "per_second",
				    json_pack("{s:f, s:f, s:f}", "events_sent", rates->sent,
					      "acks_saved", rates->saved, "handshakes",
					      rates->handshakes)) == 0);
	sb_print_json(json_incref(status));
}

/* What the processes that look, one after the other, know of each other. */
struct looks {
	bool screen;
	long long number; /* of this look */
	struct look before;
	struct look *latest; /* shared with whoever looks */
};

static enum sb_exit look_once(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	struct looks *looks = data;
	json_t *answer = sb_control_ask(ctl, talk, json_pack("{s:s}", "command", "status"));
	struct rates rates;

	if (!answer)
		return ctl->status;
	*looks->latest = look_at(answer);
	rates = rates_of(&looks->before, looks->latest);
	if (looks->screen)
		show_screen(answer, &rates);
	else if (ctl->json)
		show_json(answer, &rates);
	else
		show_line(answer, &rates, looks->number % 20 == 0);
	json_decref(answer);
	looks->latest->unwritable = fflush(stdout) != 0;
	return looks->latest->unwritable ? SB_EXIT_FAILED : SB_EXIT_DONE;
}

static enum sb_exit watch(struct sb_ctl *ctl, long long interval_s, long long count)
{
	struct looks looks = {.screen = !ctl->json && isatty(STDOUT_FILENO), .before = {.pid = -1}};
	enum sb_exit status = SB_EXIT_DONE;

	looks.latest = mmap(NULL, sizeof(*looks.latest), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sb_need(looks.latest != MAP_FAILED);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; !count || looks.number < count; looks.number++) {
		if (looks.number)
			sleep((unsigned int)interval_s);
		status = sb_control_do(ctl, look_once, &looks);
		if (status == SB_EXIT_DONE)
			looks.before = *looks.latest;
		else if (looks.number == 0)
			return status; /* never was there: a wrong path, most likely */
		if (looks.latest->unwritable)
			return sb_ctl_fail("cannot write to standard output");
	}
	return status;
}

enum { OPTION_INTERVAL = 1, OPTION_COUNT };

static enum sb_exit run(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"interval", required_argument, NULL, OPTION_INTERVAL},
		{"count", required_argument, NULL, OPTION_COUNT},
		SB_CTL_OPTIONS,
	};
	long long interval_s = 2, count = 0;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (option == OPTION_INTERVAL && !sb_ctl_number(optarg, 1, 3600, &interval_s))
			return sb_ctl_usage(ctl, "--interval %s: say whole seconds, 1 to 3600",
					    optarg);
		if (option == OPTION_COUNT && !sb_ctl_number(optarg, 1, INT_MAX, &count))
			return sb_ctl_usage(ctl, "--count %s: say a whole number from 1 on",
					    optarg);
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 0))
		return ctl->status;
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);
	return watch(ctl, interval_s, count);
}

const struct sb_ctl_command sb_command_top = {
	.group = "top",
	.arguments = "[--interval SECONDS] [--count N]",
	.summary = "Watches the running daemon, with its rates a second",
	.help = "On a terminal the screen is drawn anew each time, else it is a line a time. Ends "
		"with\n"
		"Ctrl-C. A restart of the daemon does not end it.\n"
		"  --interval SECONDS  between two looks (without it: 2)\n"
		"  --count N           leave after N looks\n"
		"\nExamples:\n"
		"  slotbellctl top\n"
		"  slotbellctl --json top --interval 10 | jq .per_second\n",
	.run = run,
};
