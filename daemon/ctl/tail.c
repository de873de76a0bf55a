/*
 * slotbellctl tail: what is booked for a mailbox, as it is booked.
 *
 * It goes about it as the daemon does: a notification means "look", never
 * more, and every so often it looks without one. Only its own place in the
 * sequence counts, so nothing is missed while the connection is away. It is no
 * device: it acks nothing and keeps nothing from being delivered.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/event.h"
#include "daemon/ctl/output.h"
#include "protocol/backoff.h"
#include "protocol/cursor.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A connection that died in silence is noticed by this look. */
#define LOOK_MS	     10000
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 10000
#define PAGE	     "500"

struct tail {
	struct sb_ctl *ctl;
	PGconn *database;
	const char *mailbox;
	int64_t seq;		      /* the last one shown */
	char epoch[SB_EPOCH_MAX + 1]; /* the numbering it is from; "" before the first */
};

enum look { LOOK_DONE, LOOK_LOST, LOOK_FAILED };

/* There is nothing to undo, so a signal may end the program wherever it stands, even in libpq. */
static void on_signal(int number)
{
	(void)number;
	_exit(SB_EXIT_DONE);
}

static void leave_on_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL); /* `slotbellctl tail … | head` has seen enough */
}

/* Waits for input at the database (unless NULL); ends the program when nobody reads any more. */
static void wait_for(PGconn *database, int timeout_ms)
{
	struct pollfd files[] = {
		{.fd = STDOUT_FILENO},
		{.fd = database ? PQsocket(database) : -1, .events = POLLIN},
	};

	if (poll(files, 2, timeout_ms) > 0 && (files[0].revents & (POLLERR | POLLHUP)))
		exit(SB_EXIT_DONE);
}

/* What the numbers themselves have gone through since the last look. */
static void note_numbering(struct tail *tail, const PGresult *result, int row)
{
	const char *epoch = sb_event_epoch(result, row);
	int64_t head = sb_event_head(result, row);

	if (*tail->epoch && strcmp(tail->epoch, epoch) != 0)
		sb_ctl_say("numbers count in a new epoch from here on: %s", epoch);
	(void)snprintf(tail->epoch, sizeof(tail->epoch), "%s", epoch);
	if (head < tail->seq) {
		sb_ctl_say("the numbers went back from %" PRId64 " to %" PRId64 ": was the database"
			   " restored from a copy? `slotbellctl db new-epoch` must follow then",
			   tail->seq, head);
		tail->seq = head;
	}
}

static void show(struct tail *tail, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		note_numbering(tail, result, row);
		if (!sb_event_is_there(result, row))
			continue;
		tail->seq = sb_event_seq(result, row);
		if (tail->ctl->json)
			sb_event_print_json(result, row);
		else
			sb_event_print(result, row);
	}
}

/* A statement whose failure may be that of the connection. NULL: *ret_look says which. */
static PGresult *ask(struct tail *tail, const char *sql, int count, const char *const *values,
		     enum look *ret_look)
{
	PGresult *result = PQexecParams(tail->database, sql, count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	*ret_look = LOOK_DONE;
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	*ret_look = LOOK_LOST;
	if (PQstatus(tail->database) == CONNECTION_OK) {
		sb_database_complain(tail->database, result, NULL, NULL);
		*ret_look = LOOK_FAILED;
	}
	PQclear(result);
	return NULL;
}

static enum look listen_for(struct tail *tail)
{
	enum look look;

	PQclear(ask(tail, "LISTEN slotbell_wake", 0, NULL, &look));
	return look;
}

/* Shows what lies after tail->seq, a page at a time. */
static enum look catch_up(struct tail *tail)
{
	char *sql = NULL, after[24];
	enum look look;
	bool more = true;

	sb_need(asprintf(&sql,
			 "SELECT %s FROM slotbell.events_after(mailbox => $1::pg_catalog.text, "
			 "after => "
			 "$2::bigint,"
			 " max_events => " PAGE ") ORDER BY seq",
			 sb_event_columns) >= 0);
	while (more) {
		PGresult *result;

		(void)snprintf(after, sizeof(after), "%" PRId64, tail->seq);
		result = ask(tail, sql, 2, (const char *const[]){tail->mailbox, after}, &look);
		if (result)
			show(tail, result);
		more = result && PQntuples(result) == (int)strtol(PAGE, NULL, 10);
		PQclear(result);
	}
	free(sql);
	return look;
}

/* The last `lines` events; with 0 only the place to go on from. */
static enum look show_backlog(struct tail *tail, long long lines)
{
	char *sql = NULL;
	enum look look;
	PGresult *result;

