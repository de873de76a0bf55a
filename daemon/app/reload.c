/*
 * Reload: the settings are read anew and taken over as a whole, or not at all.
 *
 * Files are read and tried in one of libuv's threads, for a slow disk must not
 * hold up the loop; only the swap happens here, between two turns. No session
 * notices: what it was told in its welcome needs a restart to change.
 */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/ops/log_sink.h"
#include "daemon/ops/service.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_work(uv_work_t *work)
{
	struct sb_app *app = work->data;
	struct sb_reload *reload = &app->reload;
	FILE *errors = open_memstream(&reload->problems, &reload->problems_len);

	reload->problem_count = -ENOMEM;
	if (!errors)
		return;
	reload->problem_count = sb_settings_read(app->source, errors, &reload->next);
	if (reload->problem_count == 0)
		reload->problem_count = sb_settings_check_time(reload->next, errors);
	(void)fclose(errors);
}

/* Words, separated by `separator`, as a list. */
static json_t *list_of(const char *words, const char *separator)
{
	json_t *list = json_array();

	while (words && *words) {
		size_t len = strcspn(words, separator);

		if (len)
			(void)json_array_append_new(list, json_stringn(words, len));
		words += len;
		words += strspn(words, separator);
	}
	return list;
}

static void answer(struct sb_reload *reload, json_t *words)
{
	if (reload->asker)
		sb_control_answer(reload->asker, words);
	else
		json_decref(words);
	reload->asker = NULL;
}

static void refuse(struct sb_app *app)
{
	struct sb_reload *reload = &app->reload;
	const char *at = reload->problems;

	if (reload->problem_count < 0)
		sb_log(SB_LOG_ERROR, "reload refused", "problem=\"out of memory\"");
	else
		sb_log(SB_LOG_ERROR, "reload refused", "problems=%d kept=\"all as it was\"",
		       reload->problem_count);
	while (at && *at) {
		size_t len = strcspn(at, "\n");

		sb_log(SB_LOG_ERROR, "reload problem", "problem=\"%.*s\"", (int)len, at);
		at += len + (at[len] == '\n');
	}
	reload->refused++;
	answer(reload,
	       json_pack("{s:b, s:o}", "reloaded", 0, "problems", list_of(reload->problems, "\n")));
	sb_app_report_reload(app, "Reload refused; see the log",
			     "last reload refused, see the log");
}

/* From here on everybody asks the new ones; nobody keeps a pointer into the old ones. */
static void swap(struct sb_app *app, struct sb_settings *next)
{
	struct sb_settings *old = app->settings;

	app->settings = next;
	sb_log_start(next->config.log_level, next->config.log_format);
	sb_hub_configure(app->hub, &next->hub);
	sb_server_configure(app->server, &next->server);
	sb_settings_free(old);
}

static void take_over(struct sb_app *app)
{
	struct sb_settings *next = app->reload.next;
	char *changed = NULL, *restart = NULL;
	size_t changed_len = 0, restart_len = 0;
	FILE *changed_out = open_memstream(&changed, &changed_len);
	FILE *restart_out = open_memstream(&restart, &restart_len);

	if (changed_out && restart_out)
		sb_settings_follow(next, app->settings, changed_out, restart_out);
	if (changed_out)
		(void)fclose(changed_out);
	if (restart_out)
		(void)fclose(restart_out);
	if (!changed || !restart) {
		app->reload.problem_count = -ENOMEM;
		refuse(app);
	} else {
		app->reload.next = NULL;
		app->reload.taken++;
		swap(app, next);
		sb_log(SB_LOG_NOTICE, "reloaded", "changed=\"%s\"", changed + (changed_len > 0));
		if (restart_len)
			sb_log(SB_LOG_WARNING, "needs a restart", "keys=\"%s\"", restart + 1);
		answer(&app->reload,
		       json_pack("{s:b, s:o, s:o}", "reloaded", 1, "changed", list_of(changed, " "),
				 "needs_restart", list_of(restart, " ")));
		sb_app_report_reload(
			app, restart_len ? "Reloaded; some keys need a restart" : "Reloaded",
			restart_len ? "some keys need a restart" : "");
	}
	free(changed);
	free(restart);
}

static void on_read(uv_work_t *work, int status)
{
	struct sb_app *app = work->data;
	struct sb_reload *reload = &app->reload;

	(void)status;
	reload->running = false;
	if (app->ending && reload->asker)
		sb_control_refuse(reload->asker, "slotbelld ends");
	else if (!app->ending && reload->problem_count != 0)
		refuse(app);
	else if (!app->ending)
		take_over(app);
	sb_settings_free(reload->next); /* unless it was taken */
	reload->next = NULL;
	free(reload->problems);
	reload->problems = NULL;
	if (reload->again && !app->ending)
		sb_app_reload(app, NULL);
}

void sb_app_reload(struct sb_app *app, struct sb_request *asker)
{
	struct sb_reload *reload = &app->reload;

	if (asker && (app->ending || reload->running)) {
		sb_control_refuse(asker, "another reload is under way; try again");
		return;
	}
	/* What runs may have read the files before they changed. */
	reload->again = reload->running;
	if (app->ending || reload->running)
		return;
	sb_service_reloading();
	reload->running = true;
	reload->asker = asker;
	reload->work.data = app;
	(void)uv_queue_work(&app->loop, &reload->work, on_work, on_read);
}
