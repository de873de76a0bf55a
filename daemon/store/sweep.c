/* Sweep, rest, again. See sweep.h. */
#include "daemon/store/sweep.h"
#include "daemon/base/log.h"
#include "daemon/store/first.h"
#include "daemon/store/link.h"
#include "daemon/store/parts.h"
#include "daemon/store/words.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_TIMEOUT_MS 100
#define IDLE_TIMEOUT_MS 60000
#define PAUSE_MIN_MS	20
/* So many times as long as a statement took is the pause after it. */
#define PAUSE_FACTOR 4
/* Nobody waits for this connection. */
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000

/* What was sent last. */
enum step { SETUP, SWEEP };

/* Columns of slotbell.sweep_step() before those of enum sb_pg_swept. */
enum { HELD, NEXT_MAILBOX, NEXT_DEVICE, COUNTS };

struct sb_pg_sweep {
	struct sb_pg_link_user user; /* first */
	struct sb_pg *pg;
	struct sb_pg_link *link;
	uv_timer_t timer; /* the deadline of a statement, or the end of a pause */
	bool started;
	bool in_flight;
	enum step step;
	bool held;	       /* the last step said that the lease is ours */
	uint64_t sent_ns;      /* the statement in flight */
	uint64_t pause_ms;     /* before the next one */
	int64_t after_mailbox; /* where the next statement goes on */
	int64_t after_device;
	uint64_t round[SB_PG_SWEPT_COUNT]; /* what this round did so far */
	char told[320]; /* the problem that was logged last; "": none since it went well */
	void (*on_closed)(struct sb_pg *pg);
};

static struct sb_pg_sweep *of_user(struct sb_pg_link_user *user)
{
	return (struct sb_pg_sweep *)user;
}

static void on_timer(uv_timer_t *timer);

static void tell(struct sb_pg_sweep *sweep, const char *why)
{
	if (strcmp(sweep->told, why) == 0)
		return;
	(void)snprintf(sweep->told, sizeof(sweep->told), "%s", why);
	sb_log(SB_LOG_WARNING, "cannot sweep", "reason=\"%s\"", why);
}

/* ---- what is sent ---- */

/* One statement; or several, if they have no parameters. */
static void send_statement(struct sb_pg_sweep *sweep, enum step step, const char *sql, int count,
			   const char *const *values)
{
	const struct sb_pg_config *config = sb_pg_settings(sweep->pg);
	PGconn *conn = sb_pg_link_conn(sweep->link);

	sweep->step = step;
	sweep->in_flight = true;
	sweep->sent_ns = uv_hrtime();
	if (!conn || (count ? PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0)
			    : PQsendQuery(conn, sql)) != 1)
		sb_pg_link_drop(sweep->link, conn ? PQerrorMessage(conn) : "no connection");
	sb_pg_link_flush(sweep->link);
	(void)uv_timer_start(&sweep->timer, on_timer,
			     config->statement_timeout_ms + config->ping_deadline_ms, 0);
}

/*
 * What is deleted here need not be flushed: after a crash it is deleted again,
 * and the floor that goes before it lies before it in the log as well.
 */
static void send_setup(struct sb_pg_sweep *sweep)
{
	char sql[1024];

	(void)snprintf(
		sql, sizeof(sql),
		SB_PG_FIRST
		"; " SB_PG_OWNED "; SELECT pg_catalog.pg_is_in_recovery(), "
		"pg_catalog.set_config('synchronous_commit', 'off', false), "
		"pg_catalog.set_config('lock_timeout', '%d', false), "
		"pg_catalog.set_config('statement_timeout', '%" PRIu32 "', false), "
		"pg_catalog.set_config('default_transaction_isolation', 'read committed', false), "
		"pg_catalog.set_config('jit', 'off', false), "
		"(SELECT pg_catalog.count(pg_catalog.set_config(s.name, '%d', false)) "
		"FROM pg_catalog.pg_settings s WHERE s.name = 'idle_session_timeout')",
		LOCK_TIMEOUT_MS, sb_pg_settings(sweep->pg)->statement_timeout_ms, IDLE_TIMEOUT_MS);
	send_statement(sweep, SETUP, sql, 0, NULL);
}

