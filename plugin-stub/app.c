/*
 * The plug-in's process: implements what the client asks of its world, and
 * brings it what happens (messages, time, signals, a jump of the clock).
 * Decides nothing itself.
 */
#include "plugin-stub/app.h"

#include "plugin-stub/calendar.h"
#include "plugin-stub/client.h"
#include "plugin-stub/jump.h"
#include "plugin-stub/report.h"
#include "plugin-stub/state.h"
#include "plugin-stub/transport.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>

#define LOOK_MS 1000 /* how often the clocks are compared */

struct app {
	const struct sb_options *options;
	uv_loop_t loop;
	uv_prepare_t turn;   /* the end of each turn, before the loop sleeps */
	uv_timer_t deadline; /* the client's next one */
	uv_timer_t clock_look;
	uv_signal_t sigterm, sigint, sigusr1;
	struct sb_jump jump;
	struct sb_report report;
	struct sb_calendar *calendar;
	struct sb_state *state;
	struct sb_transport *transport;
	bool websocket_due; /* the start tries it once more, though another way worked last */
	struct sb_client client;
};

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t now_ms(void)
{
	return (uint64_t)(clock_us(CLOCK_MONOTONIC) / 1000);
}

/* ---- what the client asks of its world ---- */

static void world_connect(void *world)
{
	struct app *app = world;

	app->transport->ops->connect(app->transport);
}

static void world_send(void *world, const struct sb_client_message *message)
{
	struct app *app = world;

	app->transport->ops->send(app->transport, message);
}

static void world_close(void *world, int code)
{
	struct app *app = world;

	app->transport->ops->close(app->transport, code);
}

static void world_drop(void *world)
{
	struct app *app = world;

	app->transport->ops->drop(app->transport);
}

static int world_write(void *world, const struct sb_server_message *event,
		       enum sb_written *ret_written, char ret_file[PATH_MAX])
{
	struct app *app = world;

	return sb_calendar_write(app->calendar, event, ret_written, ret_file);
}

static int world_sync(void *world)
{
	struct app *app = world;

	return sb_calendar_sync(app->calendar);
}

static int world_save(void *world, const struct sb_progress *progress)
{
	struct app *app = world;

	return sb_state_save(app->state, progress);
}

static void world_tell(void *world, const struct sb_news *news)
{
	struct app *app = world;

	sb_report(&app->report, news, clock_us(CLOCK_REALTIME));
}

static uint32_t world_random(void *world)
{
	uint32_t value;

	(void)world;
	/* Blocks only before the kernel's generator is seeded, early at boot. */
	while (getrandom(&value, sizeof(value), 0) != sizeof(value))
		;
	return value;
}

static const struct sb_client_ops world_ops = {
	.connect = world_connect,
	.send = world_send,
	.close = world_close,
	.drop = world_drop,
	.write = world_write,
	.sync = world_sync,
	.save = world_save,
	.tell = world_tell,
	.random = world_random,
};

/* ---- what happens ---- */

static void on_open(void *data)
{
	struct app *app = data;

	sb_client_on_open(&app->client, now_ms());
}

static void on_message(void *data, const char *bytes, size_t len)
{
	struct app *app = data;

	sb_client_on_message(&app->client, bytes, len, now_ms());
}

static void on_gone(void *data, const struct sb_gone *gone)
{
	struct app *app = data;

	sb_client_on_gone(&app->client, gone, now_ms());
}

static void on_deadline(uv_timer_t *timer)
{
	/* Only wakes the loop: its turn does the rest. */
	(void)timer;
}

