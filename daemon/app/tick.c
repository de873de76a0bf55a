/*
 * Time: a timer that rings when the next deadline is due.
 *
 * Not at an interval: a process that wakes ten times a second for nothing takes
 * more of a processor than a thousand sessions at rest.
 */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include <malloc.h>

/* Rings at least this often: for what hangs on the wall clock, which may be set. */
#define TICK_MAX_MS 1000
/* The same while draining, when it is looked whether all are gone. */
#define TICK_DRAIN_MS 100

/* So many handshakes, or connections that went, leave enough behind that it is worth a look; and so
 * do fewer, once nobody comes or goes. */
#define TRIM_CONNECTIONS 256
#define TRIM_CALM	 16

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * What handshakes took and gave back lies in holes between the sessions that
 * they opened, and what a crowd held that left lies below whatever came last.
 * When no handshake is in progress it goes back to the system: a third of a
 * millisecond with 15,000 sessions.
 */
static void give_memory_back(struct sb_app *app)
{
	struct sb_server_stats stats;
	uint64_t handshakes = 0, gone;
	bool is_calm; /* nobody came or went since the last tick */

	sb_server_get_stats(app->server, &stats);
	for (size_t i = 0; i < SB_HANDSHAKE_COUNT; i++)
		handshakes += stats.handshakes[i];
	if (stats.connections > app->trimmed.connections)
		app->trimmed.connections = stats.connections;
	gone = app->trimmed.connections - stats.connections;
	is_calm = stats.connections == app->trimmed.seen;
	app->trimmed.seen = stats.connections;
	if (stats.opening || (handshakes < app->trimmed.handshakes + TRIM_CONNECTIONS &&
			      gone < TRIM_CONNECTIONS && (gone < TRIM_CALM || !is_calm)))
		return;
	app->trimmed.handshakes = handshakes;
	app->trimmed.connections = stats.connections;
	(void)malloc_trim(0);
}

static void on_tick(uv_timer_t *timer)
{
	struct sb_app *app = timer->data;

	if (app->ending)
		return;
	sb_app_report_tick(app, uv_now(&app->loop) - app->tick_due_ms);
	sb_hub_tick(app->hub);
	sb_server_tick(app->server);
	give_memory_back(app);
	sb_log_tick();
	sb_app_drain_tick(app);
}

/* At the end of a turn of the loop, when all that happened in it has set its deadlines. */
static void on_before_poll(uv_prepare_t *handle)
{
	struct sb_app *app = handle->data;
	uint64_t now = uv_now(&app->loop), due;

	if (app->ending || !app->server)
		return;
	due = earlier(sb_hub_due_ms(app->hub), sb_server_due_ms(app->server));
	due = earlier(due, sb_app_report_due_ms(app));
	due = earlier(due, now + (app->drain_until_ms ? TICK_DRAIN_MS : TICK_MAX_MS));
	if (uv_is_active((uv_handle_t *)&app->tick) && app->tick_due_ms <= due)
		return;
	app->tick_due_ms = due > now ? due : now;
	(void)uv_timer_start(&app->tick, on_tick, app->tick_due_ms - now, 0);
}

void sb_app_tick_start(struct sb_app *app)
{
	(void)uv_timer_init(&app->loop, &app->tick);
	(void)uv_prepare_init(&app->loop, &app->before_poll);
	app->tick.data = app->before_poll.data = app;
	/* libuv runs the prepare handle last that was started first: this one has to see what the
	 * server's does in its own. */
	(void)uv_prepare_start(&app->before_poll, on_before_poll);
}

void sb_app_tick_close(struct sb_app *app)
{
	uv_close((uv_handle_t *)&app->tick, NULL);
	uv_close((uv_handle_t *)&app->before_poll, NULL);
}
