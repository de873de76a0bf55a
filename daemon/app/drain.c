/*
 * The way out. Told once: nobody new, goodbyes over three quarters of
 * drain.seconds, so that who is told last has time to go and every ack to be
 * saved. Told again: goodbye to all at once, and two seconds. Told a third
 * time: the end.
 */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/store/pg.h"

#define HURRY_MS 2000
/* What the end itself may take after the drain, on a machine that is busy. */
#define SPARE_MS 10000

static void begin(struct sb_app *app)
{
	uint64_t window_ms = app->settings->config.drain_seconds * UINT64_C(1000);

	sb_log(SB_LOG_NOTICE, "draining", "connections=%zu seconds=%u",
	       sb_server_connections(app->server), app->settings->config.drain_seconds);
	sb_app_report_drain(app, window_ms + SPARE_MS);
	app->drain_until_ms = uv_now(&app->loop) + window_ms + 1;
	sb_server_stop_accepting(app->server);
	sb_hub_drain(app->hub, (uint32_t)(window_ms / 4 * 3));
}

static void hurry(struct sb_app *app)
{
	uint64_t until_ms = uv_now(&app->loop) + HURRY_MS;

	sb_log(SB_LOG_NOTICE, "draining faster", "connections=%zu",
	       sb_server_connections(app->server));
	app->hurried = true;
	if (until_ms < app->drain_until_ms)
		app->drain_until_ms = until_ms;
	sb_hub_drain(app->hub, 0);
}

void sb_app_drain(struct sb_app *app)
{
	if (!app->drain_until_ms)
		begin(app);
	else if (!app->hurried)
		hurry(app);
	else
		sb_app_end(app);
}

static bool is_drained(struct sb_app *app)
{
	if (uv_now(&app->loop) >= app->drain_until_ms)
		return true;
	if (sb_pg_is_up(app->pg) && sb_pg_open_news(app->pg))
		return false;
	return sb_server_connections(app->server) == 0 && !sb_hub_has_unsaved(app->hub);
}

void sb_app_drain_tick(struct sb_app *app)
{
	if (app->drain_until_ms && is_drained(app))
		sb_app_end(app);
}
