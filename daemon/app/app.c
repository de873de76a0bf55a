/*
 * The parts, in the order they need each other:
 *
 *   clock → loop → signals → store → hub → server → control, admin → run
 *
 * and closed in reverse, each in its own close callback.
 */
#include "daemon/app/app.h"
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/ops/credential.h"
#include "daemon/ops/descriptors.h"
#include "daemon/ops/log_sink.h"
#include "protocol/version.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the clock ---- */

static uint64_t now_ms(struct sb_clock *clock)
{
	return uv_now(&((struct sb_app *)(void *)clock)->loop);
}

static int64_t wall_us(struct sb_clock *clock)
{
	struct timespec now;

	(void)clock;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static uint32_t random_u32(struct sb_clock *clock)
{
	uint32_t value = 0;

	(void)clock;
	(void)RAND_bytes((unsigned char *)&value,
			 sizeof(value)); /* only spreads waits: a 0 does no harm */
	return value;
}

/* ---- the end ---- */

/* One part after the other, each from the close callback of the one before. */
static void close_next(void *data)
{
	struct sb_app *app = data;
	struct sb_control *control = app->control;
	struct sb_admin *admin = app->admin;
	struct sb_server *server = app->server;
	struct sb_pg *pg = app->pg;

	if (control) {
		app->control = NULL;
		sb_control_close(control, close_next, app);
	} else if (admin) {
		app->admin = NULL;
		sb_admin_close(admin, close_next, app);
	} else if (server) {
		app->server = NULL;
		sb_server_close(server, close_next, app);
	} else if (pg) {
		app->pg = NULL;
		sb_pg_close(pg, close_next, app);
	} else {
		sb_app_tick_close(app);
		uv_close((uv_handle_t *)&app->on_term, NULL);
		uv_close((uv_handle_t *)&app->on_int, NULL);
		uv_close((uv_handle_t *)&app->on_hup, NULL);
	}
}

void sb_app_end(struct sb_app *app)
{
	if (app->ending)
		return;
	app->ending = true;
	if (app->server)
		sb_log(SB_LOG_INFO, "ending", "connections=%zu unsaved=%s",
		       sb_server_connections(app->server),
		       sb_hub_has_unsaved(app->hub) ? "yes" : "no");
	close_next(app);
}

/* ---- signals ---- */

static void on_stop_signal(uv_signal_t *handle, int number)
{
	struct sb_app *app = handle->data;

	sb_log(SB_LOG_NOTICE, "told to end", "signal=%d", number);
	if (!app->ending)
		sb_app_drain(app);
}

static void on_reload_signal(uv_signal_t *handle, int number)
{
	(void)number;
	sb_app_reload(handle->data, NULL);
}

static void start_handles(struct sb_app *app)
{
	sb_app_tick_start(app); /* before the server's handles, see there */
	(void)uv_signal_init(&app->loop, &app->on_term);
	(void)uv_signal_init(&app->loop, &app->on_int);
	(void)uv_signal_init(&app->loop, &app->on_hup);
	app->on_term.data = app->on_int.data = app->on_hup.data = app;
	(void)uv_signal_start(&app->on_term, on_stop_signal, SIGTERM);
	(void)uv_signal_start(&app->on_int, on_stop_signal, SIGINT);
	(void)uv_signal_start(&app->on_hup, on_reload_signal, SIGHUP);
}

/* ---- the beginning ---- */

/* `key`: whose value is in the way; "none". */
static int cannot_start(const char *key, const char *problem)
{
	sb_log(SB_LOG_ERROR, "cannot start", "key=%s problem=\"%s\"", key, problem);
	return -1;
}

static int credential_refused(int result)
{
	char problem[256];

	(void)snprintf(problem, sizeof(problem),
		       "the credential " SB_CREDENTIAL_PASSWORD
		       ", passed by the service manager: %s",
		       sb_credential_problem(result));
	return cannot_start("database.url", problem);
}

static int start_store(struct sb_app *app)
{
	struct sb_pg_config config;
	char *password;
	int result = sb_credential_read(getenv("CREDENTIALS_DIRECTORY"), SB_CREDENTIAL_PASSWORD,
					&password);

	if (result != 0)
		return credential_refused(result);
	sb_pg_config_defaults(&config);
	config.url = app->settings->config.database_url;
	config.retention_days = app->settings->config.retention_days;
	config.receipts_days = app->settings->config.retention_receipts_days;
	config.stale_days = app->settings->config.retention_devices_stale_days;
	config.password = password;
	app->pg = sb_pg_new(&app->loop, &config, NULL);
	sb_credential_free(password);
	return app->pg ? 0 : cannot_start("none", "out of memory");
}

static int start_hub(struct sb_app *app)
{
	app->hub = sb_hub_new(&app->settings->hub, sb_pg_store(app->pg), &app->clock);
	if (!app->hub)
		return cannot_start("none", "out of memory");
	sb_pg_set_hub(app->pg, app->hub);
	return 0;
}

/* Before anything else opens a descriptor, or a thread might read the environment. */
static int take_inherited(struct sb_app *app)
{
	char why[256];

	if (sb_inherited_take(&app->inherited, why, sizeof(why)) != 0)
		return cannot_start("listen.address", why);
	if (app->inherited.sessions || app->inherited.admin)
		sb_log(SB_LOG_INFO, "sockets of the service manager", "plugins=%s admin=%s",
		       app->inherited.sessions ? "yes" : "no", app->inherited.admin ? "yes" : "no");
	return 0;
}

static int start_server(struct sb_app *app)
{
	struct sb_server_problem problem;

	app->settings->server.listener = app->inherited.sessions;
	app->server = sb_server_new(&app->loop, app->hub, &app->settings->server, &problem);
	if (!app->server)
		return cannot_start(problem.key, problem.detail);
	app->port = sb_server_port(app->server);
	return 0;
}

static int start_control(struct sb_app *app)
{
	const char *path = app->settings->config.control_socket;
	char problem[256];
	int result;

	if (!*path)
		return 0;
	result = sb_control_open(&app->loop, path, sb_app_commands, app, &app->control);
	if (result == 0)
		return 0;
	(void)snprintf(problem, sizeof(problem), "%s: %s", path,
		       result == -EADDRINUSE ? "another slotbelld answers there"
					     : strerror(-result));
	return cannot_start("control.socket", problem);
}

static int start_admin(struct sb_app *app)
{
	const char *address = app->settings->config.listen_admin;
	char problem[256];
	int result;

	if (!*address && !app->inherited.admin)
		return 0;
	result = sb_admin_open(&app->loop, address, app->inherited.admin, &sb_app_pages, app,
			       &app->admin);
	if (result == 0)
		return 0;
	(void)snprintf(problem, sizeof(problem), "%s: %s", address, strerror(-result));
	return cannot_start("listen.admin", problem);
}

static void warn_of_certificate(const struct sb_settings *settings)
{
	char words[512] = "";
	FILE *out = fmemopen(words, sizeof(words), "w");

	if (!out)
		return;
	(void)sb_settings_check_time(settings, out);
	(void)fclose(out);
	if (*words)
		sb_log(SB_LOG_WARNING, "certificate", "problem=\"%s\"", words);
}

/* Everything is there; from here on the loop does the work. */
static void serve(struct sb_app *app)
{
	sb_pg_start(app->pg);
	warn_of_certificate(app->settings);
	sb_log(SB_LOG_NOTICE, "ready", "version=%s port=%u admin_port=%u", SB_VERSION, app->port,
	       app->admin ? sb_admin_port(app->admin) : 0);
	sb_app_report_start(app);
	(void)uv_run(&app->loop, UV_RUN_DEFAULT);
	sb_log(SB_LOG_NOTICE, "ended", "version=%s", SB_VERSION);
}

/* Before the server starts, which takes the limit as it finds it. */
static void set_up_descriptors(const struct sb_config *config)
{
	uint64_t wanted = sb_descriptors_wanted(config->sessions_max);
	uint64_t limit = sb_descriptors_limit(wanted);

	if (limit < wanted)
		sb_log(SB_LOG_WARNING, "too few descriptors",
		       "limit=%" PRIu64 " wanted=%" PRIu64
		       " problem=\"sessions.max cannot be reached; raise the limit "
		       "(LimitNOFILE=, ulimit -n)\"",
		       limit, wanted);
}

static int run(struct sb_app *app)
{
	bool good;
	int result;

	set_up_descriptors(&app->settings->config);
	if (take_inherited(app) != 0)
		return EXIT_FAILURE;
	result = uv_loop_init(&app->loop);
	if (result != 0) {
		(void)cannot_start("none", uv_strerror(result));
		return EXIT_FAILURE;
	}
	start_handles(app);
	good = start_store(app) == 0 && start_hub(app) == 0 && start_server(app) == 0 &&
	       start_control(app) == 0 && start_admin(app) == 0;
	if (good) {
		serve(app);
	} else {
		sb_app_end(app);
		(void)uv_run(&app->loop, UV_RUN_DEFAULT);
	}
	sb_hub_free(app->hub);
	return uv_loop_close(&app->loop) == 0 && good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int sb_app_run(const struct sb_settings_source *source, struct sb_settings *settings)
{
	struct sb_app app = {.clock = {.now_ms = now_ms, .wall_us = wall_us, .random = random_u32},
			     .source = source,
			     .settings = settings,
			     .report = {.reload = ""}};
	int status;

	app.started_us = wall_us(&app.clock);

	sb_log_start(settings->config.log_level, settings->config.log_format);
	status = run(&app);
	sb_settings_free(app.settings);
	sb_log_end();
	return status;
}
