/*
 * What the service manager hears of a running daemon: that the loop turns, for
 * its watchdog, and how things are, in a line for people (STATUS=).
 *
 * The watchdog is fed from the tick and from nowhere else: a tick that comes
 * means that timers ring and the poll returns, so a loop that is stuck, or so
 * slow that nobody is served, starves it. The database has no part in it: a
 * restart heals none, and makes a storm.
 */
#include "daemon/app/app_private.h"
#include "daemon/ops/service.h"
#include "daemon/store/pg.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Figures change all the time; a line this often is enough, and sooner when the database comes or
 * goes, or the drain goes on, or it is not known yet why the database is away. */
#define STATUS_MS      10000
#define STATUS_SOON_MS 1000
/* Of the manager's patience, one feed each: one may be late, and one lost. */
#define FEEDS 3
/* Below this a tick is as punctual as it gets on a busy machine: not worth a word. */
#define LAG_MS 10

void sb_app_report_start(struct sb_app *app)
{
	struct sb_report *report = &app->report;

	report->feed_every_ms = sb_service_watchdog_ms() / FEEDS;
	report->status_due_ms = uv_now(&app->loop);
	(void)snprintf(report->status, sizeof(report->status), "Listening on port %u", app->port);
	sb_service_ready(report->status);
}

/* ---- the line ---- */

/* One digit is enough, and keeps the line as it was while nothing happens. */
static uint64_t rough(uint64_t ms)
{
	uint64_t unit = 1;

	while (ms / unit >= 10)
		unit *= 10;
	return ms / unit * unit;
}

static void write_status(const struct sb_app *app, char *buffer, size_t size)
{
	bool is_up = sb_pg_is_up(app->pg);
	const char *problem = is_up ? "" : sb_pg_problem(app->pg);
	struct sb_hub_stats hub;
	char lag[32] = "under 10 ms";

	if (app->drain_until_ms) {
		(void)snprintf(buffer, size, "Draining; connections left: %zu",
			       sb_server_connections(app->server));
		return;
	}
	sb_hub_get_stats(app->hub, &hub);
	if (app->report.lag_ms >= LAG_MS)
		(void)snprintf(lag, sizeof(lag), "%" PRIu64 " ms", rough(app->report.lag_ms));
	(void)snprintf(buffer, size, "Sessions: %zu; database %s%s%s; loop's lag %s%s%s",
		       hub.sessions, is_up ? "up" : "away", *problem ? ": " : "", problem, lag,
		       *app->report.reload ? "; " : "", app->report.reload);
}

static void tell_status(struct sb_app *app, uint64_t now)
{
	struct sb_report *report = &app->report;
	bool is_up = sb_pg_is_up(app->pg), is_soon;
	char status[sizeof(report->status)];

	if (now < report->status_due_ms && is_up == report->database_up)
		return;
	write_status(app, status, sizeof(status));
	is_soon = app->drain_until_ms || (!is_up && !*sb_pg_problem(app->pg));
	report->status_due_ms = now + (is_soon ? STATUS_SOON_MS : STATUS_MS);
	report->database_up = is_up;
	report->lag_ms = 0;
	if (!strcmp(status, report->status))
		return;
	memcpy(report->status, status, sizeof(status));
	sb_service_status(status);
}

void sb_app_report_tick(struct sb_app *app, uint64_t late_ms)
{
	struct sb_report *report = &app->report;
	uint64_t now = uv_now(&app->loop);

	if (late_ms > report->lag_ms)
		report->lag_ms = late_ms;
	if (report->feed_every_ms && now >= report->feed_due_ms) {
		sb_service_feed_watchdog();
		report->feed_due_ms = now + report->feed_every_ms;
	}
	if (!app->reload.running)
		tell_status(app, now);
}

uint64_t sb_app_report_due_ms(const struct sb_app *app)
{
	return app->report.feed_every_ms ? app->report.feed_due_ms : UINT64_MAX;
}

/* ---- news ---- */

void sb_app_report_reload(struct sb_app *app, const char *news, const char *lasting)
{
	app->report.reload = lasting;
	app->report.status_due_ms = uv_now(&app->loop) + STATUS_MS;
	(void)snprintf(app->report.status, sizeof(app->report.status), "%s", news);
	sb_service_reloaded(news);
}

void sb_app_report_drain(struct sb_app *app, uint64_t within_ms)
{
	app->report.status_due_ms = 0;
	sb_service_stopping(within_ms);
}