static void on_turn(uv_prepare_t *prepare)
{
	struct app *app = prepare->data;
	uint64_t now = now_ms();
	uint64_t deadline;

	sb_client_turn(&app->client, now);
	if (app->client.state == SB_CLIENT_ENDED) {
		uv_stop(&app->loop);
		return;
	}
	deadline = sb_client_deadline(&app->client);
	uv_update_time(&app->loop);
	if (deadline == 0)
		uv_timer_stop(&app->deadline);
	else
		uv_timer_start(&app->deadline, on_deadline, deadline > now ? deadline - now : 0, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct app *app = handle->data;

	(void)number;
	sb_client_stop(&app->client, now_ms());
}

static void on_nudge(uv_signal_t *handle, int number)
{
	struct app *app = handle->data;

	(void)number;
	sb_client_nudge(&app->client, now_ms());
}

static void on_clock_look(uv_timer_t *timer)
{
	struct app *app = timer->data;

	if (sb_jump_look(&app->jump, clock_us(CLOCK_REALTIME) / 1000,
			 clock_us(CLOCK_MONOTONIC) / 1000))
		sb_client_on_jump(&app->client, now_ms());
}

/* ---- beginning and end ---- */

static enum sb_exit complain(enum sb_exit result, const char *what, const char *name,
			     const char *why)
{
	sb_report_line(stderr, "slotbell-plugin: %s %s: %s", what, name, why);
	return result;
}

static enum sb_exit complain_of_path(int err, const char *what, const char *path)
{
	if (err == -EWOULDBLOCK)
		return complain(SB_EXIT_FAILED, what, path, "another slotbell-plugin is using it");
	if (err == -EPERM)
		return complain(SB_EXIT_CONFIGURATION, what, path,
				"its lock file belongs to another user");
	return complain(SB_EXIT_CONFIGURATION, what, path, strerror(-err));
}

/* The device that the token is for; 0: not such a token, which is for the server to say. */
static int64_t device_of(const char *text)
{
	struct sb_token token = {.device_id = 0};
	int64_t device_id = sb_token_parse(text, strlen(text), &token) == 0 ? token.device_id : 0;

	sb_token_wipe(&token);
	return device_id;
}

static enum sb_exit load_progress(struct app *app, struct sb_progress *ret_progress)
{
	static const char *const words[] = {
		[SB_STATE_MISSING] = "is not there yet",
		[SB_STATE_CORRUPT] = "is damaged",
		[SB_STATE_FOREIGN] = "is of another device",
		[SB_STATE_PLANTED] = "belongs to another user",
	};
	const char *path = app->options->state;
	enum sb_state_found found;
	int err = sb_state_load(app->state, ret_progress, &found);

	if (err)
		return complain_of_path(err, "cannot read the state file", path);
	if (found != SB_STATE_READ)
		sb_report_line(stderr,
			       "slotbell-plugin: the state file %s %s; starting from the server's "
			       "cursor",
			       path, words[found]);
	return SB_EXIT_DONE;
}

/* The next start begins with what worked. Should that not be saved, the next save brings it. */
static void on_way(void *data, enum sb_way way)
{
	struct app *app = data;
	struct sb_news news = {.kind = SB_NEWS_TROUBLE,
			       .words = "The websocket gets through again"};
	bool is_other = sb_state_way(app->state) != way;

	if (!is_other && !app->websocket_due)
		return;
	app->websocket_due = false;
	sb_state_set_way(app->state, way, clock_us(CLOCK_REALTIME) / 1000000);
	if (way == SB_WAY_STREAM)
		news.words = "The websocket does not get through; going on by stream";
	else if (way == SB_WAY_POLL)
		news.words = "Nothing that stays open gets through; going on by poll";
	if (is_other)
		world_tell(app, &news);
	(void)sb_state_save(app->state, &app->client.progress);
}

static int new_transport(struct app *app, const struct sb_transport_options *options,
			 const struct sb_transport_handler *handler)
{
	switch (app->options->transport) {
	case SB_USE_WEBSOCKET:
		return sb_transport_ws_new(&app->loop, options, handler, &app->transport);
	case SB_USE_STREAM:
		return sb_transport_stream_new(&app->loop, options, handler, &app->transport);
	case SB_USE_POLL:
		return sb_transport_poll_new(&app->loop, options, handler, &app->transport);
	case SB_USE_AUTO:
		break;
	}
	app->websocket_due = sb_state_way_is_old(app->state, clock_us(CLOCK_REALTIME) / 1000000,
						 app->options->websocket_again_s);
	return sb_transport_auto_new(
		&app->loop, options, handler,
		&(struct sb_auto_options){.first = sb_state_way(app->state),
					  .websocket_due = app->websocket_due,
					  .again_ms = app->options->websocket_again_s * 1000ULL,
					  .on_way = on_way,
					  .data = app},
		&app->transport);
}

static enum sb_exit start_transport(struct app *app)
{
	const struct sb_options *options = app->options;
	struct sb_transport_options transport = {
		.url = options->url,
		.proxy = options->proxy,
		.ca = options->ca,
		.bearer = options->token,
		.token_in_hello = options->token_in_hello,
	};
	struct sb_transport_handler handler = {
		.on_open = on_open, .on_message = on_message, .on_gone = on_gone, .data = app};
	int err = new_transport(app, &transport, &handler);

	if (err == -ENOENT)
		return complain(SB_EXIT_CONFIGURATION, "--ca", options->ca,
				"there are no certificates (PEM) to be read in it");
	if (err == -ENOSYS)
		return complain(SB_EXIT_FAILED, "cannot start", "libwebsockets",
				"is its libuv plug-in there (package libwebsockets-evlib-uv)?");
	if (err)
		return complain(SB_EXIT_FAILED, "cannot start", "the connection", strerror(-err));
	return SB_EXIT_DONE;
}

static enum sb_exit open_all(struct app *app)
{
	const struct sb_options *options = app->options;
	struct sb_progress progress;
	enum sb_exit result;
	int err = sb_calendar_open(options->calendar, &app->calendar);

	if (err)
		return complain_of_path(err, "cannot open the calendar folder", options->calendar);
	err = sb_state_open(options->state, device_of(options->token), &app->state);
	if (err)
		return complain_of_path(err, "cannot open the state file", options->state);
	result = load_progress(app, &progress);
	if (result == SB_EXIT_DONE)
		result = start_transport(app);
	if (result == SB_EXIT_DONE)
		sb_client_init(&app->client, &world_ops, app,
			       options->once ? SB_MODE_ONCE : SB_MODE_LIVE,
			       options->token_in_hello ? options->token : "", &progress);
	return result;
}

static void start_handles(struct app *app)
{
	uv_prepare_init(&app->loop, &app->turn);
	uv_timer_init(&app->loop, &app->deadline);
	uv_timer_init(&app->loop, &app->clock_look);
	uv_signal_init(&app->loop, &app->sigterm);
	uv_signal_init(&app->loop, &app->sigint);
	uv_signal_init(&app->loop, &app->sigusr1);
	app->turn.data = app->clock_look.data = app;
	app->sigterm.data = app->sigint.data = app->sigusr1.data = app;
	uv_prepare_start(&app->turn, on_turn);
	uv_timer_start(&app->clock_look, on_clock_look, 0, LOOK_MS);
	uv_signal_start(&app->sigterm, on_signal, SIGTERM);
	uv_signal_start(&app->sigint, on_signal, SIGINT);
	uv_signal_start(&app->sigusr1, on_nudge, SIGUSR1);
}

static void close_handles(struct app *app)
{
	uv_close((uv_handle_t *)&app->turn, NULL);
	uv_close((uv_handle_t *)&app->deadline, NULL);
	uv_close((uv_handle_t *)&app->clock_look, NULL);
	uv_close((uv_handle_t *)&app->sigterm, NULL);
	uv_close((uv_handle_t *)&app->sigint, NULL);
	uv_close((uv_handle_t *)&app->sigusr1, NULL);
}

static enum sb_exit run(struct app *app)
{
	enum sb_exit result = open_all(app);

	if (result == SB_EXIT_DONE) {
		start_handles(app);
		sb_client_start(&app->client, now_ms());
		uv_run(&app->loop, UV_RUN_DEFAULT);
		close_handles(app);
		result = (enum sb_exit)app->client.exit_code;
	}
	if (app->transport)
		app->transport->ops->free(app->transport);
	sb_client_fini(&app->client);
	sb_state_close(app->state);
	sb_calendar_close(app->calendar);
	return result;
}

enum sb_exit sb_app_run(struct sb_options *options)
{
	struct app *app = calloc(1, sizeof(*app));
	enum sb_exit result;
	int err;

	if (!app)
		return complain(SB_EXIT_FAILED, "cannot start", "the loop", strerror(ENOMEM));
	err = uv_loop_init(&app->loop);
	if (err) {
		free(app);
		return complain(SB_EXIT_FAILED, "cannot start", "the loop", uv_strerror(err));
	}
	app->options = options;
	app->report = (struct sb_report){
		.out = stdout, .err = stderr, .json = options->json, .url = options->url_text};
	/* A reader of our output that went away is no reason to die in the middle of a booking, and
	 * a limit on files is a write that fails. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	result = run(app);
	uv_run(&app->loop, UV_RUN_DEFAULT);
	uv_loop_close(&app->loop);
	free(app);
	return result;
}
