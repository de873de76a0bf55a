/* The way out: goodbye to every session, acks saved, and then the end. */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/ops/service.h"

void sb_app_drain(struct sb_app *app)
{
	if (app->ending)
		return;
	if (app->drain_until_ms) {
		sb_app_end(app); /* a second time it does not wait */
		return;
	}
	sb_log(SB_LOG_NOTICE, "draining", "connections=%zu", sb_server_connections(app->server));
	sb_service_stopping();
	app->drain_until_ms =
		uv_now(&app->loop) + app->settings->config.drain_seconds * UINT64_C(1000) + 1;
	sb_server_stop_accepting(app->server);
	sb_hub_drain(app->hub);
}

static bool is_drained(struct sb_app *app)
{
	if (uv_now(&app->loop) >= app->drain_until_ms)
		return true;
	return sb_server_connections(app->server) == 0 && !sb_hub_has_unsaved(app->hub);
}

void sb_app_drain_tick(struct sb_app *app)
{
	if (app->drain_until_ms && is_drained(app))
		sb_app_end(app);
}