	sb_need(asprintf(&sql,
			 "SELECT %s FROM (SELECT * FROM slotbell.events_after(mailbox => "
			 "$1::pg_catalog.text,"
			 " after => 0, max_events => 2147483647) ORDER BY seq DESC LIMIT %lld)"
			 " AS newest ORDER BY seq",
			 sb_event_columns, lines > 0 ? lines : 1) >= 0);
	result = ask(tail, sql, 1, (const char *const[]){tail->mailbox}, &look);
	if (result && lines > 0)
		show(tail, result);
	else if (result && PQntuples(result) > 0)
		tail->seq = sb_event_head(result, 0);
	PQclear(result);
	free(sql);
	return look;
}

/* A mistyped address would else be silent for ever. */
static enum look warn_if_nobody_listens(struct tail *tail)
{
	enum look look;
	PGresult *result = ask(tail,
			       "SELECT 1 FROM slotbell.devices WHERE mailbox ="
			       " slotbell.fold_address($1::pg_catalog.text)"
			       " AND revoked_at IS NULL LIMIT 1",
			       1, (const char *const[]){tail->mailbox}, &look);

	if (result && PQntuples(result) == 0)
		sb_ctl_say("no plug-in is enrolled for %s: nothing rings there", tail->mailbox);
	PQclear(result);
	return look;
}

static bool take_notifications(PGconn *database)
{
	PGnotify *notification;
	bool any = false;

	while ((notification = PQnotifies(database)) != NULL) {
		PQfreemem(notification);
		any = true;
	}
	return any;
}

/* Until there may be something to see; a lost connection shows in the look that follows. */
static void wait_for_wake(struct tail *tail)
{
	if (take_notifications(tail->database))
		return;
	wait_for(tail->database, LOOK_MS);
	if (PQconsumeInput(tail->database))
		take_notifications(tail->database);
}

static void reconnect(struct tail *tail)
{
	struct sb_backoff backoff;
	uint32_t random = 0;

	sb_ctl_say("the connection to the database is lost; trying again …");
	sb_backoff_init(&backoff, RETRY_MIN_MS, RETRY_MAX_MS);
	do {
		/* Without randomness it comes back at once, which is no harm done by one. */
		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
			random = 0;
		wait_for(NULL, (int)sb_backoff_next(&backoff, random));
	} while (!sb_database_reopen(tail->database) || listen_for(tail) == LOOK_LOST);
	sb_ctl_say("connected again");
}

static enum sb_exit follow(struct tail *tail)
{
	for (;;) {
		switch (catch_up(tail)) {
		case LOOK_DONE:
			wait_for_wake(tail);
			break;
		case LOOK_LOST:
			reconnect(tail);
			break;
		case LOOK_FAILED:
			return SB_EXIT_FAILED;
		}
		if (ferror(stdout))
			return sb_ctl_fail("cannot write to standard output: %s", strerror(errno));
	}
}

static enum sb_exit tail_mailbox(struct sb_ctl *ctl, const char *mailbox, long long lines,
				 bool may_follow)
{
	struct tail tail = {.ctl = ctl, .mailbox = mailbox};
	enum look look = LOOK_DONE;

	leave_on_signals();
	setvbuf(stdout, NULL, _IOLBF, 0);
	tail.database = sb_database_open(ctl);
	if (!tail.database)
		return ctl->status;
	/* LISTEN comes first: what is booked after it wakes us, what was before is looked up. */
	if (may_follow)
		look = listen_for(&tail);
	if (look == LOOK_DONE)
		look = warn_if_nobody_listens(&tail);
	if (look == LOOK_DONE)
		look = show_backlog(&tail, lines);
	if (look == LOOK_LOST)
		sb_database_complain(tail.database, NULL, NULL, NULL);
	ctl->status = look == LOOK_DONE ? SB_EXIT_DONE : SB_EXIT_FAILED;
	if (look == LOOK_DONE && may_follow)
		ctl->status = follow(&tail);
	PQfinish(tail.database);
	return ctl->status;
}

enum { OPTION_LINES = 1, OPTION_FOLLOW, OPTION_NO_FOLLOW };

static enum sb_exit run(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"lines", required_argument, NULL, OPTION_LINES},
		{"follow", no_argument, NULL, OPTION_FOLLOW},
		{"no-follow", no_argument, NULL, OPTION_NO_FOLLOW},
		SB_CTL_OPTIONS,
	};
	long long lines = 10;
	bool may_follow = true;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (option != OPTION_LINES)
			may_follow = option == OPTION_FOLLOW;
		else if (!sb_ctl_number(optarg, 0, INT_MAX, &lines))
			return sb_ctl_usage(ctl, "--lines %s: say a whole number", optarg);
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 1))
		return ctl->status;
	return tail_mailbox(ctl, argv[optind], lines, may_follow);
}

const struct sb_ctl_command sb_command_tail = {
	.group = "tail",
	.arguments = "MAILBOX [--lines N] [--no-follow]",
	.summary = "Shows what is booked for a mailbox, as it is booked",
	.help = "Ends with Ctrl-C, or when nobody reads its output any more. A lost connection is\n"
		"mended, and nothing is missed by it. With --json each line is the message that a\n"
		"plug-in gets. It shows subjects and attendees: mind who reads them.\n"
		"  --lines N    first the last N bookings that are still there (without it: 10)\n"
		"  --no-follow  leave after those\n"
		"\n"
		"Examples:\n"
		"  slotbellctl tail ada@example.com\n"
		"  slotbellctl tail ada@example.com --lines 100 --no-follow --json | jq "
		".booking.uid\n",
	.run = run,
};