static void send_sweep(struct sb_pg_sweep *sweep)
{
	const struct sb_pg_config *config = sb_pg_settings(sweep->pg);
	const int64_t numbers[] = {
		sweep->after_mailbox,	sweep->after_device,	     config->sweep_max_mailboxes,
		config->sweep_max_rows, config->sweep_grace_seconds, config->retention_days,
		config->receipts_days,	config->stale_days,
	};
	enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
	char text[COUNT][24];
	const char *values[COUNT];

	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "%" PRId64, numbers[i]);
		values[i] = text[i];
	}
	send_statement(
		sweep, SWEEP,
		"SELECT held, next_mailbox, next_device, events, expired, bookings, receipts, "
		"stale, removed "
		"FROM slotbell.sweep_step($1, $2, $3::int, $4::int, $5::int, $6::int, $7::int, "
		"$8::int)",
		COUNT, values);
}

static void on_timer(uv_timer_t *timer)
{
	struct sb_pg_sweep *sweep = timer->data;

	if (sweep->in_flight)
		sb_pg_link_drop(sweep->link, "a statement of the sweep got no answer in time");
	else
		send_sweep(sweep);
}

/* ---- what comes back ---- */

static int64_t number(const PGresult *result, int column)
{
	return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

static void end_round(struct sb_pg_sweep *sweep)
{
	const uint64_t *round = sweep->round;
	bool any = false;

	for (int i = 0; i < SB_PG_SWEPT_COUNT; i++)
		any |= round[i] != 0;
	if (any)
		sb_log(SB_LOG_INFO, "swept",
		       "events=%" PRIu64 " expired=%" PRIu64 " bookings=%" PRIu64
		       " receipts=%" PRIu64 " stale=%" PRIu64 " removed=%" PRIu64,
		       round[SB_PG_SWEPT_EVENTS], round[SB_PG_SWEPT_EXPIRED],
		       round[SB_PG_SWEPT_BOOKINGS], round[SB_PG_SWEPT_RECEIPTS],
		       round[SB_PG_SWEPT_STALE], round[SB_PG_SWEPT_REMOVED]);
	memset(sweep->round, 0, sizeof(sweep->round));
}

/* Whether the lease is ours, as the step that was answered just now says. */
static void set_held(struct sb_pg_sweep *sweep, bool held)
{
	const struct sb_pg_config *config = sb_pg_settings(sweep->pg);

	if (held && !sweep->held)
		sb_log(SB_LOG_NOTICE, "sweeping",
		       "retention_days=%" PRIu32 " receipts_days=%" PRIu32 " stale_days=%" PRIu32,
		       config->retention_days, config->receipts_days, config->stale_days);
	sweep->held = held;
	sb_pg_counting(sweep->pg)->sweeping = held;
}

static void swept(struct sb_pg_sweep *sweep, const PGresult *result)
{
	struct sb_pg_counters *counters = sb_pg_counting(sweep->pg);

	sweep->told[0] = '\0';
	set_held(sweep, PQgetvalue(result, 0, HELD)[0] == 't');
	if (!sweep->held)
		return;
	counters->sweeps++;
	for (int i = 0; i < SB_PG_SWEPT_COUNT; i++) {
		uint64_t count = (uint64_t)number(result, COUNTS + i);

		sweep->round[i] += count;
		counters->swept[i] += count;
	}
	sweep->after_device = number(result, NEXT_DEVICE);
	sweep->after_mailbox = number(result, NEXT_MAILBOX);
	if (!PQgetisnull(result, 0, NEXT_MAILBOX)) {
		sweep->pause_ms = PAUSE_FACTOR * (uv_hrtime() - sweep->sent_ns) / 1000000;
		if (sweep->pause_ms < PAUSE_MIN_MS)
			sweep->pause_ms = PAUSE_MIN_MS;
		return;
	}
	end_round(sweep);
}

static void judge(struct sb_pg_sweep *sweep, const PGresult *result)
{
	char words[256];

	sweep->pause_ms = sb_pg_settings(sweep->pg)->sweep_every_ms;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		sb_pg_words(words, sizeof(words), sb_pg_link_conn(sweep->link), result);
		if (sweep->step == SETUP || sb_pg_error_ends_connection(result))
			sb_pg_link_drop(sweep->link, words);
		else
			tell(sweep, words); /* the next time, perhaps */
		sb_pg_counting(sweep->pg)->sweeps += sweep->step == SWEEP;
	} else if (PQntuples(result) != 1) {
		sb_pg_link_drop(sweep->link, "the sweep got an answer that makes no sense");
	} else if (sweep->step == SETUP && PQgetvalue(result, 0, 0)[0] == 't') {
		sb_pg_link_drop(sweep->link, SB_PG_WORDS_STANDBY);
	} else if (sweep->step == SWEEP && PQnfields(result) == COUNTS + SB_PG_SWEPT_COUNT) {
		swept(sweep, result);
	}
}

static void on_result(struct sb_pg_link_user *user, PGresult *result)
{
	struct sb_pg_sweep *sweep = of_user(user);

	if (result) {
		judge(sweep, result);
		PQclear(result);
		return;
	}
	if (!sweep->in_flight)
		return;
	sweep->in_flight = false;
	if (sweep->step == SETUP) {
		sb_pg_link_established(sweep->link);
		sweep->pause_ms = 0;
	}
	(void)uv_timer_start(&sweep->timer, on_timer, sweep->pause_ms, 0);
}

static void on_connected(struct sb_pg_link_user *user)
{
	send_setup(of_user(user));
}

static void on_down(struct sb_pg_link_user *user, const char *why)
{
	struct sb_pg_sweep *sweep = of_user(user);

	(void)uv_timer_stop(&sweep->timer);
	sweep->in_flight = false;
	set_held(sweep, false);
	/* When the whole database is away, others say so. */
	if (sb_pg_is_up(sweep->pg))
		tell(sweep, why);
}

static const struct sb_pg_link_ops link_ops = {
	.on_connected = on_connected,
	.on_result = on_result,
	.on_down = on_down,
};

/* ---- life ---- */

struct sb_pg_sweep *sb_pg_sweep_new(uv_loop_t *loop, struct sb_pg *pg, const struct sb_pg_url *url)
{
	const struct sb_pg_link_timing timing = {sb_pg_settings(pg)->connect_ms, BACKOFF_MIN_MS,
						 BACKOFF_MAX_MS};
	struct sb_pg_sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return NULL;
	sweep->user.ops = &link_ops;
	sweep->pg = pg;
	sweep->link = sb_pg_link_new(loop, url, &timing, &sweep->user);
	if (!sweep->link) {
		free(sweep);
		return NULL;
	}
	(void)uv_timer_init(loop, &sweep->timer);
	sweep->timer.data = sweep;
	return sweep;
}

void sb_pg_sweep_start(struct sb_pg_sweep *sweep)
{
	if (sweep->started)
		return;
	sweep->started = true;
	sb_pg_link_start(sweep->link);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct sb_pg_sweep *sweep = handle->data;
	struct sb_pg *pg = sweep->pg;
	void (*on_closed)(struct sb_pg *) = sweep->on_closed;

	free(sweep);
	on_closed(pg);
}

static void on_link_closed(struct sb_pg_link_user *user)
{
	uv_close((uv_handle_t *)&of_user(user)->timer, on_timer_closed);
}

void sb_pg_sweep_close(struct sb_pg_sweep *sweep, void (*on_closed)(struct sb_pg *pg))
{
	if (!sweep)
		return;
	sweep->on_closed = on_closed;
	(void)uv_timer_stop(&sweep->timer);
	sb_pg_link_close(sweep->link, on_link_closed);
}
